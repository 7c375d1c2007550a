//! Events: what happened in a conversation. Past tense, never changed, never deleted.
//!
//! A [`ChatEvent`] says who did it ([`ChatEvent::actor`]), when, and in its body what. The id of a message
//! is the id of the event that posted it; its author is the actor of that event.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ConversationId, EventId, UserId},
    position::Position,
    text::{Emoji, MessageText, PartingWords, Title},
    time::Timestamp,
};

/// One fact about one conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatEvent {
    /// Names the event within its conversation. A second event with the id of an earlier one is void.
    pub event_id: EventId,
    /// The conversation it belongs to; the key of its record.
    pub conversation: ConversationId,
    /// Who did it.
    pub actor: UserId,
    /// When it was done: the time of acceptance, or for imported conversations the time it bears there.
    pub occurred_at: Timestamp,
    /// What was done.
    pub body: EventBody,
}

/// Who may read and write a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Everybody who is signed in may read, write and join, except people who were removed.
    Open,
    /// Only members may read and write; moderators and owners add people.
    Private,
}

/// What a member may do, rising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads and writes.
    Member,
    /// Also adds and removes people, changes the title, redacts messages of others.
    Moderator,
    /// Also gives roles and archives.
    Owner,
}

/// How a message is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// The author says it.
    #[default]
    Plain,
    /// The author does it (`/me waves`).
    Action,
}

/// Declares the bodies of events: one struct each, and the enum [`EventBody`] over them.
///
/// The name of a variant is the event's type, on the topic (header `event-type`, Avro record name) and in JSON alike.
macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })+) => {
        $(
            $(#[$doc])*
            #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl From<$name> for EventBody {
                fn from(body: $name) -> Self {
                    Self::$name(body)
                }
            }
        )+

        /// What happened. The order of the variants is the order of the union in the Avro schema: append only.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub enum EventBody {
            $(
                #[doc = concat!("See [`struct@", stringify!($name), "`].")]
                $name($name),
            )+
        }

        impl EventBody {
            /// The types of event there are, in the order of the variants.
            pub const TYPES: &[&str] = &[$(stringify!($name)),+];

            /// The type of this event, as headers and JSON name it.
            pub const fn type_name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)+
                }
            }

            /// Writes the body alone, without its type.
            ///
            /// # Errors
            /// Those of the serializer.
            pub fn serialize_untagged<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $(Self::$name(body) => body.serialize(serializer),)+
                }
            }

            /// Reads a body of the named type from JSON.
            ///
            /// # Errors
            /// The type is unknown, or the JSON is no body of it.
            pub fn from_json(type_name: &str, json: &str) -> Result<Self, serde_json::Error> {
                match type_name {
                    $(stringify!($name) => serde_json::from_str::<$name>(json).map(Self::$name),)+
                    other => Err(serde::de::Error::unknown_variant(other, Self::TYPES)),
                }
            }
        }
    };
}

bodies! {
    /// The conversation exists from here on. The actor is its owner.
    ConversationCreated {
        /// What it is called; `None`: by its id.
        title: Option<Title>,
        /// Who may read and write it.
        visibility: Visibility,
        /// Who is a member from the start, besides the owner.
        members: Vec<UserId>,
    }
    /// The title or the archived flag changed. `None` means unchanged.
    ConversationChanged {
        /// The new title.
        title: Option<Title>,
        /// Whether it is closed for writing from here on.
        archived: Option<bool>,
    }
    /// Somebody is a member from here on: by joining (actor and member are the same) or by being added.
    MemberJoined {
        /// Who.
        member: UserId,
    }
    /// The actor is no member any more, by own will.
    MemberLeft {
        /// What was said in leaving; often empty.
        parting_words: PartingWords,
    }
    /// The actor removed a member, who may come back only by being added again.
    MemberRemoved {
        /// Who was removed.
        member: UserId,
    }
    /// The actor gave a member another role.
    RoleChanged {
        /// Who.
        member: UserId,
        /// The role from here on.
        role: Role,
    }
    /// The actor goes by another name from here on (imported conversations only).
    MemberRenamed {
        /// The new name.
        to: UserId,
    }
    /// The actor posted a message, whose id is the id of this event.
    MessagePosted {
        /// What it says.
        text: MessageText,
        /// How it is meant.
        #[serde(default)]
        style: Style,
        /// The message it answers.
        reply_to: Option<EventId>,
    }
    /// The author replaced the text of a message.
    MessageEdited {
        /// Which message.
        message_id: EventId,
        /// The text from here on.
        text: MessageText,
    }
    /// The author or a moderator withdrew a message.
    MessageRedacted {
        /// Which message.
        message_id: EventId,
    }
    /// The actor reacted to a message.
    ReactionAdded {
        /// Which message.
        message_id: EventId,
        /// With what.
        emoji: Emoji,
    }
    /// The actor took a reaction back.
    ReactionRemoved {
        /// Which message.
        message_id: EventId,
        /// Which reaction.
        emoji: Emoji,
    }
    /// The actor has read everything before a position.
    ReadMarkerMoved {
        /// All before it is read.
        up_to: Position,
    }
}

impl EventBody {
    /// The message that an edit, redaction or reaction is about.
    pub fn message_id(&self) -> Option<&EventId> {
        match self {
            Self::MessageEdited(MessageEdited { message_id, .. })
            | Self::MessageRedacted(MessageRedacted { message_id })
            | Self::ReactionAdded(ReactionAdded { message_id, .. })
            | Self::ReactionRemoved(ReactionRemoved { message_id, .. }) => Some(message_id),
            _ => None,
        }
    }
}
