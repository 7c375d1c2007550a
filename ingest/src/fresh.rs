//! How long ago this node was level with the log, by partition.
//!
//! Invariant: everything that was durable at the moment noted here is folded in the mirror. A busy partition is noted by
//! each append that was followed to its end, so that only a quiet one costs a question to the log.

use kernel::mirror::{Mirror, MirrorError};
use parking_lot::Mutex;
use schemas::Partition;
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use crate::limits::{FRESH_MAX, PREPARE_MAX};

/// The moments, by partition.
#[derive(Debug)]
pub(crate) struct Freshness(Vec<Level>);

#[derive(Debug, Default)]
struct Level {
    at: Mutex<Option<Instant>>,
    /// One asks the log, the others wait for the answer.
    asking: AsyncMutex<()>,
}

impl Freshness {
    pub(crate) fn new(partitions: u32) -> Self {
        Self((0..partitions).map(|_| Level::default()).collect())
    }

    /// What was durable at `moment` is folded.
    pub(crate) fn note(&self, partition: Partition, moment: Instant) {
        if let Some(level) = self.level(partition) {
            let mut at = level.at.lock();
            *at = (*at).max(Some(moment));
        }
    }

    /// Resolves when this node was level with the log less than [`FRESH_MAX`] ago.
    ///
    /// # Errors
    /// The log does not tell its tail, or this node is behind it.
    pub(crate) async fn ensure(&self, mirror: &Mirror, partition: Partition) -> Result<(), MirrorError> {
        let Some(level) = self.level(partition) else { return Ok(()) };
        if level.is_fresh() {
            return Ok(());
        }
        let _asking = level.asking.lock().await;
        if level.is_fresh() { Ok(()) } else { self.renew(mirror, partition).await }
    }

    /// Resolves when everything is folded that was durable at the time of the call.
    ///
    /// # Errors
    /// As for [`Freshness::ensure`].
    pub(crate) async fn renew(&self, mirror: &Mirror, partition: Partition) -> Result<(), MirrorError> {
        let moment = Instant::now();
        mirror.catch_up(partition, moment + PREPARE_MAX).await?;
        self.note(partition, moment);
        Ok(())
    }

    fn level(&self, partition: Partition) -> Option<&Level> {
        self.0.get(usize::try_from(partition.0).ok()?)
    }
}

impl Level {
    fn is_fresh(&self) -> bool {
        self.at.lock().is_some_and(|at| at.elapsed() < FRESH_MAX)
    }
}
