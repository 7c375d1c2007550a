//! How far the mirror is in a partition, and who waits for it.
//!
//! Invariant: who waits is woken once, when all that it waits for is folded, and not by each step before that; who gives up leaves
//! nothing behind.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use schemas::Position;
use tokio::sync::oneshot;

/// See the module.
#[derive(Default)]
pub(super) struct PartitionPlace {
    folded: Mutex<Folded>,
    /// All before it was taken by the follower and is folded or about to be. Set before the conversations of a
    /// batch are looked up: who enters a conversation and then reads this knows what the follower may have missed.
    pub(super) reading: AtomicU64,
}

#[derive(Default)]
struct Folded {
    /// All before it is folded.
    up_to: Position,
    /// By what they wait for, and in turn.
    waiting: BTreeMap<(Position, u64), oneshot::Sender<()>>,
    turns: u64,
}

/// Somebody who waits; dropped when it is over.
struct Waiting<'a> {
    place: &'a PartitionPlace,
    key: (Position, u64),
}

impl PartitionPlace {
    /// All before it is folded.
    pub(super) fn folded(&self) -> Position {
        self.folded.lock().up_to
    }

    /// The follower is about to look up the conversations of the records before `up_to`.
    pub(super) fn begin(&self, up_to: Position) {
        self.reading.fetch_max(up_to.get(), Ordering::SeqCst);
    }

    /// Everything before `up_to` is folded.
    pub(super) fn end(&self, up_to: Position) {
        let mut folded = self.folded.lock();
        folded.up_to = folded.up_to.max(up_to);
        let later = folded.waiting.split_off(&(up_to.next().position(), 0));
        let reached = std::mem::replace(&mut folded.waiting, later);
        drop(folded);
        for waiter in reached.into_values() {
            // Who went away does not want to know.
            let _ = waiter.send(());
        }
    }

    /// Resolves when everything before `wanted` is folded.
    pub(super) async fn reach(&self, wanted: Position) {
        let (reached, _waiting) = {
            let mut folded = self.folded.lock();
            if folded.up_to >= wanted {
                return;
            }
            let key = (wanted, folded.turns);
            folded.turns += 1;
            let (waiter, reached) = oneshot::channel();
            folded.waiting.insert(key, waiter);
            (reached, Waiting { place: self, key })
        };
        // The other end goes only with the word, or with us.
        let _ = reached.await;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.place.folded.lock().waiting.remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_when_all_is_folded_and_not_before() {
        let place = PartitionPlace::default();
        let [mut second, mut third] = [2, 3].map(|wanted| Box::pin(place.reach(Position::new(wanted))));
        place.end(Position::new(1));
        assert!((&mut second).now_or_never().is_none() && (&mut third).now_or_never().is_none());
        place.end(Position::new(2));
        assert!((&mut second).now_or_never().is_some() && (&mut third).now_or_never().is_none());
        place.end(Position::new(9));
        assert!((&mut third).now_or_never().is_some());
        assert!(place.reach(Position::new(9)).now_or_never().is_some(), "nothing to wait for");
        place.end(Position::new(4));
        assert_eq!(place.folded().get(), 9, "a place never falls");
    }

    #[tokio::test]
    async fn who_gives_up_leaves_nothing_behind() {
        let place = PartitionPlace::default();
        assert!(place.reach(Position::new(1)).now_or_never().is_none());
        assert!(place.folded.lock().waiting.is_empty());
    }
}
