//! The history as a port: what the topic says, arranged so that it can be asked.
//!
//! The history is a projection. Its only writer is the projector, which folds the topic and hands over
//! [`Change`]s, each with the offset of the event that caused it. Contract of every adapter, checked by
//! one suite (`conformance`, with the feature `test-util`):
//! - a change carries its offset as its write stamp, per field: an older change never replaces a newer one. So a
//!   batch may be applied twice, late, or overlapping with another, and the outcome is the same;
//! - an id belongs to the first valid event that used it, and so does the message with that id;
//! - all partitions come from one log: a batch with another epoch than any progress has is refused whole;
//! - a batch is visible as a whole or not at all to [`History::snapshot`], and [`History::progress`]
//!   moves only when its rows are durable;
//! - reads are bounded, and see at least everything below the progress they were told before.

use std::{collections::BTreeMap, fmt, slice, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use schemas::{
    ChatEvent, ConversationId, Emoji, Epoch, EventId, MessageText, Offset, Partition, Position, Timestamp,
    Title, UserId, Visibility, event::Style,
};

use crate::conversation::{ConversationState, Standing};

mod changes;
#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
mod digest;
pub mod faulty;
mod freshness;
pub mod memory;
mod reach;
pub mod sqlite;
#[cfg(test)]
mod tests;
mod told;
mod words;

pub use changes::changes_of;
pub use digest::{Cell, Digest, TableDigest};
pub use freshness::{Freshness, WAIT_MAX};
pub use reach::{ReachError, place, reach};
pub use told::{Found, Listed, Message, Post, Reaction};
pub use words::Word;

/// The outcome of folding some records, of one partition or of several.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The incarnation of the log that the offsets belong to.
    pub epoch: Epoch,
    /// How far each of its partitions is projected once it is applied: all before the position.
    pub up_to: BTreeMap<Partition, Position>,
    /// The records that were events, those of each partition in order, with what each changed.
    pub events: Vec<Projected>,
}

/// One event and what it changed.
#[derive(Debug, Clone)]
pub struct Projected {
    /// The event as it stands on the topic.
    pub event: StoredEvent,
    /// What it changed; nothing if it is void.
    pub changes: Vec<Change>,
}

/// An event in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it stands in its partition.
    pub offset: Offset,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// The record's value, byte for byte.
    pub value: Bytes,
    /// What the value says.
    pub event: Arc<ChatEvent>,
    /// It broke a rule at its offset and counts for nobody.
    pub void: bool,
}

/// One change to what can be asked. Its write stamp is the offset of the event it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The conversation exists.
    Created {
        /// What it is called.
        title: Option<Title>,
        /// Who may read and write it.
        visibility: Visibility,
        /// Who made it.
        creator: UserId,
        /// When.
        at: Timestamp,
    },
    /// It has another title.
    Retitled {
        /// The new one.
        title: Title,
    },
    /// It was closed for writing, or opened again.
    Archived {
        /// Closed.
        archived: bool,
    },
    /// Somebody stands differently towards it.
    Stands {
        /// Who.
        user: UserId,
        /// How, from here on.
        standing: Standing,
    },
    /// A message was posted. Its id is that of the event.
    Posted {
        /// By whom.
        author: UserId,
        /// What it says.
        text: MessageText,
        /// How it is meant.
        style: Style,
        /// What it answers.
        reply_to: Option<EventId>,
        /// When.
        at: Timestamp,
    },
    /// A message has another text.
    Edited {
        /// Which.
        message_id: EventId,
        /// The new text.
        text: MessageText,
        /// When.
        at: Timestamp,
    },
    /// A message was withdrawn.
    Redacted {
        /// Which.
        message_id: EventId,
        /// By whom.
        by: UserId,
        /// When.
        at: Timestamp,
    },
    /// Somebody reacted, or took it back.
    Reacted {
        /// To which message.
        message_id: EventId,
        /// With what.
        emoji: Emoji,
        /// Who.
        user: UserId,
        /// `false`: taken back.
        present: bool,
    },
    /// Somebody has read up to a position.
    Read {
        /// Who.
        user: UserId,
        /// All before it is read.
        up_to: Position,
    },
}

/// How far the history has come in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The incarnation of the log it was built from.
    pub epoch: Epoch,
    /// All before it is projected.
    pub position: Position,
}

