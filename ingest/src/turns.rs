//! One at a time, by key.
//!
//! Invariant: the table holds the keys that somebody has or waits for, and no others.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The table of keys.
#[derive(Debug)]
pub(crate) struct Turns<K: Eq + Hash + Clone>(Mutex<HashMap<K, Arc<AsyncMutex<()>>>>);

/// Somebody's turn, which ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a, K: Eq + Hash + Clone> {
    turns: &'a Turns<K>,
    key: K,
    lock: Arc<AsyncMutex<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Eq + Hash + Clone> Default for Turns<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Waits until it is one's turn for `key`; first come, first served. Dropping the future gives the place up.
    pub(crate) async fn take(&self, key: K) -> Turn<'_, K> {
        let lock = Arc::clone(self.0.lock().entry(key.clone()).or_default());
        let mut turn = Turn { turns: self, key, lock, held: None };
        turn.held = Some(Arc::clone(&turn.lock).lock_owned().await);
        turn
    }
}

impl<K: Eq + Hash + Clone> Drop for Turn<'_, K> {
    fn drop(&mut self) {
        let mut turns = self.turns.0.lock();
        self.held = None;
        // The table's handle and ours: nobody else can come by another one while the table is locked.
        if Arc::strong_count(&self.lock) == 2 {
            turns.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_other_keys_do_not() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut second = Box::pin(turns.take("a"));
        assert!((&mut second).now_or_never().is_none());
        assert!(turns.take("b").now_or_never().is_some());
        drop(first);
        drop(second.await);
        assert!(turns.0.lock().is_empty(), "the table forgets");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let turns = Turns::default();
        let first = turns.take("a").await;
        let mut second = Box::pin(turns.take("a"));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        // It has the lock by now, but never woke up to it.
        drop(second);
        assert!(turns.0.lock().is_empty());
        assert!(turns.take("a").now_or_never().is_some());
    }
}
