//! What people ask for, and the port that takes it.
//!
//! A [`Command`] is imperative and may be refused; what becomes of it is an event. Each carries an id that its
//! sender chose ([`Request::event_id`]): sent again, it gives the same position and happens once.

pub mod wire;

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use schemas::{
    ConversationId, Emoji, Epoch, EventId, MessageText, PartingWords, Position, Title, UserId, Visibility,
    event::{Role, Style},
};
use serde::Serialize;

use crate::{conversation::Refusal, identity::Identity};

/// What somebody asks to be done in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Make the conversation; whoever asks becomes its owner.
    CreateConversation {
        /// What it is called; `None`: by its id.
        title: Option<Title>,
        /// Who may read and write it.
        visibility: Visibility,
        /// Members from the start, at most [`schemas::caps::MEMBERS_AT_CREATION_MAX`].
        members: Vec<UserId>,
    },
    /// Change what is named; `None` stays as it is.
    ChangeConversation {
        /// Another title.
        title: Option<Title>,
        /// Close it for writing, or open it again.
        archived: Option<bool>,
    },
    /// Become a member.
    Join,
    /// Be a member no more.
    Leave {
        /// What to say in leaving.
        parting_words: PartingWords,
    },
    /// Make somebody a member.
    AddMember {
        /// Whom.
        member: UserId,
    },
    /// Make somebody leave, and stay away.
    RemoveMember {
        /// Whom.
        member: UserId,
    },
    /// Give a member another role.
    SetRole {
        /// To whom.
        member: UserId,
        /// Which.
        role: Role,
    },
    /// Say something. The id of the message is that of the request.
    PostMessage {
        /// What.
        text: MessageText,
        /// How it is meant.
        style: Style,
        /// The message it answers.
        reply_to: Option<EventId>,
    },
    /// Replace the text of an own message.
    EditMessage {
        /// Which.
        message_id: EventId,
        /// The new text.
        text: MessageText,
    },
    /// Withdraw a message.
    RedactMessage {
        /// Which.
        message_id: EventId,
    },
    /// React to a message.
    AddReaction {
        /// To which.
        message_id: EventId,
        /// With what.
        emoji: Emoji,
    },
    /// Take a reaction back.
    RemoveReaction {
        /// From which.
        message_id: EventId,
        /// Which.
        emoji: Emoji,
    },
    /// Say how far one has read.
    MoveReadMarker {
        /// All before it is read.
        up_to: Position,
    },
}

impl Command {
    /// The type of event that it becomes, as in [`schemas::EventBody::type_name`].
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::CreateConversation { .. } => "ConversationCreated",
            Self::ChangeConversation { .. } => "ConversationChanged",
            Self::Join | Self::AddMember { .. } => "MemberJoined",
            Self::Leave { .. } => "MemberLeft",
            Self::RemoveMember { .. } => "MemberRemoved",
            Self::SetRole { .. } => "RoleChanged",
            Self::PostMessage { .. } => "MessagePosted",
            Self::EditMessage { .. } => "MessageEdited",
            Self::RedactMessage { .. } => "MessageRedacted",
            Self::AddReaction { .. } => "ReactionAdded",
            Self::RemoveReaction { .. } => "ReactionRemoved",
            Self::MoveReadMarker { .. } => "ReadMarkerMoved",
        }
    }

    /// The messages that must exist for it to make sense: what it answers, edits, redacts or reacts to.
    pub fn message_id(&self) -> Option<&EventId> {
        match self {
            Self::PostMessage { reply_to, .. } => reply_to.as_ref(),
            Self::EditMessage { message_id, .. }
            | Self::RedactMessage { message_id }
            | Self::AddReaction { message_id, .. }
            | Self::RemoveReaction { message_id, .. } => Some(message_id),
            _ => None,
        }
    }
}

/// A command with who sends it and where to.
#[derive(Debug, Clone)]
pub struct Request {
    /// Who asks.
    pub identity: Identity,
    /// Where.
    pub conversation: ConversationId,
    /// Chosen by the sender; the same id again is the same command again.
    pub event_id: EventId,
    /// What.
    pub command: Command,
}

/// The command is done, and durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The wire position of the event (its offset + 1).
    #[serde(rename = "offset")]
    pub position: Position,
    /// The epoch that the position belongs to.
    pub epoch: Epoch,
    /// The conversation.
    pub conversation: ConversationId,
    /// The id of the event, and so of a message.
    pub event_id: EventId,
    /// Nothing was appended: it was done before, at this position.
    pub duplicate: bool,
}

/// Why a command was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// The rules refuse it. Sending it again is useless until the conversation has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It is not acceptable in itself, whatever the conversation.
    #[error("{0}")]
    Invalid(String),
    /// The log or the history is out of reach. Nothing was done; send it again, with the same id.
    #[error("not accepted, and nothing was done: {reason}; send it again with the same id")]
    Unavailable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// It may have been done. Send it again with the same id to find out; it will not happen twice.
    #[error("it is not known whether it was done: {reason}; send it again with the same id")]
    Unknown {
        /// What is wrong, for the operator.
        reason: String,
    },
}

impl CommandError {
    /// The stable name of the error, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.code(),
            Self::Invalid(_) => "invalid",
            Self::Unavailable { .. } => "unavailable",
            Self::Unknown { .. } => "outcome_unknown",
        }
    }

    /// What the sender is told. The reasons are for the operator, who finds them in the log.
    pub fn for_client(&self) -> String {
        match self {
            Self::Unavailable { .. } => {
                "not accepted, and nothing was done; send it again with the same id".to_owned()
            }
            Self::Unknown { .. } => {
                "it is not known whether it was done; send it again with the same id, and it will not happen twice"
                    .to_owned()
            }
            Self::Refused(_) | Self::Invalid(_) => self.to_string(),
        }
    }

    /// Whether sending the same command again, with the same id, can help.
    pub const fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Unknown { .. })
    }
}

/// Takes commands. Ingest implements it; a socket that may post calls it.
#[async_trait]
pub trait CommandSink: Send + Sync + fmt::Debug {
    /// Does what is asked, and resolves when it is durable. Dropping the future does not take it back: it may be
    /// done all the same.
    ///
    /// # Errors
    /// See [`CommandError`].
    async fn execute(&self, request: Request) -> Result<Accepted, CommandError>;
}

/// Shares a sink.
pub type SharedSink = Arc<dyn CommandSink>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_for_the_operator_do_not_reach_the_client() {
        let reason = "broker 10.0.0.7 is down".to_owned();
        for error in [
            CommandError::Unavailable { reason: reason.clone() },
            CommandError::Unknown { reason: reason.clone() },
        ] {
            assert!(error.to_string().contains(&reason));
            assert!(!error.for_client().contains("10.0.0.7"), "{}", error.for_client());
            assert!(error.for_client().contains("with the same id"));
        }
        for error in [CommandError::Refused(Refusal::Full), CommandError::Invalid("too long".to_owned())] {
            assert_eq!(error.for_client(), error.to_string());
        }
    }
}
