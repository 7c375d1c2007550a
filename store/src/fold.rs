//! The fold of one partition into the history, with its place.
//!
//! Invariant: the place moves only when the rows before it are durable. A step that fails can be taken again, and goes
//! on where it failed: nothing is left out and nothing is judged twice.

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::{
    event_log::{BATCH_LEN_MAX, ReadError, Record, SharedLog},
    history::{self, Batch, Depth, HistoryError, SharedHistory},
    metric, trace,
};
use metrics::{Counter, Histogram};
use schemas::{Epoch, Offset, Partition, Position, codec::Codec};
use tokio::time::Instant;
use tracing::Span;

use crate::{
    project::{Projection, Stretch, Unread, project},
    states::{States, WEIGHT_MAX},
};

/// States that are loaded at once.
const LOADS_IN_FLIGHT_MAX: usize = 16;

/// Why a fold does not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProjectError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The history cannot be used.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A record was written with a schema that this build does not know. A newer build reads it; to pass it over would
    /// lose it from the history.
    #[error(
        "the record at offset {offset} of partition {partition} has the unknown schema {schema}: start a newer build"
    )]
    UnknownSchema {
        /// Which partition.
        partition: Partition,
        /// Where the record stands.
        offset: Offset,
        /// The id of the schema.
        schema: u32,
    },
    /// The history is further than the log is long, so it came from another log.
    #[error(
        "the history knows partition {partition} up to {position}, but the log ends at {tail}: it was cut or replaced; \
         put the log back, or rebuild the history"
    )]
    AheadOfLog {
        /// Which partition.
        partition: Partition,
        /// How far the history is.
        position: Position,
        /// Where the log ends.
        tail: Position,
    },
    /// The history does not know any more what it said it had.
    #[error(
        "the history had partition {partition} up to {place} and now has it up to {found}: it was wiped or put back; \
         start again to fill it"
    )]
    WentBack {
        /// Which partition.
        partition: Partition,
        /// How far it was.
        place: Position,
        /// How far it says it is.
        found: Position,
    },
    /// The projector ended by a defect of its own.
    #[error("the projector ended by a defect; the panic message says where")]
    Panicked,
}

impl ProjectError {
    /// Whether trying again can help.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Log(error) => error.retryable(),
            Self::History(error) => error.retryable(),
            // The schema may become known; above all, nothing behind the record may be folded before it.
            Self::UnknownSchema { .. } => true,
            Self::AheadOfLog { .. } | Self::WentBack { .. } | Self::Panicked => false,
        }
    }
}

/// One partition on its way into the history.
#[derive(Debug)]
pub(crate) struct Fold {
    log: SharedLog,
    history: SharedHistory,
    codec: Codec,
    epoch: Epoch,
    partition: Partition,
    place: Position,
    states: States,
    /// How much `states` may weigh between batches.
    weight_max: usize,
    /// Folded, and not yet durable.
    pending: Option<Batch>,
    /// The spans `project` of the records in `pending` whose traces are sampled.
    traced: Vec<Span>,
    apply_time: Histogram,
    events: Counter,
}

impl Fold {
    /// Goes on where the history is.
    pub(crate) async fn begin(
        log: &SharedLog,
        history: &SharedHistory,
        partition: Partition,
    ) -> Result<Self, ProjectError> {
        let epoch = log.epoch();
        let place = history::place(&**history, partition, &epoch).await?;
        let tail = log.tail(partition).await?;
        if place > tail {
            return Err(ProjectError::AheadOfLog { partition, position: place, tail });
        }
        Ok(Self {
            log: SharedLog::clone(log),
            history: SharedHistory::clone(history),
            codec: Codec::default(),
            epoch,
            partition,
            place,
            states: States::default(),
            weight_max: WEIGHT_MAX,
            pending: None,
            traced: Vec::new(),
            apply_time: metric::HISTORY_APPLY_TIME.histogram(),
            events: metric::HISTORY_EVENTS.counter(),
        })
    }

    /// All before it is durable in the history.
    pub(crate) fn place(&self) -> Position {
        self.place
    }

