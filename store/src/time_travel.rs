//! A conversation as it was then: the fold of the events up to that moment.

use std::str::FromStr;

use kernel::{
    conversation::{ConversationState, Fact},
    history::StoredEvent,
};
use schemas::{Position, Timestamp};

/// A moment in the life of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// After the records before this position.
    Position(Position),
    /// After the events that occurred at this time or before. Imported events bear the times of their source.
    Time(Timestamp),
}

/// The text names no moment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("neither a position (a number) nor a time like 2024-02-26T08:49:39.372Z")]
pub struct AsOfError;

impl AsOf {
    /// Whether the event belongs to what had happened then. A void one never happened.
    pub fn holds(self, event: &StoredEvent) -> bool {
        let then = match self {
            Self::Position(position) => position.covers(event.offset),
            Self::Time(time) => event.event.occurred_at <= time,
        };
        then && !event.void
    }

    /// The position after which no event belongs to it, as far as that is known without looking.
    pub fn up_to(self) -> Position {
        match self {
            Self::Position(position) => position,
            Self::Time(_) => Position::new(u64::MAX),
        }
    }
}

impl FromStr for AsOf {
    type Err = AsOfError;

    fn from_str(s: &str) -> Result<Self, AsOfError> {
        if s.bytes().all(|byte| byte.is_ascii_digit()) {
            let position = s.parse::<i64>().ok().and_then(|number| Position::try_from(number).ok());
            return position.map(Self::Position).ok_or(AsOfError);
        }
        s.parse().map(Self::Time).map_err(|_| AsOfError)
    }
}

/// Folds the next events of a conversation, in order, as far as they belong to `as_of`. Call it page by page, with
/// `None` before the first.
pub fn fold_at<'a>(
    state: &mut Option<ConversationState>,
    events: impl IntoIterator<Item = &'a StoredEvent>,
    as_of: AsOf,
) {
    for StoredEvent { event, offset, recorded_at, .. } in
        events.into_iter().filter(|event| as_of.holds(event))
    {
        let fact = Fact { event, offset: *offset, recorded_at: *recorded_at };
        // It counted when it came. It can fail to count here only if what it builds on bears a later time; then it
        // had not yet happened to this conversation.
        let _ = ConversationState::evolve(state, fact);
    }
}

#[cfg(test)]
mod tests;
