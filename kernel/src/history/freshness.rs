//! What was accepted before a question was sent is in its answer.
//!
//! A question waits until the history has come to where the log ended when the question arrived. In the common case
//! it is there already, and the wait costs one look at the log's tail and one at the history's progress.
//!
//! Not there: a log that cannot say where it ends makes nobody wait. Then the furthest tail that this node has ever
//! seen counts, so that old conversations can be read while the log is down; what other nodes accepted in the
//! last moments before may be missing.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::future::try_join_all;
use schemas::{Partition, Position};
use tokio::time::{Instant, timeout};

use super::{ReachError, SharedHistory, reach};
use crate::event_log::SharedLog;

/// How long a question waits for the history.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the log may take to say where it ends.
const TAIL_WAIT_MAX: Duration = Duration::from_secs(1);

/// Waits for the history.
#[derive(Debug)]
pub struct Freshness {
    log: SharedLog,
    history: SharedHistory,
    /// The furthest tail seen of each partition; the index is the partition.
    tails: Vec<AtomicU64>,
}

impl Freshness {
    /// For the history that is built from this log.
    pub fn new(log: SharedLog, history: SharedHistory) -> Self {
        let tails = (0..log.partitions()).map(|_| AtomicU64::new(0)).collect();
        Self { log, history, tails }
    }

    /// Waits until the history has everything that is in `partition` now, at most [`WAIT_MAX`].
    ///
    /// # Errors
    /// See [`ReachError`].
    pub async fn reach(&self, partition: Partition) -> Result<(), ReachError> {
        let deadline = Instant::now() + WAIT_MAX;
        let wanted = self.tail(partition).await;
        reach(&*self.history, partition, wanted, &self.log.epoch(), deadline).await
    }

    /// The same for every partition, within the same time.
    ///
    /// # Errors
    /// See [`ReachError`].
    pub async fn reach_all(&self) -> Result<(), ReachError> {
        let partitions = (0..self.log.partitions()).map(Partition);
        try_join_all(partitions.map(|partition| self.reach(partition))).await.map(drop)
    }

    /// Where the log ends, or as much as is known of that.
    async fn tail(&self, partition: Partition) -> Position {
        let asked = timeout(TAIL_WAIT_MAX, self.log.tail(partition)).await;
        let reason = match asked {
            Ok(Ok(tail)) => return self.seen(partition, tail),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it takes too long".to_owned(),
        };
        tracing::warn!(%partition, reason, "the log does not say where it ends; answering from what is known");
        self.seen(partition, Position::START)
    }

    /// The furthest tail seen, `tail` included.
    fn seen(&self, partition: Partition, tail: Position) -> Position {
        let before =
            self.tails.get(partition.0 as usize).map(|seen| seen.fetch_max(tail.get(), Ordering::Relaxed));
        tail.max(Position::new(before.unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests;
