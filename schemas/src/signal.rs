//! Signals: what nodes tell each other that is gone when it is over. Who came, who went, who is still here, who types.
//!
//! They stand on a topic of their own for a short time, and never in the log or the history: a signal may be lost, and
//! nothing that must hold may rest on one.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ConversationId, NodeId, SessionId, UserId},
    time::Timestamp,
};

/// What one node tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Who tells it.
    pub node: NodeId,
    /// When, by that node's clock. Nobody decides by it: clocks differ.
    pub at: Timestamp,
    /// What.
    pub body: SignalBody,
}

/// A session of somebody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Session {
    /// Whose.
    pub user: UserId,
    /// Its name. The client protocol calls it so.
    pub client: SessionId,
}

/// What is told. The order of the variants is the order of the union in the Avro schema: append only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalBody {
    /// See [`struct@Came`].
    Came(Came),
    /// See [`struct@Went`].
    Went(Went),
    /// See [`struct@Here`].
    Here(Here),
    /// See [`struct@Typing`].
    Typing(Typing),
    /// See [`struct@Asked`].
    Asked(Asked),
}

/// A session subscribed to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Came {
    /// To which.
    pub conversation: ConversationId,
    /// Which session.
    pub session: Session,
}

/// A session is subscribed no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Went {
    /// To what.
    pub conversation: ConversationId,
    /// Which session.
    pub session: Session,
}

/// The heartbeat: these are still subscribed at the node that tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Here {
    /// To what.
    pub conversation: ConversationId,
    /// At most [`crate::caps::SIGNAL_SESSIONS_MAX`]; there may be more, in other signals.
    pub sessions: Vec<Session>,
}

/// Somebody began to write, writes on, or stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Typing {
    /// Where.
    pub conversation: ConversationId,
    /// In which session.
    pub session: Session,
    /// Whether it writes.
    pub typing: bool,
}

/// A node has just started, and asks the others to repeat soon who is here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {}

impl SignalBody {
    /// The types of signal there are, in the order of the variants.
    pub const TYPES: [&str; 5] = ["Came", "Went", "Here", "Typing", "Asked"];

    /// The conversation it is about; `None`: about none.
    pub fn conversation(&self) -> Option<&ConversationId> {
        match self {
            Self::Came(Came { conversation, .. })
            | Self::Went(Went { conversation, .. })
            | Self::Here(Here { conversation, .. })
            | Self::Typing(Typing { conversation, .. }) => Some(conversation),
            Self::Asked(Asked {}) => None,
        }
    }
}