    /// Brings records into the history. Those that are there already are left alone. After a retryable error call it
    /// again with the same records.
    pub(crate) async fn take(&mut self, records: &[Record]) -> Result<(), ProjectError> {
        loop {
            self.settle().await?;
            let done = records.partition_point(|record| self.place.covers(record.offset));
            let rest = records.get(done..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(());
            }
            let next = rest.get(..BATCH_LEN_MAX).unwrap_or(rest);
            self.load(next).await?;
            self.pending = Some(self.fold(next)?);
        }
    }

    /// Reads from the log what lies between the place and `to`, and brings it into the history; `told` hears of
    /// each step. After a retryable error call it again.
    pub(crate) async fn bridge(
        &mut self,
        to: Position,
        mut told: impl FnMut(Position) + Send,
    ) -> Result<(), ProjectError> {
        self.settle().await?;
        while self.place < to {
            let records = self.log.read(self.partition, self.place, to, BATCH_LEN_MAX).await?;
            if records.is_empty() {
                // A log may have positions without records; the tail was there, so there is nothing to come.
                return Ok(());
            }
            self.take(&records).await?;
            told(self.place);
        }
        Ok(())
    }

    /// Applies what is pending; only then does the place move.
    async fn settle(&mut self) -> Result<(), ProjectError> {
        if let Some(batch) = &self.pending {
            let begun = Instant::now();
            self.history.apply(batch.clone()).await?;
            self.apply_time.record(begun.elapsed());
            self.events.increment(batch.events.len() as u64);
            self.traced.clear();
            self.place = batch.up_to;
            self.pending = None;
            self.states.trim(self.weight_max);
        }
        Ok(())
    }

    /// Loads the states that are needed and not at hand. After an error those that came are kept.
    async fn load(&mut self, records: &[Record]) -> Result<(), ProjectError> {
        let (history, partition) = (SharedHistory::clone(&self.history), self.partition);
        let load = |conversation| {
            let history = &history;
            async move {
                let snapshot = history.snapshot(partition, &conversation, Depth::Fold).await?;
                Ok::<_, HistoryError>((conversation, snapshot))
            }
        };
        let loads = self.states.missing(records).into_iter().map(load).collect::<Vec<_>>();
        let mut loads = stream::iter(loads).buffer_unordered(LOADS_IN_FLIGHT_MAX);
        while let Some((conversation, snapshot)) = loads.try_next().await? {
            if snapshot.position < self.place {
                let (place, found) = (self.place, snapshot.position);
                return Err(ProjectError::WentBack { partition: self.partition, place, found });
            }
            self.states.learn(conversation, snapshot);
        }
        Ok(())
    }

    /// Folds the records that follow the place, up to the first that cannot be read.
    fn fold(&mut self, records: &[Record]) -> Result<Batch, ProjectError> {
        let (partition, epoch, from) = (self.partition, self.epoch.clone(), self.place);
        let consumed = consume(records, partition);
        let stretch = Stretch { partition, epoch, from, records };
        let Projection { batch, passed_over, unread } = project(&self.codec, stretch, &mut self.states);
        for record in passed_over {
            let (offset, reason) = (record.offset.get(), record.reason);
            tracing::error!(%partition, offset, %reason, "a record is no event; it is passed over");
        }
        match unread {
            Some(Unread { offset, schema }) if batch.up_to == from => {
                Err(ProjectError::UnknownSchema { partition, offset, schema: schema.0 })
            }
            _ => {
                let folded = consumed.into_iter().filter(|(offset, _)| batch.up_to.covers(*offset));
                self.traced = folded.map(|(offset, span)| project_span(offset, &span)).collect();
                Ok(batch)
            }
        }
    }
}

/// A span for each of these records whose trace is sampled: mostly none.
fn consume(records: &[Record], partition: Partition) -> Vec<(Offset, Span)> {
    if !trace::is_on() {
        return Vec::new();
    }
    let spans = records.iter().map(|record| (record.offset, trace::consume(record, partition, "projector")));
    spans.filter(|(_, span)| !span.is_disabled()).collect()
}

/// From the fold of a record until its rows are durable.
fn project_span(offset: Offset, consume: &Span) -> Span {
    tracing::info_span!(target: trace::TARGET, parent: consume, "project", offset = offset.get())
}

#[cfg(test)]
mod tests;