/// What is known of a conversation at one moment of the history.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// `None`: no event of the conversation is valid so far.
    pub state: Option<ConversationState>,
    /// Every record of the partition before it is in `state`, none after it is.
    pub position: Position,
}

/// How much of a state is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All but [`ConversationState::repeats`], which is empty: enough to say who may read what. Cheap, however busy the
    /// conversation is. Nothing may be folded on top of it.
    Look,
    /// All of it, so that the fold can go on from there. Reads and decodes every event of late, up to
    /// [`Repeats::LEN_MAX`](crate::conversation::Repeats::LEN_MAX) of them.
    Fold,
}

/// A stretch of a conversation, and from which end to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Only what lies after it.
    pub after: Position,
    /// Only what lies before it: records that this position covers.
    pub up_to: Position,
    /// Which end comes first.
    pub order: Order,
    /// At most so many; held to 1..=[`schemas::caps::PAGE_LEN_MAX`].
    pub limit: usize,
}

/// Which end of an extent comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The oldest first.
    Ascending,
    /// The newest first.
    Descending,
}

impl Extent {
    /// Everything from the start on, oldest first, as much as fits in a page.
    pub const ALL: Self = Self {
        after: Position::START,
        up_to: Position::new(u64::MAX),
        order: Order::Ascending,
        limit: schemas::caps::PAGE_LEN_MAX,
    };

    /// The limit, held to what a page may have.
    pub fn limit(&self) -> usize {
        self.limit.clamp(1, schemas::caps::PAGE_LEN_MAX)
    }

    /// Whether the record at `offset` lies within.
    pub fn holds(&self, offset: Offset) -> bool {
        !self.after.covers(offset) && self.up_to.covers(offset)
    }
}

/// The history. Held as `Arc<dyn History>`.
#[async_trait]
pub trait History: Send + Sync + fmt::Debug {
    /// Applies a batch; resolves when it is durable. Idempotent.
    ///
    /// # Errors
    /// See [`HistoryError`]; after a retryable one the same batch may be applied again.
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError>;

    /// How far the history has come in `partition`; `None` if it has not begun.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError>;

    /// The state of a conversation, which lives in `partition`, as deep as asked, and the position it holds for.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn snapshot(
        &self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError>;

    /// Events of a conversation, void ones included. Fewer than the limit means there are no more.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn events(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError>;

    /// Messages of a conversation as they look now. Fewer than the limit means there are no more.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn messages(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError>;

    /// The messages of a conversation as they were posted, with less effort than [`History::messages`]. Fewer than the limit means that
    /// there are no more. Of two posts with one id, which only a fault lets through, it may tell one or both.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn posts(&self, conversation: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError>;

    /// The valid events with these ids, each in the place of its id, or `None` there.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn find_all(
        &self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError>;

    /// The valid event with this id.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn find(
        &self,
        conversation: &ConversationId,
        event_id: &EventId,
    ) -> Result<Option<Found>, HistoryError> {
        let found = self.find_all(conversation, slice::from_ref(event_id)).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// The conversations that `user` is a member of, in the order of their ids, after `after`, at most `limit`
    /// (held to 1..=[`schemas::caps::PAGE_LEN_MAX`]).
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError>;

    /// One entry of that list; `None` if `user` is no member, or there is no such conversation.
    ///
    /// # Errors
    /// See [`HistoryError`].
    async fn listed(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError>;
}

/// Why the history did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be reached or used now. Trying again may help.
    #[error("the history cannot be used now: {reason}")]
    Unavailable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// It was built from another incarnation of the log. Rebuild it; trying again is useless.
    #[error("the history was built from the log {found}, but the log is {expected}: rebuild the history")]
    OtherLog {
        /// The epoch of the log in use.
        expected: Epoch,
        /// The epoch it was built from.
        found: Epoch,
    },
    /// What stands in it cannot be read. Rebuild it; trying again is useless.
    #[error("the history is damaged: {reason}; rebuild it from the log")]
    Damaged {
        /// What was found.
        reason: String,
    },
}

impl HistoryError {
    /// Whether asking again can help.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Shares a history.
pub type SharedHistory = Arc<dyn History>;
