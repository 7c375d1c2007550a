//! The fold of one partition into batches for the history, with its place.
//!
//! Invariant: the place moves only when the rows before it are durable. A step that fails can be taken again, and goes
//! on where it failed: nothing is left out and nothing is judged twice.

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::{
    event_log::{BATCH_LEN_MAX, ReadError, Record, SharedLog},
    history::{self, Batch, Depth, HistoryError, SharedHistory},
    trace,
};
use schemas::{Epoch, Offset, Partition, Position, codec::Codec};
use tracing::Span;

use crate::{
    project::{Projection, Unread, project},
    states::States,
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
    pub(crate) history: SharedHistory,
    codec: Codec,
    epoch: Epoch,
    partition: Partition,
    place: Position,
    /// All before it is folded. Ahead of the place while a batch is on its way.
    folded: Position,
    pub(crate) states: States,
    /// The spans `project` of the records on their way whose traces are sampled.
    traced: Vec<Span>,
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
            history: SharedHistory::clone(history),
            codec: Codec::default(),
            epoch,
            partition,
            place,
            folded: place,
            states: States::default(),
            traced: Vec::new(),
        })
    }

    /// All before it is durable in the history.
    pub(crate) fn place(&self) -> Position {
        self.place
    }

    /// Folds the next of these records that are not folded, at most [`BATCH_LEN_MAX`], up to the first that cannot be read; `None` if there
    /// is none. The batch is to be applied, as often as it takes, before [`Self::applied`] is told; nobody gives it again.
    pub(crate) async fn fold(&mut self, records: &[Record]) -> Result<Option<Batch>, ProjectError> {
        let done = records.partition_point(|record| self.folded.covers(record.offset));
        let rest = records.get(done..).unwrap_or_default();
        let next = rest.get(..BATCH_LEN_MAX).unwrap_or(rest);
        if next.is_empty() {
            return Ok(None);
        }
        self.load(next).await?;
        self.project(next).map(Some)
    }

    /// There is nothing before `to` that is not folded.
    pub(crate) fn pass(&mut self, to: Position) -> Batch {
        self.folded = to;
        Batch { epoch: self.epoch.clone(), up_to: [(self.partition, to)].into(), events: Vec::new() }
    }

    /// All that was folded is durable.
    pub(crate) fn applied(&mut self) {
        self.place = self.folded;
        self.traced.clear();
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

    fn project(&mut self, records: &[Record]) -> Result<Batch, ProjectError> {
        let partition = self.partition;
        let consumed = consume(records, partition);
        self.states.begin_batch();
        let projection = project(&self.codec, self.folded, records, &mut self.states);
        let Projection { up_to, events, passed_over, unread } = projection;
        for record in passed_over {
            let (offset, reason) = (record.offset.get(), record.reason);
            tracing::error!(%partition, offset, %reason, "a record is no event; it is passed over");
        }
        if let Some(Unread { offset, schema }) = unread.filter(|_| up_to == self.folded) {
            return Err(ProjectError::UnknownSchema { partition, offset, schema: schema.0 });
        }
        let folded = consumed.into_iter().filter(|(offset, _)| up_to.covers(*offset));
        self.traced.extend(folded.map(|(offset, span)| project_span(offset, &span)));
        self.folded = up_to;
        Ok(Batch { epoch: self.epoch.clone(), up_to: [(partition, up_to)].into(), events })
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
