//! The folds of some partitions, which bring their records into the history together: one batch for all of them, since a batch costs the
//! history nearly the same for one partition and for several.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use kernel::{
    event_log::{BATCH_LEN_MAX, Record, SharedLog},
    history::{Batch, SharedHistory},
    metric,
};
use metrics::{Counter, Histogram};
use schemas::{Partition, Position};
use tokio::time::Instant;

use crate::{
    fold::{Fold, ProjectError},
    states::WEIGHT_MAX,
};

/// See the module. At most one batch is on its way.
pub(crate) struct Folds {
    log: SharedLog,
    history: SharedHistory,
    by_partition: BTreeMap<Partition, Fold>,
    /// Folded, and not yet durable.
    pending: Option<Batch>,
    /// How much the states of all may weigh between batches.
    weight_max: usize,
    apply_time: Histogram,
    events: Counter,
}

impl Folds {
    /// Of no partition yet.
    pub(crate) fn new(log: SharedLog, history: SharedHistory) -> Self {
        let apply_time = metric::HISTORY_APPLY_TIME.histogram();
        let events = metric::HISTORY_EVENTS.counter();
        Self {
            log,
            history,
            by_partition: BTreeMap::new(),
            pending: None,
            weight_max: WEIGHT_MAX,
            apply_time,
            events,
        }
    }

    /// Takes a partition over, which is not here, where the history is; says where that is.
    pub(crate) async fn begin(&mut self, partition: Partition) -> Result<Position, ProjectError> {
        let fold = Fold::begin(&self.log, &self.history, partition).await?;
        let place = fold.place();
        self.by_partition.insert(partition, fold);
        Ok(place)
    }

    /// Has nothing to do with the partition any more.
    pub(crate) fn end(&mut self, partition: Partition) {
        self.by_partition.remove(&partition);
    }

    /// All before it is durable in the history; `None` if the partition is not here.
    pub(crate) fn place(&self, partition: Partition) -> Option<Position> {
        self.by_partition.get(&partition).map(Fold::place)
    }

    /// Brings records into the history. Those that are there already are left alone, and those of a partition that is not here: they would
    /// have no place to go on from. After a retryable error, or when the future was dropped, call it again with the same records.
    pub(crate) async fn take(&mut self, records: &HashMap<Partition, &[Record]>) -> Result<(), ProjectError> {
        loop {
            self.settle().await?;
            let outcome = self.fold(records).await;
            // What could be folded comes first; whatever fails does so again.
            if self.pending.is_none() {
                return outcome;
            }
        }
    }

    /// Reads from the log what lies between the place of a partition and `to`, and brings it into the history; `told` hears of each step.
    /// After a retryable error call it again.
    pub(crate) async fn bridge(
        &mut self,
        partition: Partition,
        to: Position,
        mut told: impl FnMut(Position) + Send,
    ) -> Result<(), ProjectError> {
        self.settle().await?;
        while let Some(place) = self.place(partition).filter(|place| *place < to) {
            let records = self.log.read(partition, place, to, BATCH_LEN_MAX).await?;
            if records.is_empty() {
                // A log may have positions without records, and it may have dropped old ones: there is nothing to come. It counts as
                // projected, or questions about the partition would wait for it until somebody writes.
                self.pending = self.by_partition.get_mut(&partition).map(|fold| fold.pass(to));
            }
            self.take(&HashMap::from([(partition, &records[..])])).await?;
            self.place(partition).into_iter().for_each(&mut told);
        }
        Ok(())
    }

    /// Folds what follows in each partition; the first failure.
    async fn fold(&mut self, records: &HashMap<Partition, &[Record]>) -> Result<(), ProjectError> {
        let folds = self.by_partition.iter_mut();
        let folds = folds.filter_map(|(partition, fold)| Some(fold.fold(records.get(partition)?)));
        let mut folds: FuturesUnordered<_> = folds.collect();
        let mut failed = Ok(());
        // Each is kept as soon as it is there: nobody gives it again, should the future be dropped while others are waited for.
        while let Some(outcome) = folds.next().await {
            match outcome {
                Ok(None) => {}
                Ok(Some(Batch { epoch, up_to, events })) => {
                    let pending = self.pending.get_or_insert_with(|| Batch {
                        epoch,
                        up_to: BTreeMap::new(),
                        events: Vec::new(),
                    });
                    pending.up_to.extend(up_to);
                    pending.events.extend(events);
                }
                Err(error) => failed = failed.and(Err(error)),
            }
        }
        failed
    }

    /// Applies what is pending; only then do the places move.
    async fn settle(&mut self) -> Result<(), ProjectError> {
        if let Some(batch) = &self.pending {
            let begun = Instant::now();
            self.history.apply(batch.clone()).await?;
            self.apply_time.record(begun.elapsed());
            self.events.increment(batch.events.len() as u64);
            self.pending = None;
            self.by_partition.values_mut().for_each(Fold::applied);
            let weight: usize = self.by_partition.values().map(|fold| fold.states.weight()).sum();
            if weight > self.weight_max {
                self.by_partition.values_mut().for_each(|fold| fold.states.halve());
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Folds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folds").field("by_partition", &self.by_partition).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
