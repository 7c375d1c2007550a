//! What the history tells of messages, events and conversations.

use schemas::{
    ConversationId, Emoji, EventId, MessageText, Offset, Position, Timestamp, Title, UserId, Visibility,
    event::Style,
};
use serde::Serialize;

use crate::conversation::Standing;

/// A message as it looks now. Serialises to the JSON that clients get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// The wire position of the event that posted it.
    pub offset: Position,
    /// Its id.
    pub message_id: EventId,
    /// Who wrote it.
    pub author: UserId,
    /// What it says now; `None` once it is redacted.
    pub text: Option<MessageText>,
    /// How it is meant.
    pub style: Style,
    /// What it answers.
    pub reply_to: Option<EventId>,
    /// When it was posted.
    pub occurred_at: Timestamp,
    /// When its text was last replaced.
    pub edited_at: Option<Timestamp>,
    /// When it was withdrawn.
    pub redacted_at: Option<Timestamp>,
    /// Who withdrew it.
    pub redacted_by: Option<UserId>,
    /// The reactions to it, by emoji, both in the order of their bytes.
    pub reactions: Vec<Reaction>,
}

/// Who reacted to a message with one emoji.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// With what.
    pub emoji: Emoji,
    /// Who, at least one.
    pub users: Vec<UserId>,
}

/// An event found by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Where it stands.
    pub offset: Offset,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// Whose act it was.
    pub actor: UserId,
    /// Its type, as in [`schemas::EventBody::type_name`].
    pub type_name: String,
    /// If it posted a message: whether that was redacted since.
    pub redacted: bool,
}

/// A conversation as its members see it in a list. Serialises to the JSON that clients get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// Which.
    pub conversation: ConversationId,
    /// What it is called.
    pub title: Option<Title>,
    /// Who may read and write it.
    pub visibility: Visibility,
    /// Whether it is closed for writing.
    pub archived: bool,
    /// How the person who asked stands towards it.
    pub standing: Standing,
    /// The wire position of its last valid event other than a read marker.
    pub last_offset: Position,
    /// When that event occurred.
    pub last_at: Timestamp,
    /// How far the person who asked has read.
    pub read_up_to: Position,
}

/// A message as it was posted, whatever became of it since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post {
    /// Where it was posted.
    pub offset: Offset,
    /// Who wrote it.
    pub author: UserId,
    /// What it said.
    pub text: MessageText,
}
