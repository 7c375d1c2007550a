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
use kernel::{
    event_log::SharedLog,
    history::{HistoryError, Progress, SharedHistory},
};
use schemas::{Partition, Position};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How long a question waits for the history.
pub const WAIT_MAX: Duration = Duration::from_secs(2);
/// How long the log may take to say where it ends.
const TAIL_WAIT_MAX: Duration = Duration::from_secs(1);
/// The first pause between two looks at the history; twice as long each time.
const POLL_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
const POLL_MAX: Duration = Duration::from_millis(50);

/// Why a question cannot be answered from the history.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Stale {
    /// The history did not come so far in time. Trying again may help.
    #[error("the history is at position {place} of partition {partition} and did not reach {wanted} in time")]
    Behind {
        /// Which partition.
        partition: Partition,
        /// How far it is.
        place: Position,
        /// How far it should be.
        wanted: Position,
    },
    /// The history did not answer.
    #[error(transparent)]
    History(#[from] HistoryError),
}

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
    /// See [`Stale`].
    pub async fn reach(&self, partition: Partition) -> Result<(), Stale> {
        let deadline = Instant::now() + WAIT_MAX;
        let wanted = self.tail(partition).await;
        let mut pause = POLL_MIN;
        loop {
            let place = timeout_at(deadline, self.place(partition)).await.map_err(|_| no_answer())??;
            if place >= wanted {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Stale::Behind { partition, place, wanted });
            }
            sleep(pause.min(deadline - Instant::now())).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }

    /// The same for every partition, within the same time.
    ///
    /// # Errors
    /// See [`Stale`].
    pub async fn reach_all(&self) -> Result<(), Stale> {
        let partitions = (0..self.log.partitions()).map(Partition);
        try_join_all(partitions.map(|partition| self.reach(partition))).await.map(drop)
    }

    async fn place(&self, partition: Partition) -> Result<Position, HistoryError> {
        match self.history.progress(partition).await? {
            None => Ok(Position::START),
            Some(Progress { epoch, position }) if epoch == self.log.epoch() => Ok(position),
            Some(Progress { epoch: found, .. }) => {
                Err(HistoryError::OtherLog { expected: self.log.epoch(), found })
            }
        }
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

fn no_answer() -> HistoryError {
    HistoryError::Unavailable { reason: "it did not say in time how far it is".to_owned() }
}

#[cfg(test)]
mod tests;
