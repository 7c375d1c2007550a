//! The issuer's keys, kept up to date: read at the start, again and again, and when a token names one that is not known.
//!
//! ```text
//!   KeySource (a file, a URL) -- read --> kernel::identity::Tokens -- key_awaited --> read again
//! ```
//!
//! Invariants: two readings are [`KEY_SET_PAUSE`] apart, whatever tokens come; what cannot be read changes nothing.

use std::{sync::Arc, time::Duration};

use kernel::{
    identity::{KEY_SET_PAUSE, KeySet, Tokens},
    metric,
};
use tokio::{task::JoinHandle, time::sleep};

mod source;
#[cfg(test)]
mod tests;

pub use source::{KeySource, NotASource, ReadError};

use source::Reader;

/// How often a URL is asked, in the absence of other reasons. A file is looked at after every pause.
const ASK_INTERVAL: Duration = Duration::from_mins(5);
/// How often the first reading is tried, where trying again can help.
const TRIES_MAX: u32 = 4;
/// The pause before the second try; each later one is twice as long.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Why a server cannot start with this source.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot be read.
    #[error("the key set at {place} cannot be read: {reason}; correct --jwks")]
    Unreadable {
        /// Where it should be.
        place: KeySource,
        /// What happened instead.
        reason: ReadError,
    },
    /// There is nothing to check tokens with.
    #[error("the key set at {0} has no key that can be used; the log says why each was passed over")]
    Empty(KeySource),
}

/// Keeps the keys up to date until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper(JoinHandle<()>);

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Keeper {
    /// Reads the keys, and goes on doing so.
    ///
    /// # Errors
    /// See [`StartError`]. It was tried again where that could help.
    pub(crate) async fn start(source: &KeySource, tokens: Arc<Tokens>) -> Result<Self, StartError> {
        let unreadable = |reason| StartError::Unreadable { place: source.clone(), reason };
        let reader = Reader::of(source).map_err(unreadable)?;
        let keys = patiently(&reader).await.map_err(unreadable)?;
        if keys.is_empty() {
            return Err(StartError::Empty(source.clone()));
        }
        if source.is_exposed() {
            tracing::warn!(%source, "the keys come unencrypted: whoever can change them on the way can sign tokens");
        }
        tracing::info!(%source, keys = keys.len(), "tokens are checked with the keys of an issuer");
        let ids = ids_of(&keys);
        take(&tokens, keys);
        Ok(Self(tokio::spawn(keep(reader, source.clone(), tokens, ids))))
    }
}

async fn patiently(reader: &Reader) -> Result<KeySet, ReadError> {
    let (mut pause, mut tries) = (RETRY_PAUSE, 1);
    loop {
        match reader.keys().await {
            Err(reason) if reason.is_passing() && tries < TRIES_MAX => {
                tracing::warn!(%reason, tries, "the key set cannot be read yet");
                sleep(pause).await;
                (pause, tries) = (pause * 2, tries + 1);
            }
            read => return read,
        }
    }
}

async fn keep(reader: Reader, source: KeySource, tokens: Arc<Tokens>, mut ids: Vec<String>) {
    let interval = match source {
        KeySource::File(_) => Duration::ZERO,
        KeySource::Url(_) => ASK_INTERVAL,
    };
    let mut failing = false;
    loop {
        sleep(KEY_SET_PAUSE).await;
        tokio::select! { () = sleep(interval) => {} () = tokens.key_awaited() => {} }
        match reader.keys().await {
            Ok(keys) => {
                let before = std::mem::replace(&mut ids, ids_of(&keys));
                if failing || ids != before {
                    tracing::info!(%source, keys = keys.len(), changed = ids != before, "the key set was read");
                }
                failing = false;
                take(&tokens, keys);
            }
            Err(reason) => {
                // Once, however long it lasts; the metric counts each.
                if !failing {
                    tracing::warn!(%source, %reason, "the key set cannot be read; the keys of before are kept");
                }
                failing = true;
                metric::KEY_SET_READS.counter_of(["failed"]).increment(1);
            }
        }
    }
}

fn ids_of(keys: &KeySet) -> Vec<String> {
    keys.ids().map(str::to_owned).collect()
}

fn take(tokens: &Tokens, keys: KeySet) {
    metric::KEY_SET_READS.counter_of(["read"]).increment(1);
    metric::KEY_SET_KEYS.gauge().set(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    tokens.replace(keys);
}
