//! Builds a history from the log, from its first record on: for a new history, and to prove that one which was kept up
//! to date says the same.

use kernel::{event_log::SharedLog, history::SharedHistory};
use schemas::{Partition, Position};

use crate::{fold::ProjectError, folds::Folds};

/// How far a rebuild has come in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildStep {
    /// Which partition.
    pub partition: Partition,
    /// All before it is in the history.
    pub place: Position,
    /// Where the rebuild of this partition ends: the tail when it began.
    pub to: Position,
}

/// Folds the whole log, as long as it is now, into an empty history; `told` hears of each step, of each partition at
/// least once. Nobody else may write to the history meanwhile.
///
/// # Errors
/// The first that comes, also if trying again would help: call it again, and it goes on where the history is. Dropping
/// the future does no harm either.
pub async fn rebuild(
    log: SharedLog,
    history: SharedHistory,
    mut told: impl FnMut(RebuildStep) + Send,
) -> Result<(), ProjectError> {
    for partition in (0..log.partitions()).map(Partition) {
        let to = log.tail(partition).await?;
        let mut folds = Folds::new(SharedLog::clone(&log), SharedHistory::clone(&history));
        let place = folds.begin(partition).await?;
        told(RebuildStep { partition, place, to });
        folds.bridge(partition, to, |place| told(RebuildStep { partition, place, to })).await?;
    }
    Ok(())
}
