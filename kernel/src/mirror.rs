//! The fold kept up to date at this node, for the conversations in use here.
//!
//! A mirror follows the whole topic as a broadcast reader. Records of conversations that nobody here uses are
//! dropped by key, undecoded. A conversation is brought into use by [`Mirror::track`]: its state is loaded from the
//! history, brought up to the mirror's place from the log, and from then on folded as records arrive.
//!
//! ```text
//!   history:  state at W --+
//!   log:      records W..R +--> state at the mirror's place --> fold, fold, fold ...
//!   meanwhile: held back R.. +
//! ```
//!
//! A record of a tracked conversation that only a newer build can read is not passed over: the mirror stops before it, as the
//! projector does, until nobody uses the conversation any more. So what is live and what is history agree.
//!
//! Whoever watches gets each valid event of a tracked conversation once, in order, already judged. Ingest decides against these
//! states; fanout delivers these events. Neither keeps a fold of its own.

mod follow;
mod loads;
mod place;
#[cfg(test)]
mod tests;
mod tracked;
mod used_ids;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use schemas::{
    ConversationId, Epoch, Offset, Partition, Position,
    codec::{Codec, SchemaId},
};
use tokio::{
    sync::mpsc,
    task::AbortHandle,
    time::{Instant, timeout_at},
};

pub use tracked::{Learning, Limits, LiveEvent, Outcome, SCAN_LEN_MAX, Tracked, check_scan};
pub use used_ids::USED_IDS_READ_MAX;

use loads::Loads;
use place::PartitionPlace;

use crate::{
    crash,
    event_log::{ReadError, Record, SharedLog, partition_of},
    history::{HistoryError, SharedHistory},
};

/// Most conversations that are kept in use at one node. [`metric::IN_USE`](crate::metric::IN_USE) tells how many are.
pub const TRACKED_LEN_MAX: usize = 20_000;
/// How long a conversation stays in use after its last use, less a sweep at most, so that sessions that come back find it warm.
const IDLE_MAX: Duration = Duration::from_mins(1);

/// The valid events of tracked conversations in one stretch of a partition.
#[derive(Debug)]
pub struct Folded {
    /// Which partition.
    pub partition: Partition,
    /// All before it is folded.
    pub up_to: Position,
    /// In the order of the log.
    pub events: Vec<Arc<LiveEvent>>,
}

/// Looks at records as they pass, whether their conversations are in use or not.
pub trait Witness: Send + Sync {
    /// These have passed: the place of the mirror lies behind them, and they were not shown before it did. They may come twice. It
    /// must return soon, for the mirror waits.
    fn saw(&self, partition: Partition, records: &[Record]);
}

/// Why the mirror cannot answer; trying again may help unless it says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MirrorError {
    /// The log did not answer.
    #[error(transparent)]
    Log(#[from] ReadError),
    /// The history did not answer.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// This node is behind the log and did not catch up in time.
    #[error("this node is at position {place} of partition {partition} and did not reach {wanted} in time")]
    Behind {
        /// Which partition.
        partition: Partition,
        /// Where it is.
        place: Position,
        /// Where it should be.
        wanted: Position,
    },
    /// The history is so far behind that what it lacks is not read from the log for one conversation. It helps to wait for the
    /// history; another node has the same one.
    #[error(
        "the history is {lag} records behind in partition {partition}, and at most {SCAN_LEN_MAX} are read in its place"
    )]
    HistoryBehind {
        /// Which partition.
        partition: Partition,
        /// Records that are to be folded and are not in the history.
        lag: u64,
    },
    /// More conversations are in use than may be.
    #[error("{TRACKED_LEN_MAX} conversations are in use at this node, which is the most there may be")]
    Full,
    /// Too much was written to the conversation while it was being loaded.
    #[error("the conversation is written faster than it can be loaded")]
    Flooded,
    /// A record of the conversation was written with a schema that this build does not know. It waits for a newer build:
    /// to go on without the record would give another answer than the history gives later.
    #[error(
        "the record at offset {offset} of partition {partition} has the unknown schema {}: start a newer build",
        schema.0
    )]
    Newer {
        /// Which partition.
        partition: Partition,
        /// Where the record stands.
        offset: Offset,
        /// The id of the schema.
        schema: SchemaId,
    },
}

