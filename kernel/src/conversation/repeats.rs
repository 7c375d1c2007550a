//! The ids of late: how the fold recognises an event that came twice.
//!
//! The window need only be older than an append may take ([`caps::REPEAT_WINDOW_MS`]): what is older was looked
//! up by ingest before it appended. It is measured in the time of the log's records, never in
//! the time of the machine that folds, so that everybody who folds has the same window.

use std::collections::{HashMap, VecDeque};

use schemas::{EventBody, EventId, Offset, Position, Timestamp, UserId, caps};

use super::{Fact, MessageFacts};

/// The valid events of late, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeats {
    seen: HashMap<EventId, Seen>,
    /// Messages that were posted or withdrawn of late, and by the event at which offset.
    messages: HashMap<EventId, (MessageFacts, Offset)>,
    /// What to forget next.
    order: VecDeque<Note>,
    /// The log's time: the latest of any record folded.
    now: Timestamp,
}

/// What an event noted about an id: its own, or that of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    id: EventId,
    /// Where the event stands.
    offset: Offset,
    /// When it came, in the log's time.
    at: Timestamp,
}

/// One valid event of late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it stands.
    pub offset: Offset,
    /// Whose act it was.
    pub actor: UserId,
    /// Its type.
    pub type_name: &'static str,
}

impl Repeats {
    /// Most notes that are kept for one conversation: what 1,600 events a second leave in the window. Whoever
    /// rebuilds the notes need not note more than so many events, the last ones.
    pub const LEN_MAX: usize = 100_000;

    /// The event with this id, if it is of late.
    pub fn find(&self, event_id: &EventId) -> Option<&Seen> {
        self.seen.get(event_id)
    }

    /// The ids of the events of late.
    pub fn ids(&self) -> impl Iterator<Item = &EventId> {
        self.seen.keys()
    }

    /// The message with this id, if it was posted or withdrawn of late.
    pub fn message(&self, message_id: &EventId) -> Option<&MessageFacts> {
        self.messages.get(message_id).map(|(facts, _)| facts)
    }

    /// How many notes there are: what the window weighs, at most [`Self::LEN_MAX`].
    pub fn notes(&self) -> usize {
        self.order.len()
    }

    /// How far back the window reaches: every valid event that was recorded at or after this is in it.
    pub fn since(&self) -> Timestamp {
        match self.order.front() {
            // Notes had to go before their time; one of the moment of the oldest may be among them.
            Some(oldest) if self.order.len() >= Self::LEN_MAX => {
                Timestamp::from_millis(oldest.at.as_millis() + 1)
            }
            _ => Timestamp::from_millis(self.now.as_millis() - caps::REPEAT_WINDOW_MS),
        }
    }

    /// The position after the last valid event, whatever it was: how far the window looks.
    pub fn up_to(&self) -> Position {
        self.order.back().map_or(Position::START, |newest| newest.offset.position())
    }

    /// Takes note of a valid event and forgets what the window has left behind.
    pub fn note(&mut self, fact: Fact<'_>) {
        let event = fact.event;
        self.now = self.now.max(fact.recorded_at);
        let (offset, at) = (fact.offset, self.now);
        let (event_id, actor) = (event.event_id.clone(), event.actor.clone());
        match &event.body {
            EventBody::MessagePosted(_) => {
                let facts = MessageFacts { author: Some(actor.clone()), redacted: false };
                self.messages.insert(event_id.clone(), (facts, offset));
            }
            EventBody::MessageRedacted(redacted) => {
                // Whose it was makes no difference any more: nothing may be done to it.
                let facts = MessageFacts { author: None, redacted: true };
                self.messages.insert(redacted.message_id.clone(), (facts, offset));
                self.order.push_back(Note { id: redacted.message_id.clone(), offset, at });
            }
            _ => {}
        }
        let seen = Seen { offset, actor, type_name: event.body.type_name() };
        self.seen.insert(event_id.clone(), seen);
        self.order.push_back(Note { id: event_id, offset, at });
        self.forget();
    }

    fn forget(&mut self) {
        let since = self.now.as_millis() - caps::REPEAT_WINDOW_MS;
        while let Some(Note { id, offset, at }) = self.order.front()
            && (at.as_millis() < since || self.order.len() > Self::LEN_MAX)
        {
            // A message that was withdrawn since it was posted has a younger note, which stays.
            if self.seen.get(id).is_some_and(|seen| seen.offset <= *offset) {
                self.seen.remove(id);
            }
            if self.messages.get(id).is_some_and(|(_, noted)| noted <= offset) {
                self.messages.remove(id);
            }
            self.order.pop_front();
        }
    }
}
