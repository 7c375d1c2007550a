//! The loads of conversations, each in a task of its own.
//!
//! Invariants: of a conversation one load is under way at a time, and how it ends is told to everybody who asked meanwhile. It goes on when
//! they went away, so that what was read is there for whoever asks next: a load that takes longer than anybody waits comes to an end
//! too. Few run at once, however many are asked for, and each looks at the history when it has its turn: what waited while the history was
//! behind finds it level, and reads nothing in its place.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{MirrorError, tracked::Tracked};
use crate::history::HistoryError;

/// Most loads that run at once.
pub(super) const RUNNING_MAX: usize = 64;

/// How a load ended, once it has.
type Ended = Option<Result<(), MirrorError>>;

/// The load of one conversation, if one is under way: it lives as long as its task.
#[derive(Default)]
pub(super) struct UnderWay(Mutex<Weak<watch::Sender<Ended>>>);

/// The tasks. They are ended when this is dropped.
pub(super) struct Loads {
    tasks: Mutex<JoinSet<()>>,
    turns: Arc<Semaphore>,
}

impl Default for Loads {
    fn default() -> Self {
        Self { tasks: Mutex::default(), turns: Arc::new(Semaphore::new(RUNNING_MAX)) }
    }
}

impl Loads {
    /// Waits until `tracked` is loaded; if nobody loads it yet, `load` does.
    ///
    /// # Errors
    /// Those of the load.
    pub(super) async fn ended<F>(
        &self,
        tracked: &Tracked,
        load: impl FnOnce() -> F,
    ) -> Result<(), MirrorError>
    where
        F: Future<Output = Result<(), MirrorError>> + Send + 'static,
    {
        let mut ended = {
            let mut under_way = tracked.under_way.0.lock();
            match under_way.upgrade() {
                Some(told) => told.subscribe(),
                None if tracked.is_loaded() => return Ok(()),
                None => {
                    let told = Arc::new(watch::Sender::default());
                    *under_way = Arc::downgrade(&told);
                    let ended = told.subscribe();
                    self.begin(load(), told);
                    ended
                }
            }
        };
        let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.unwrap_or_else(|| Err(broken_off().into()))
    }

    fn begin(
        &self,
        load: impl Future<Output = Result<(), MirrorError>> + Send + 'static,
        told: Arc<watch::Sender<Ended>>,
    ) {
        let turns = Arc::clone(&self.turns);
        let mut tasks = self.tasks.lock();
        // Those that are done are forgotten.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let _turn = turns.acquire().await;
            told.send_replace(Some(load.await));
        });
    }
}

/// The runtime on which it ran has ended, or it panicked.
fn broken_off() -> HistoryError {
    HistoryError::Unavailable { reason: "the load broke off".to_owned() }
}