/// See the module. Shared as `Arc<Mirror>`; dropping the last one stops it.
pub struct Mirror {
    log: SharedLog,
    history: SharedHistory,
    shared: Arc<Shared>,
    loads: Loads,
    follower: AbortHandle,
}

/// What the follower and the askers share.
struct Shared {
    limits: Limits,
    codec: Codec,
    tracked: Mutex<HashMap<ConversationId, Entry>>,
    /// How far the follower is in each partition; the index is the partition.
    places: Vec<PartitionPlace>,
    watchers: Mutex<Vec<mpsc::Sender<Arc<Folded>>>>,
    witnesses: Mutex<Vec<Weak<dyn Witness>>>,
    /// For the ids that conversations have used.
    room: Arc<used_ids::Room>,
}

struct Entry {
    tracked: Arc<Tracked>,
    /// When somebody asked for it, or held it at a sweep.
    used: Instant,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("tracked", &self.shared.tracked.lock().len()).finish_non_exhaustive()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl Mirror {
    /// Opens a broadcast reader and follows it; resolves once its place in every partition is known.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn start(log: SharedLog, history: SharedHistory) -> Result<Arc<Self>, MirrorError> {
        Self::start_within(Limits::default(), log, history).await
    }

    /// The same, with other limits.
    ///
    /// # Errors
    /// As [`Mirror::start`].
    pub async fn start_within(
        limits: Limits,
        log: SharedLog,
        history: SharedHistory,
    ) -> Result<Arc<Self>, MirrorError> {
        let shared = Arc::new(Shared {
            limits,
            codec: Codec::default(),
            tracked: Mutex::default(),
            places: (0..log.partitions()).map(|_| PartitionPlace::default()).collect(),
            watchers: Mutex::default(),
            witnesses: Mutex::default(),
            room: Arc::default(),
        });
        let reader = follow::open(&log, &shared).await?;
        let following = tokio::spawn(follow::run(reader, Arc::clone(&log), Arc::clone(&shared)));
        let follower = following.abort_handle();
        tokio::spawn(crash::watch("mirror", following));
        Ok(Arc::new(Self { log, history, shared, loads: Loads::default(), follower }))
    }

    /// The log it follows.
    pub fn log(&self) -> &SharedLog {
        &self.log
    }

    /// The history it loads from.
    pub fn history(&self) -> &SharedHistory {
        &self.history
    }

    /// How records are read and written.
    pub fn codec(&self) -> &Codec {
        &self.shared.codec
    }

    /// The epoch of the log.
    pub fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    /// Where a conversation lives.
    pub fn partition_of(&self, conversation: &ConversationId) -> Partition {
        partition_of(conversation, self.log.partitions())
    }

    /// Every record before it is folded here.
    pub fn place(&self, partition: Partition) -> Position {
        self.shared.place(partition).map_or(Position::START, PartitionPlace::folded)
    }

    /// Waits until everything before `wanted` is folded here.
    ///
    /// # Errors
    /// [`MirrorError::Behind`] at the deadline.
    pub async fn reach(
        &self,
        partition: Partition,
        wanted: Position,
        deadline: Instant,
    ) -> Result<(), MirrorError> {
        let place = self.shared.place(partition).ok_or(ReadError::NoPartition { partition })?;
        let reached = timeout_at(deadline, place.reach(wanted)).await;
        reached.map_err(|_| MirrorError::Behind { partition, place: place.folded(), wanted })
    }

    /// Waits until everything that is in the log now is folded here, and says up to where that is.
    ///
    /// # Errors
    /// The log does not tell its tail, or this node does not reach it by the deadline.
    pub async fn catch_up(&self, partition: Partition, deadline: Instant) -> Result<Position, MirrorError> {
        let tail = self.log.tail(partition).await?;
        self.reach(partition, tail, deadline).await?;
        Ok(tail)
    }

