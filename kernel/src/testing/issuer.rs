//! An issuer of tokens for tests. Its keys stand beside this file and protect nothing.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "for tests, which are to end at what is unexpected"
)]

use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};

const RSA: &[u8] = include_bytes!("keys/rsa.pem");
const P256: &[u8] = include_bytes!("keys/p256.pem");
const P256_OTHER: &[u8] = include_bytes!("keys/p256-other.pem");
const P384: &[u8] = include_bytes!("keys/p384.pem");
const ED25519: &[u8] = include_bytes!("keys/ed25519.pem");
const SECRET: [u8; 64] = [42; 64];

/// The public part of the RSA key, as people publish it.
pub const RSA_PUBLIC_PEM: &[u8] = include_bytes!("keys/rsa.pub.pem");

/// Whoever signs with one key, in one way.
#[derive(Debug, Clone)]
pub struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    id: Option<String>,
}

impl Issuer {
    /// With the key that goes with the algorithm, say `RS256`. The key has no id.
    pub fn new(algorithm: &str) -> Self {
        let algorithm: Algorithm = algorithm.parse().unwrap();
        let key = match algorithm.family() {
            AlgorithmFamily::Hmac => Ok(EncodingKey::from_secret(&SECRET)),
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(RSA),
            AlgorithmFamily::Ec if algorithm == Algorithm::ES384 => EncodingKey::from_ec_pem(P384),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(P256),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(ED25519),
        };
        Self { algorithm, key: key.unwrap(), id: None }
    }

    /// With a second key for `ES256`.
    pub fn another() -> Self {
        Self { key: EncodingKey::from_ec_pem(P256_OTHER).unwrap(), ..Self::new("ES256") }
    }

    /// The same, where the key has this id.
    #[must_use]
    pub fn called(self, id: &str) -> Self {
        Self { id: Some(id.to_owned()), ..self }
    }

    /// A token that says this.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// The same, with a header of the test's own making.
    pub fn sign_with(&self, header: &Header, claims: &Value) -> String {
        crate::identity::install_crypto();
        jsonwebtoken::encode(header, claims, &self.key).unwrap()
    }

    /// What stands before the claims.
    pub fn header(&self) -> Header {
        Header { kid: self.id.clone(), ..Header::new(self.algorithm) }
    }

    /// The key as the issuer lists it.
    pub fn jwk(&self) -> Value {
        crate::identity::install_crypto();
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap();
        if let Some(id) = &self.id {
            jwk["kid"] = json!(id);
        }
        jwk
    }
}

/// The document that lists these keys.
pub fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}
