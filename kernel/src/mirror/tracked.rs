//! One conversation in use: its state and its events of late; `loading` brings both here.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Offset, Partition, Position, Timestamp,
    codec::{Codec, SchemaId},
    json::EventJson,
};

use super::{
    MirrorError,
    loads::UnderWay,
    used_ids::{Room, UsedIds},
};
use crate::{
    conversation::{ConversationState, Fact, Void},
    event_log::{Reading, Record, read},
    trace::{self, Trace},
};

mod loading;

pub use loading::{SCAN_LEN_MAX, check_scan};

use loading::Held;

/// How many events of late are kept for sessions that come back.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most events of a conversation.
    pub recent_len_max: usize,
    /// Most bytes of their records.
    pub recent_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { recent_len_max: 512, recent_bytes_max: 128 * 1_024 }
    }
}

/// Most events that are known to be void; ingest asks about an event right after it appended it.
const VOIDS_LEN_MAX: usize = 512;

/// A valid event of a tracked conversation.
#[derive(Debug)]
pub struct LiveEvent {
    /// Its partition.
    pub partition: Partition,
    /// The position after it: what clients keep.
    pub position: Position,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// What happened.
    pub event: Arc<ChatEvent>,
    /// The trace that it is part of, if that is sampled and was just read from the log.
    pub trace: Option<Trace>,
    /// Length of the record's value, by which the events of late are bounded.
    len: usize,
    json: OnceLock<Bytes>,
}

impl LiveEvent {
    /// The event of a record at `offset`, whose value has `len` bytes.
    pub fn new(
        partition: Partition,
        offset: Offset,
        recorded_at: Timestamp,
        event: Arc<ChatEvent>,
        len: usize,
    ) -> Self {
        let position = offset.position();
        Self { partition, position, recorded_at, event, trace: None, len, json: OnceLock::new() }
    }

    /// The same as part of a trace.
    #[must_use]
    fn traced(self, trace: Option<Trace>) -> Self {
        Self { trace, ..self }
    }

    /// The JSON form, written once for everybody.
    pub fn json(&self) -> &Bytes {
        self.json.get_or_init(|| {
            let mut json = Vec::with_capacity(self.len + JSON_MORE);
            EventJson::new(&self.event, self.position, self.recorded_at).write_to(&mut json);
            json.into()
        })
    }
}

/// What became of an event that stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It counts.
    Valid,
    /// It counts for nobody.
    Void(Void),
}

/// About how much longer an event is as JSON: the names of its fields, and times in words.
const JSON_MORE: usize = 224;

/// A conversation in use. Its state is that at the mirror's place, once it is loaded.
pub struct Tracked {
    conversation: ConversationId,
    partition: Partition,
    /// Its load.
    pub(super) under_way: UnderWay,
    inner: Mutex<Inner>,
}

impl fmt::Debug for Tracked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracked").field("conversation", &self.conversation).finish_non_exhaustive()
    }
}

struct Inner {
    limits: Limits,
    /// Records that arrived while the conversation is loaded; `None` once it is.
    held: Option<Held>,
    state: Option<ConversationState>,
    /// All before it is folded: only what came to this conversation moves it.
    folded: Position,
    recent: VecDeque<Arc<LiveEvent>>,
    recent_bytes: usize,
    /// `recent` holds every valid event after it.
    recent_since: Position,
    voids: VecDeque<(Offset, Void)>,
    used: UsedIds,
}

/// The ids that a conversation has used, while they are read from the history. Dropping it gives up.
#[derive(Debug)]
pub struct Learning<'a> {
    tracked: &'a Tracked,
}

impl Learning<'_> {
    /// Every valid event has one of these ids, or is in the window, or was folded since. `None`: there are too many.
    pub fn end(self, ids: Option<&[EventId]>) {
        self.tracked.inner.lock().used.end(ids);
    }
}

impl Drop for Learning<'_> {
    fn drop(&mut self) {
        self.tracked.inner.lock().used.give_up();
    }
}

/// A record that only a newer build can read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newer {
    pub(super) offset: Offset,
    pub(super) schema: SchemaId,
}

impl Tracked {
    pub(super) fn new(
        conversation: ConversationId,
        partition: Partition,
        limits: Limits,
        room: Arc<Room>,
    ) -> Self {
        let inner = Mutex::new(Inner::unloaded(limits, UsedIds::new(room)));
        Self { conversation, partition, under_way: UnderWay::default(), inner }
    }

    /// Which conversation.
    pub fn conversation(&self) -> &ConversationId {
        &self.conversation
    }

    /// Where it lives.
    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// Looks at the state. Keep it short: the fold of this conversation waits meanwhile.
    pub fn look<R>(&self, look: impl FnOnce(Option<&ConversationState>) -> R) -> R {
        look(self.inner.lock().state.as_ref())
    }

    /// Whether it is certain, without a look at the history, that no valid event folded here has this id.
    pub fn has_never_used(&self, id: &EventId) -> bool {
        self.inner.lock().used.lack(id)
    }