    /// Brings a conversation into use and keeps it so as long as the handle lives, and a while longer. A
    /// conversation of which nothing is known yet can be tracked too. Must be called on a runtime; what was begun goes on there
    /// when the future is dropped, for whoever asks next.
    ///
    /// # Errors
    /// Log or history do not answer, or a bound is reached; nothing is kept then.
    pub async fn track(&self, conversation: &ConversationId) -> Result<Arc<Tracked>, MirrorError> {
        let partition = self.partition_of(conversation);
        let tracked = self.shared.enter(conversation, partition)?;
        let load = || {
            let (log, history) = (Arc::clone(&self.log), Arc::clone(&self.history));
            let (tracked, shared) = (Arc::clone(&tracked), Arc::clone(&self.shared));
            async move {
                let place = shared.place(partition).ok_or(ReadError::NoPartition { partition })?;
                tracked.load(&log, &history, &place.reading, &shared.codec).await
            }
        };
        self.loads.ended(&tracked, load).await?;
        Ok(tracked)
    }

    /// From now on `watcher` gets every [`Folded`] stretch, in order. When it is full the mirror waits for it; when
    /// its receiver is dropped it is forgotten.
    pub fn watch(&self, watcher: mpsc::Sender<Arc<Folded>>) {
        self.shared.watchers.lock().push(watcher);
    }

    /// From now on `witness` is shown every record, as long as it lives.
    pub fn show(&self, witness: Weak<dyn Witness>) {
        self.shared.witnesses.lock().push(witness);
    }
}

impl Shared {
    fn place(&self, partition: Partition) -> Option<&PartitionPlace> {
        self.places.get(usize::try_from(partition.0).ok()?)
    }

    /// The entry of a conversation, made if there is none; makes room by dropping those that are idle.
    fn enter(
        &self,
        conversation: &ConversationId,
        partition: Partition,
    ) -> Result<Arc<Tracked>, MirrorError> {
        let mut tracked = self.tracked.lock();
        let now = Instant::now();
        if let Some(entry) = tracked.get_mut(conversation) {
            entry.used = now;
            return Ok(Arc::clone(&entry.tracked));
        }
        if tracked.len() >= TRACKED_LEN_MAX && !make_room(&mut tracked) {
            return Err(MirrorError::Full);
        }
        let made =
            Arc::new(Tracked::new(conversation.clone(), partition, self.limits, Arc::clone(&self.room)));
        tracked.insert(conversation.clone(), Entry { tracked: Arc::clone(&made), used: now });
        Ok(made)
    }

    /// The conversation of a record, if it is in use.
    fn tracked_by(&self, record: &Record) -> Option<Arc<Tracked>> {
        self.tracked.lock().get(record.key_str()?).map(|entry| Arc::clone(&entry.tracked))
    }

    /// Drops the conversations that nobody has used for [`IDLE_MAX`]; says how many somebody uses now.
    fn sweep(&self) -> u32 {
        let (now, mut held) = (Instant::now(), 0);
        self.tracked.lock().retain(|_, entry| {
            if entry.is_held() {
                entry.used = now;
                held += 1;
            }
            now.duration_since(entry.used) < IDLE_MAX
        });
        held
    }
}

/// Drops the tenth of the conversations that nobody uses which were used longest ago, however late that was; says whether
/// there was one. So nobody can keep others out by asking for many.
fn make_room(tracked: &mut HashMap<ConversationId, Entry>) -> bool {
    let unused = tracked.iter().filter(|(_, entry)| !entry.is_held());
    let mut unused: Vec<_> = unused.map(|(conversation, entry)| (entry.used, conversation.clone())).collect();
    unused.sort_by_key(|(used, _)| *used);
    unused.truncate(unused.len().div_ceil(10));
    for (_, conversation) in &unused {
        tracked.remove(conversation);
    }
    !unused.is_empty()
}

impl Entry {
    /// Whether somebody uses it now.
    fn is_held(&self) -> bool {
        Arc::strong_count(&self.tracked) > 1
    }
}
