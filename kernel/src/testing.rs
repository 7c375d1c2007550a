//! A small world for tests and simulations: a log in memory, a history that is projected by hand, and the truth; an
//! [`issuer`] of tokens; and the [`lines`] that are logged.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "for tests, which are to end at what is unexpected"
)]

use std::{collections::BTreeMap, sync::Arc};

use schemas::{
    ChatEvent, ConversationId, EventBody, Offset, Partition, Position, Timestamp, Visibility,
    codec::Codec,
    event::{ConversationCreated, MessagePosted, Style},
};

use crate::{
    clock::ManualClock,
    conversation::{ConversationState, Fact},
    event_log::{EventLog, NewRecord, memory::MemoryLog},
    history::{Batch, History, Projected, StoredEvent, changes_of, memory::MemoryHistory},
};

pub mod issuer;
pub mod lines;

/// An event of `actor`.
pub fn event(conversation: &str, id: &str, actor: &str, body: impl Into<EventBody>) -> ChatEvent {
    ChatEvent {
        event_id: id.parse().unwrap(),
        conversation: conversation.parse().unwrap(),
        actor: actor.parse().unwrap(),
        occurred_at: Timestamp::from_millis(1_000),
        body: body.into(),
    }
}

/// An open conversation of ann's begins.
pub fn created(conversation: &str) -> ChatEvent {
    let body = ConversationCreated { title: None, visibility: Visibility::Open, members: Vec::new() };
    event(conversation, "created", "ann", body)
}

/// A message.
pub fn posted(conversation: &str, id: &str, actor: &str) -> ChatEvent {
    event(
        conversation,
        id,
        actor,
        MessagePosted { text: "hi".parse().unwrap(), style: Style::Plain, reply_to: None },
    )
}

/// A log with a history that is projected by hand, step by step.
#[derive(Debug)]
pub struct World {
    /// The log.
    pub log: MemoryLog,
    /// What was projected of it so far.
    pub history: MemoryHistory,
    /// The time at which records are appended.
    pub clock: ManualClock,
    /// The states of the projection.
    pub states: BTreeMap<ConversationId, Option<ConversationState>>,
}

impl World {
    /// An empty world with so many partitions.
    pub fn new(partitions: u32) -> Self {
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let log = MemoryLog::new(partitions, Arc::new(clock.clone()));
        Self { log, history: MemoryHistory::new(), clock, states: BTreeMap::new() }
    }

    /// Appends one event; says where it stands.
    pub async fn append(&self, event: &ChatEvent) -> (Partition, Offset) {
        let value = Codec::default().encode(event).unwrap();
        let record = NewRecord { key: event.conversation.clone(), value, headers: Vec::new() };
        let place = self.log.append(vec![record]).await.unwrap()[0];
        (place.partition, place.offset)
    }

    /// Brings the history forward by at most `limit` records of a partition.
    pub async fn project(&mut self, partition: Partition, limit: usize) {
        let from = self.history.progress(partition).await.unwrap().map_or(Position::START, |p| p.position);
        let records = self.log.read(partition, from, Position::new(u64::MAX), limit).await.unwrap();
        let Some(last) = records.last() else { return };
        let up_to = last.offset.position();
        let mut events = Vec::new();
        for record in records {
            let event = Arc::new(Codec::default().decode(&record.value).unwrap());
            let state = self.states.entry(event.conversation.clone()).or_default();
            let changes = changes_of(state.as_ref(), &event);
            let fact = Fact { event: &event, offset: record.offset, recorded_at: record.recorded_at };
            let void = ConversationState::evolve(state, fact).is_err();
            let changes = if void { Vec::new() } else { changes };
            let (offset, recorded_at, value) = (record.offset, record.recorded_at, record.value);
            events
                .push(Projected { event: StoredEvent { offset, recorded_at, value, event, void }, changes });
        }
        let epoch = self.log.epoch();
        let up_to = [(partition, up_to)].into();
        self.history.apply(Batch { epoch, up_to, events }).await.unwrap();
    }

    /// The state of a conversation and its valid positions, folded from the whole log.
    pub async fn truth(
        &self,
        conversation: &ConversationId,
        partition: Partition,
    ) -> (Option<ConversationState>, Vec<Position>) {
        let (mut state, mut valid) = (None, Vec::new());
        let mut from = Position::START;
        loop {
            let records = self.log.read(partition, from, Position::new(u64::MAX), 1_000).await.unwrap();
            let Some(last) = records.last() else { return (state, valid) };
            from = last.offset.position();
            for record in records.iter().filter(|r| r.key_str() == Some(conversation.as_str())) {
                let event = Codec::default().decode(&record.value).unwrap();
                let fact = Fact { event: &event, offset: record.offset, recorded_at: record.recorded_at };
                if ConversationState::evolve(&mut state, fact).is_ok() {
                    valid.push(record.offset.position());
                }
            }
        }
    }
}
