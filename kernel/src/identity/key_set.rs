//! The keys of an issuer, as its JWKS document lists them (RFC 7517).
//!
//! A key that cannot be used here is passed over with a line in the log: issuers list keys for other purposes, and of kinds
//! that are yet to come.

use jsonwebtoken::{Algorithm, jwk::Jwk};
use serde::Deserialize;
use serde_json::Value;

use super::install_crypto;
use key::Key;

mod key;

/// Longest JWKS document that is read, in bytes.
pub const JWKS_LEN_MAX: usize = 256 * 1_024;
/// Most keys of a document, those that are passed over included.
pub const KEYS_LEN_MAX: usize = 100;

/// See the module. May be empty: then the issuer has withdrawn all.
#[derive(Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why a document is no key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// It is too long.
    #[error("it has more than {JWKS_LEN_MAX} bytes")]
    TooLong,
    /// It is something else.
    #[error("it is no JWKS document ({{\"keys\": […]}}): {0}")]
    Foreign(#[from] serde_json::Error),
    /// It lists too many.
    #[error("it lists {0} keys, at most {KEYS_LEN_MAX} are taken")]
    TooManyKeys(usize),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// The keys of a document.
    ///
    /// # Errors
    /// See [`KeySetError`].
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        install_crypto();
        if document.len() > JWKS_LEN_MAX {
            return Err(KeySetError::TooLong);
        }
        let Document { keys } = serde_json::from_slice(document)?;
        if keys.len() > KEYS_LEN_MAX {
            return Err(KeySetError::TooManyKeys(keys.len()));
        }
        let usable = keys.into_iter().enumerate().filter_map(|(place, value)| {
            // The reason alone: a key of the kind `oct` is a secret.
            let jwk = serde_json::from_value::<Jwk>(value).map_err(|_| "it is no JWK");
            match jwk.and_then(|jwk| Key::of(&jwk)) {
                Ok(key) => Some(key),
                Err(reason) => {
                    tracing::info!(place, reason, "a key of the key set is passed over");
                    None
                }
            }
        });
        Ok(Self { keys: usable.collect() })
    }

    /// How many keys can be used.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The ids (`kid`) of the keys that can be used and have one, as they are listed.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::id)
    }

    /// Whether a key bears this id.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.ids().any(|known| known == id)
    }

    /// The keys of this id, or all if none is named, that go with the algorithm.
    pub(super) fn fitting<'a>(
        &'a self,
        id: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let asked = move |key: &&Key| id.is_none_or(|id| key.id() == Some(id)) && key.goes_with(algorithm);
        self.keys.iter().filter(asked)
    }
}
