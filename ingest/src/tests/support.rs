//! A site: one log, one history, and as many nodes as a test wants.

use std::{collections::HashMap, sync::Arc};

use futures_util::FutureExt;
use kernel::{
    EventLog, History,
    clock::ManualClock,
    command::{Accepted, Command, CommandError, CommandSink, Request},
    conversation::{ConversationState, Fact},
    event_log::{
        BATCH_LEN_MAX, Record, SharedLog,
        faulty::{Faults, FaultyLog},
        memory::MemoryLog,
    },
    history::{
        Batch, Projected, SharedHistory, StoredEvent, changes_of,
        faulty::{FaultyHistory, HistoryFaults},
        memory::MemoryHistory,
    },
    identity::Identity,
    mirror::Mirror,
};
use schemas::{
    ChatEvent, ConversationId, Epoch, EventId, Offset, Partition, Position, Timestamp, Visibility,
    caps::REPEAT_WINDOW_MS, codec::Codec, event::Style,
};

use crate::Ingest;

const END: Position = Position::new(u64::MAX);

pub(super) struct Site {
    pub(super) clock: ManualClock,
    pub(super) log: MemoryLog,
    pub(super) history: MemoryHistory,
}

impl Site {
    /// With one partition, so that places are easily named.
    pub(super) fn new() -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(1_700_000_000_000));
        let log = MemoryLog::new(1, Arc::new(clock.clone()));
        Self { clock, log, history: MemoryHistory::new() }
    }

    /// A node that works on the log as it is.
    pub(super) async fn node(&self) -> Arc<Ingest> {
        self.node_on(Arc::new(self.log.clone())).await
    }

    /// A node whose ways to the log fail as `faults` say.
    pub(super) async fn faulty_node(&self, faults: &Faults) -> Arc<Ingest> {
        self.node_on(Arc::new(FaultyLog::new(Arc::new(self.log.clone()), faults))).await
    }

    async fn node_on(&self, log: SharedLog) -> Arc<Ingest> {
        self.node_of(log, Arc::new(self.history.clone())).await
    }

    /// A node whose questions to the history fail as the faults say.
    pub(super) async fn forgetful_node(&self) -> (Arc<Ingest>, HistoryFaults) {
        let (history, faults) = FaultyHistory::new(Arc::new(self.history.clone()));
        (self.node_of(Arc::new(self.log.clone()), Arc::new(history)).await, faults)
    }

    async fn node_of(&self, log: SharedLog, history: SharedHistory) -> Arc<Ingest> {
        let mirror = Mirror::start(log, history).await.unwrap();
        Ingest::new(mirror, Arc::new(self.clock.clone()))
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    /// All records.
    pub(super) async fn records(&self) -> Vec<Record> {
        let mut records: Vec<Record> = Vec::new();
        loop {
            let from = records.last().map_or(Position::START, |last| last.offset.position());
            let more = self.log.read(Partition(0), from, END, BATCH_LEN_MAX).await.unwrap();
            if more.is_empty() {
                return records;
            }
            records.extend(more);
        }
    }

    /// The events of the log, with whether each counts.
    pub(super) async fn events(&self) -> Vec<(ChatEvent, bool)> {
        self.fold()
            .await
            .into_iter()
            .map(|projected| ((*projected.event.event).clone(), !projected.event.void))
            .collect()
    }

    /// The ids of the events that count.
    pub(super) async fn valid_ids(&self) -> Vec<String> {
        let events = self.events().await;
        events
            .into_iter()
            .filter(|(_, counts)| *counts)
            .map(|(event, _)| event.event_id.to_string())
            .collect()
    }

    /// Brings the history level with the log: what the projector of the store does.
    pub(super) async fn project(&self) {
        let events = self.fold().await;
        let up_to = [(Partition(0), self.log.tail(Partition(0)).await.unwrap())].into();
        let batch = Batch { epoch: self.log.epoch(), up_to, events };
        self.history.apply(batch).await.unwrap();
    }

    async fn fold(&self) -> Vec<Projected> {
        let codec = Codec::default();
        let mut states: HashMap<ConversationId, Option<ConversationState>> = HashMap::new();
        let mut events = Vec::new();
        for record in self.records().await {
            let event = Arc::new(codec.decode(&record.value).unwrap());
            let state = states.entry(event.conversation.clone()).or_default();
            let changes = changes_of(state.as_ref(), &event);
            let Record { offset, recorded_at, value, .. } = record;
            let void = ConversationState::evolve(state, Fact { event: &event, offset, recorded_at }).is_err();
            let changes = if void { Vec::new() } else { changes };
            events
                .push(Projected { event: StoredEvent { offset, recorded_at, value, event, void }, changes });
        }
        events
    }
}

pub(super) fn identity(user: &str) -> Identity {
    Identity { user: user.parse().unwrap(), admin: false, expires_at: None }
}

pub(super) fn id(id: &str) -> EventId {
    id.parse().unwrap()
}

pub(super) fn request(user: &str, event_id: &str, command: Command) -> Request {
    Request {
        identity: identity(user),
        conversation: "tea".parse().unwrap(),
        event_id: id(event_id),
        command,
    }
}

/// `user` asks for `command` in the conversation `tea`.
pub(super) async fn ask(
    node: &Ingest,
    user: &str,
    event_id: &str,
    command: Command,
) -> Result<Accepted, CommandError> {
    node.execute(request(user, event_id, command)).await
}

pub(super) async fn create(node: &Ingest) -> Accepted {
    ask(node, "ann", "c-1", open()).await.unwrap()
}

pub(super) async fn post(node: &Ingest, user: &str, event_id: &str) -> Result<Accepted, CommandError> {
    ask(node, user, event_id, say("hi")).await
}

pub(super) fn open() -> Command {
    Command::CreateConversation { title: None, visibility: Visibility::Open, members: Vec::new() }
}

pub(super) fn say(text: &str) -> Command {
    Command::PostMessage { text: text.parse().unwrap(), style: Style::Plain, reply_to: None }
}

/// What is accepted is this: the place, and whether it was done before.
pub(super) fn place(accepted: Result<Accepted, CommandError>) -> (u64, bool) {
    let accepted = accepted.unwrap();
    (accepted.position.get(), accepted.duplicate)
}

pub(super) fn code<T: std::fmt::Debug>(refused: Result<T, CommandError>) -> &'static str {
    refused.unwrap_err().code()
}

/// Waits until the log has so many records.
pub(super) async fn until_len(site: &Site, len: u64) {
    while site.log.tail(Partition(0)).await.unwrap() < Position::new(len) {
        tokio::task::yield_now().await;
    }
    assert_eq!(site.log.tail(Partition(0)).await.unwrap().last(), Some(Offset::new(len - 1)));
}

/// A site where `m-1` has left the window of the conversation.
pub(super) async fn long_after(site: &Site) {
    let node = site.node().await;
    create(&node).await;
    post(&node, "ann", "m-1").await.unwrap();
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    post(&node, "ann", "m-2").await.unwrap();
}

/// Gives it many chances to end; it does not.
pub(super) async fn still_waits<F: Future + Unpin>(future: &mut F) {
    for _ in 0..100 {
        assert!((&mut *future).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
}