    /// The history is to be asked for so many ids. If that was done often enough, it is time to learn them all: the caller then waits until
    /// the history has everything that lies before the window of the state as it is after this call, and reads the ids of all valid
    /// events, if they are no more than [`USED_IDS_READ_MAX`](super::USED_IDS_READ_MAX).
    pub fn learn_used(&self, asking: usize) -> Option<Learning<'_>> {
        let mut inner = self.inner.lock();
        let Inner { state, used, .. } = &mut *inner;
        let of_late = state.iter().flat_map(|state| state.repeats.ids());
        let begun = used.begin(asking, of_late);
        begun.then(|| Learning { tracked: self })
    }

    /// What became of the event at `offset`, which is folded here ([`super::Mirror::reach`]) and was appended
    /// a moment ago.
    pub fn outcome(&self, offset: Offset) -> Outcome {
        let inner = self.inner.lock();
        let void = inner.voids.iter().rev().find(|(at, _)| *at == offset);
        void.map_or(Outcome::Valid, |(_, void)| Outcome::Void(void.clone()))
    }

    /// The valid events after `after`, oldest first, at most `limit`, if all of them are still at hand.
    pub fn recent(&self, after: Position, limit: usize) -> Option<Vec<Arc<LiveEvent>>> {
        let inner = self.inner.lock();
        if after < inner.recent_since {
            return None;
        }
        let from = inner.recent.partition_point(|event| event.position <= after);
        Some(inner.recent.iter().skip(from).take(limit).cloned().collect())
    }

    /// All of this conversation before it is folded. It may lie beyond the mirror's place: what was folded in
    /// loading is in the state, and no watcher is told of it.
    pub fn folded(&self) -> Position {
        self.inner.lock().folded
    }

    /// [`Tracked::recent`] holds every valid event after it.
    pub fn recent_since(&self) -> Position {
        self.inner.lock().recent_since
    }

    /// Takes the next record of this conversation; gives the event if it counts.
    ///
    /// # Errors
    /// It cannot be read yet, and is not taken.
    pub(super) fn take(&self, record: &Record, codec: &Codec) -> Result<Option<Arc<LiveEvent>>, Newer> {
        let mut inner = self.inner.lock();
        match &mut inner.held {
            Some(held) => {
                held.push(record.clone());
                Ok(None)
            }
            None => inner.fold(record, self.partition, codec),
        }
    }
}

impl Newer {
    fn of(self, partition: Partition) -> MirrorError {
        MirrorError::Newer { partition, offset: self.offset, schema: self.schema }
    }
}

impl Inner {
    fn unloaded(limits: Limits, used: UsedIds) -> Self {
        Self {
            limits,
            held: Some(Held::default()),
            state: None,
            folded: Position::START,
            recent: VecDeque::new(),
            recent_bytes: 0,
            recent_since: Position::START,
            voids: VecDeque::new(),
            used,
        }
    }

    fn fold(
        &mut self,
        record: &Record,
        partition: Partition,
        codec: &Codec,
    ) -> Result<Option<Arc<LiveEvent>>, Newer> {
        if self.folded.covers(record.offset) {
            return Ok(None);
        }
        let span = trace::consume(record, partition, "mirror");
        let judged = span.in_scope(|| fold(&mut self.state, record, codec))?;
        self.folded = record.offset.position();
        Ok(match judged {
            None => None,
            Some(Ok(event)) => {
                if matches!(event.body, EventBody::ConversationCreated(_)) {
                    self.used.found();
                }
                self.used.note(&event.event_id);
                let len = record.value.len();
                let event = LiveEvent::new(partition, record.offset, record.recorded_at, event, len);
                let event = Arc::new(event.traced(Trace::of_span(&span)));
                self.keep(Arc::clone(&event));
                Some(event)
            }
            Some(Err(void)) => {
                self.voids.push_back((record.offset, void));
                if self.voids.len() > VOIDS_LEN_MAX {
                    self.voids.pop_front();
                }
                None
            }
        })
    }

    fn keep(&mut self, event: Arc<LiveEvent>) {
        self.recent_bytes += event.len;
        self.recent.push_back(event);
        while (self.recent.len() > self.limits.recent_len_max
            || self.recent_bytes > self.limits.recent_bytes_max)
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_bytes -= oldest.len;
            self.recent_since = oldest.position;
        }
    }
}

/// Reads and folds one record. `None`: it is no event, which was logged.
fn fold(
    state: &mut Option<ConversationState>,
    record: &Record,
    codec: &Codec,
) -> Result<Option<Result<Arc<ChatEvent>, Void>>, Newer> {
    let event = match read(record, codec) {
        Reading::Event(event) => Arc::new(event),
        Reading::NotOurs(reason) => {
            let offset = record.offset.get();
            tracing::error!(offset, %reason, "a record is no event; it is passed over");
            return Ok(None);
        }
        Reading::Newer(schema) => return Err(Newer { offset: record.offset, schema }),
    };
    let fact = Fact { event: &event, offset: record.offset, recorded_at: record.recorded_at };
    Ok(Some(ConversationState::evolve(state, fact).map(|()| event)))
}
