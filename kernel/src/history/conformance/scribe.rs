//! Writes a small log and folds it into batches, as the projector does.

use std::{collections::BTreeMap, sync::Arc};

use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Offset, Partition, Position, Timestamp, UserId,
    codec::Codec,
};

use crate::{
    conversation::{ConversationState, Fact, Void},
    history::{Batch, Projected, StoredEvent, changes_of},
};

/// One partition of a log, with the fold of its conversations.
#[derive(Debug, Clone)]
pub struct Scribe {
    /// Which partition.
    pub partition: Partition,
    /// Which incarnation of the log.
    pub epoch: schemas::Epoch,
    /// When the next record is taken.
    pub now: Timestamp,
    /// The offset of the next record.
    pub next: Offset,
    /// Every event so far, in order.
    pub projected: Vec<Projected>,
    states: BTreeMap<ConversationId, Option<ConversationState>>,
    codec: Codec,
}

impl Default for Scribe {
    fn default() -> Self {
        Self {
            partition: Partition(0),
            epoch: "first".parse().unwrap(),
            now: Timestamp::from_millis(1_700_000_000_000),
            next: Offset::new(0),
            projected: Vec::new(),
            states: BTreeMap::new(),
            codec: Codec::default(),
        }
    }
}

impl Scribe {
    /// The log of that partition.
    pub fn of(partition: Partition) -> Self {
        Self { partition, ..Self::default() }
    }

    /// Lets time pass, in milliseconds.
    pub fn advance(&mut self, millis: i64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + millis);
    }

    /// Leaves an offset to a record that is no event.
    pub fn skip(&mut self) {
        self.next = Offset::new(self.next.get() + 1);
    }

    /// Takes an event into the log, and says whether it counts.
    ///
    /// # Errors
    /// Why it is void; it stands in the log all the same.
    pub fn record(&mut self, event: ChatEvent) -> Result<Offset, Void> {
        let (offset, recorded_at) = (self.next, self.now);
        let state = self.states.entry(event.conversation.clone()).or_default();
        let mut changes = changes_of(state.as_ref(), &event);
        let verdict = ConversationState::evolve(state, Fact { event: &event, offset, recorded_at });
        if verdict.is_err() {
            changes.clear();
        }
        let value = self.codec.encode(&event).unwrap();
        let event =
            StoredEvent { offset, recorded_at, value, event: Arc::new(event), void: verdict.is_err() };
        self.projected.push(Projected { event, changes });
        self.skip();
        verdict.map(|()| offset)
    }

    /// The same for an act of `actor` in `conversation`. It occurred a second before the log took it.
    ///
    /// # Errors
    /// Why it is void.
    pub fn act(
        &mut self,
        conversation: &str,
        actor: &str,
        event_id: &str,
        body: impl Into<EventBody>,
    ) -> Result<Offset, Void> {
        self.record(ChatEvent {
            event_id: event_id.parse().unwrap(),
            conversation: conversation.parse().unwrap(),
            actor: actor.parse().unwrap(),
            occurred_at: Timestamp::from_millis(self.now.as_millis() - 1_000),
            body: body.into(),
        })
    }

    /// The same in the conversation `tea`, for an act that counts.
    ///
    /// # Panics
    /// If it is void.
    pub fn does(&mut self, actor: &str, event_id: &str, body: impl Into<EventBody>) -> Offset {
        self.act("tea", actor, event_id, body).expect("the act counts")
    }

    /// The position after the last record.
    pub fn tail(&self) -> Position {
        Position::new(self.next.get())
    }

    /// The records from `from` on and before `to`.
    pub fn batch(&self, from: u64, to: u64) -> Batch {
        let within = |projected: &&Projected| (from..to).contains(&projected.event.offset.get());
        Batch {
            epoch: self.epoch.clone(),
            up_to: [(self.partition, Position::new(to))].into(),
            events: self.projected.iter().filter(within).cloned().collect(),
        }
    }

    /// All records.
    pub fn whole(&self) -> Batch {
        self.batch(0, self.next.get())
    }

    /// What the fold says of a conversation after the records before `position`.
    pub fn state_at(&self, conversation: &ConversationId, position: Position) -> Option<ConversationState> {
        let mut state = None;
        for Projected { event, .. } in &self.projected {
            if event.event.conversation == *conversation && position.covers(event.offset) {
                let fact = Fact { event: &event.event, offset: event.offset, recorded_at: event.recorded_at };
                ConversationState::evolve(&mut state, fact).ok();
            }
        }
        state
    }

    /// What the fold says of a conversation now.
    pub fn state(&self, conversation: &ConversationId) -> Option<&ConversationState> {
        self.states.get(conversation)?.as_ref()
    }

    /// An event so far, by its offset.
    pub fn stored(&self, offset: Offset) -> &StoredEvent {
        let found = self.projected.iter().find(|projected| projected.event.offset == offset);
        &found.expect("an event stands there").event
    }
}

/// A user id.
pub fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

/// An event id.
pub fn event_id(id: &str) -> EventId {
    id.parse().unwrap()
}

/// Bodies in few words.
pub mod body {
    use schemas::{
        Visibility,
        event::{
            ConversationChanged, ConversationCreated, MemberJoined, MemberLeft, MemberRemoved, MemberRenamed,
            MessageEdited, MessagePosted, MessageRedacted, ReactionAdded, ReactionRemoved, ReadMarkerMoved,
            Role, RoleChanged, Style,
        },
    };

    use super::{EventBody, Position, event_id, user};

    /// The conversation, with members.
    pub fn created(visibility: Visibility, members: &[&str]) -> EventBody {
        let members = members.iter().map(|name| user(name)).collect();
        ConversationCreated { title: None, visibility, members }.into()
    }

    /// Another title.
    pub fn retitled(title: &str) -> EventBody {
        ConversationChanged { title: Some(title.parse().unwrap()), archived: None }.into()
    }

    /// Closed, or opened again.
    pub fn archived(archived: bool) -> EventBody {
        ConversationChanged { title: None, archived: Some(archived) }.into()
    }

    /// Somebody joined, or was added.
    pub fn joined(member: &str) -> EventBody {
        MemberJoined { member: user(member) }.into()
    }

    /// The actor left.
    pub fn left() -> EventBody {
        MemberLeft { parting_words: schemas::PartingWords::default() }.into()
    }

    /// Somebody was removed.
    pub fn removed(member: &str) -> EventBody {
        MemberRemoved { member: user(member) }.into()
    }

    /// Somebody has another role.
    pub fn role(member: &str, role: Role) -> EventBody {
        RoleChanged { member: user(member), role }.into()
    }

    /// The actor has another name.
    pub fn renamed(to: &str) -> EventBody {
        MemberRenamed { to: user(to) }.into()
    }

    /// A plain message.
    pub fn posted(text: &str) -> EventBody {
        MessagePosted { text: text.parse().unwrap(), style: Style::Plain, reply_to: None }.into()
    }

    /// A message that answers another.
    pub fn answered(text: &str, style: Style, reply_to: &str) -> EventBody {
        MessagePosted { text: text.parse().unwrap(), style, reply_to: Some(event_id(reply_to)) }.into()
    }

    /// Another text.
    pub fn edited(message_id: &str, text: &str) -> EventBody {
        MessageEdited { message_id: event_id(message_id), text: text.parse().unwrap() }.into()
    }

    /// Withdrawn.
    pub fn redacted(message_id: &str) -> EventBody {
        MessageRedacted { message_id: event_id(message_id) }.into()
    }

    /// A reaction, or its end.
    pub fn reacted(message_id: &str, emoji: &str, present: bool) -> EventBody {
        let (message_id, emoji) = (event_id(message_id), emoji.parse().unwrap());
        if present {
            ReactionAdded { message_id, emoji }.into()
        } else {
            ReactionRemoved { message_id, emoji }.into()
        }
    }

    /// Read up to a position.
    pub fn read(up_to: u64) -> EventBody {
        ReadMarkerMoved { up_to: Position::new(up_to) }.into()
    }
}
