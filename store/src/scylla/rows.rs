//! From a batch to the rows that it writes, as a pure function.
//!
//! A posted message is two rows: the event, and what is known of its id. What a batch changes in the state of a conversation is folded
//! into one [`Unit`], which is written as a whole: at most one row for each column, with the stamp of the last event that changed it.

use std::collections::BTreeMap;

use kernel::{
    conversation::{Standing, is_activity},
    history::{Batch, Change, Projected, StoredEvent, Word},
};
use schemas::{ConversationId, EventBody, EventId, Offset, Position, Timestamp, Title, UserId, Visibility};
use scylla::{
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    value::{CqlTimestamp, MaybeUnset},
};

use super::{bucket, stamp::Stamp, statements::Insert};

/// What the servers are sent around the values of a row, and keep with each: a cautious guess, in bytes.
const ROW_OVERHEAD: usize = 128;

/// All that a batch writes but the progress.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    /// Each row by itself: they may become visible in any order.
    pub(super) loose: Vec<Row<'a>>,
    /// The non-empty buckets of the conversations.
    pub(super) buckets: Vec<(&'a ConversationId, i64)>,
    /// The state of each conversation. Written once all else is.
    pub(super) states: Vec<Unit<'a>>,
}

/// Rows of one partition of one table that become visible together.
#[derive(Debug)]
pub(super) struct Unit<'a>(pub(super) Vec<Row<'a>>);

/// One row to be written, and its stamp.
#[derive(Debug, Clone)]
pub(super) struct Row<'a> {
    pub(super) stamp: Stamp,
    pub(super) values: Values<'a>,
}

/// The values of one row, by the statement that writes it.
#[derive(Debug, Clone)]
pub(super) enum Values<'a> {
    Event {
        stored: &'a StoredEvent,
        post: bool,
    },
    Bucket {
        conversation: &'a ConversationId,
        bucket: i64,
    },
    Id {
        stored: &'a StoredEvent,
        post: bool,
    },
    Edit {
        conversation: &'a ConversationId,
        message_id: &'a EventId,
        text: &'a str,
        at: Timestamp,
    },
    Redaction {
        conversation: &'a ConversationId,
        message_id: &'a EventId,
        by: &'a UserId,
        at: Timestamp,
    },
    Reaction {
        conversation: &'a ConversationId,
        message_id: &'a EventId,
        emoji: &'a str,
        user: &'a UserId,
        present: bool,
    },
    StandingOf {
        user: &'a UserId,
        conversation: &'a ConversationId,
        standing: Standing,
    },
    Read {
        user: &'a UserId,
        conversation: &'a ConversationId,
        up_to: Position,
    },
    Founding {
        conversation: &'a ConversationId,
        visibility: Visibility,
        creator: &'a UserId,
        at: Timestamp,
    },
    Title {
        conversation: &'a ConversationId,
        title: Option<&'a Title>,
    },
    Archived {
        conversation: &'a ConversationId,
        archived: bool,
    },
    Last {
        conversation: &'a ConversationId,
        offset: Offset,
        at: Timestamp,
    },
    Stands {
        conversation: &'a ConversationId,
        user: &'a UserId,
        standing: Standing,
        offset: Offset,
    },
}

/// What a batch leaves of the state of one conversation: of each column the last.
#[derive(Debug, Default)]
struct State<'a> {
    founding: Option<Row<'a>>,
    title: Option<Row<'a>>,
    archived: Option<Row<'a>>,
    last: Option<Row<'a>>,
    standings: BTreeMap<&'a UserId, Row<'a>>,
}

impl<'a> Rows<'a> {
    /// What `batch` writes.
    pub(super) fn of(batch: &'a Batch) -> Self {
        let mut rows = Self::default();
        let mut states: BTreeMap<&ConversationId, State<'a>> = BTreeMap::new();
        let mut buckets = std::collections::BTreeSet::new();
        for Projected { event: stored, changes } in &batch.events {
            let (event, stamp) = (&stored.event, Stamp::last_wins(stored.offset));
            let conversation = &event.conversation;
            let post = !stored.void && matches!(event.body, EventBody::MessagePosted(_));
            buckets.insert((conversation, bucket::of(stored.offset)));
            rows.loose.push(Row { stamp, values: Values::Event { stored, post } });
            if stored.void {
                continue;
            }
            let first = Stamp::first_wins(stored.offset);
            rows.loose.push(Row { stamp: first, values: Values::Id { stored, post } });
            for change in changes {
                rows.change(stored, change);
            }
            if is_activity(&event.body) {
                let state = states.entry(conversation).or_default();
                for change in changes {
                    state.change(stored, change);
                }
                let (offset, at) = (stored.offset, event.occurred_at);
                state.last = Some(Row { stamp, values: Values::Last { conversation, offset, at } });
            }
        }
        rows.buckets = buckets.into_iter().collect();
        rows.states = states.into_values().map(State::unit).collect();
        rows
    }

    /// What a change writes beside the state.
    fn change(&mut self, stored: &'a StoredEvent, change: &'a Change) {
        let conversation = &stored.event.conversation;
        let values = match change {
            Change::Stands { user, standing } => {
                Values::StandingOf { user, conversation, standing: *standing }
            }
            Change::Edited { message_id, text, at } => {
                Values::Edit { conversation, message_id, text: text.as_str(), at: *at }
            }
            Change::Redacted { message_id, by, at } => {
                Values::Redaction { conversation, message_id, by, at: *at }
            }
            Change::Reacted { message_id, emoji, user, present } => {
                Values::Reaction { conversation, message_id, emoji: emoji.as_str(), user, present: *present }
            }
            Change::Read { user, up_to } => Values::Read { user, conversation, up_to: *up_to },
            // The event itself and its id say all of a post; the others are the state's alone.
            Change::Posted { .. }
            | Change::Created { .. }
            | Change::Retitled { .. }
            | Change::Archived { .. } => return,
        };
        self.loose.push(Row { stamp: Stamp::last_wins(stored.offset), values });
    }
}

impl<'a> State<'a> {
    fn change(&mut self, stored: &'a StoredEvent, change: &'a Change) {
        let (stamp, conversation) = (Stamp::last_wins(stored.offset), &stored.event.conversation);
        let row = |values| Row { stamp, values };
        match change {
            Change::Created { title, visibility, creator, at } => {
                let visibility = *visibility;
                self.founding = Some(row(Values::Founding { conversation, visibility, creator, at: *at }));
                self.title = Some(row(Values::Title { conversation, title: title.as_ref() }));
                self.archived = Some(row(Values::Archived { conversation, archived: false }));
            }
            Change::Retitled { title } => {
                self.title = Some(row(Values::Title { conversation, title: Some(title) }));
            }
            Change::Archived { archived } => {
                self.archived = Some(row(Values::Archived { conversation, archived: *archived }));
            }
            Change::Stands { user, standing } => {
                let (standing, offset) = (*standing, stored.offset);
                self.standings.insert(user, row(Values::Stands { conversation, user, standing, offset }));
            }
            Change::Posted { .. }
            | Change::Edited { .. }
            | Change::Redacted { .. }
            | Change::Reacted { .. }
            | Change::Read { .. } => {}
        }
    }

    fn unit(self) -> Unit<'a> {
        let Self { founding, title, archived, last, standings } = self;
        let columns = [founding, title, archived, last].into_iter().flatten();
        Unit(columns.chain(standings.into_values()).collect())
    }
}

impl Row<'_> {
    /// The statement that writes it.
    pub(super) fn insert(&self) -> Insert {
        match self.values {
            Values::Event { .. } => Insert::Event,
            Values::Bucket { .. } => Insert::Bucket,
            Values::Id { .. } => Insert::Id,
            Values::Edit { .. } => Insert::Edit,
            Values::Redaction { .. } => Insert::Redaction,
            Values::Reaction { .. } => Insert::Reaction,
            Values::StandingOf { .. } => Insert::StandingOf,
            Values::Read { .. } => Insert::Read,
            Values::Founding { .. } => Insert::Founding,
            Values::Title { .. } => Insert::Title,
            Values::Archived { .. } => Insert::Archived,
            Values::Last { .. } => Insert::Last,
            Values::Stands { .. } => Insert::Stands,
        }
    }

    /// About how many bytes it is for a server.
    pub(super) fn weight(&self) -> usize {
        let of_values = match &self.values {
            Values::Event { stored, .. } => stored.event.conversation.as_str().len() + stored.value.len(),
            Values::Id { stored, .. } => {
                let event = &stored.event;
                let names = [event.conversation.as_str(), event.event_id.as_str(), event.actor.as_str()];
                names.map(str::len).iter().sum()
            }
            Values::Edit { conversation, message_id, text, .. } => {
                [conversation.as_str(), message_id.as_str(), text].map(str::len).iter().sum()
            }
            Values::Title { conversation, title } => {
                conversation.as_str().len() + title.map_or(0, |title| title.as_str().len())
            }
            // At most four names.
            _ => ROW_OVERHEAD,
        };
        of_values + ROW_OVERHEAD
    }
}

fn time(at: Timestamp) -> CqlTimestamp {
    CqlTimestamp(at.as_millis())
}

impl SerializeRow for Row<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let stamp = self.stamp.number();
        // A row of the statement that `Row::insert` names, column by column, the stamp last.
        macro_rules! row {
            ($($value:expr),+) => { ($($value,)+ stamp).serialize(context, writer) };
        }
        match &self.values {
            Values::Event { stored, post } => {
                let conversation = stored.event.conversation.as_str();
                let (offset, at) = (stored.offset, time(stored.recorded_at));
                let void = MaybeUnset::from_option(stored.void.then_some(true));
                row!(conversation, bucket::of(offset), post, i64::from(offset), at, void, &stored.value[..])
            }
            Values::Bucket { conversation, bucket } => row!(conversation.as_str(), bucket),
            Values::Id { stored, post } => {
                let (event, offset) = (&stored.event, i64::from(stored.offset));
                let (conversation, event_id) = (event.conversation.as_str(), event.event_id.as_str());
                let (actor, type_name) = (event.actor.as_str(), event.body.type_name());
                let posted = MaybeUnset::from_option(post.then_some(offset));
                row!(conversation, event_id, offset, time(stored.recorded_at), actor, type_name, posted)
            }
            Values::Edit { conversation, message_id, text, at } => {
                row!(conversation.as_str(), message_id.as_str(), text, time(*at))
            }
            Values::Redaction { conversation, message_id, by, at } => {
                row!(conversation.as_str(), message_id.as_str(), by.as_str(), time(*at))
            }
            Values::Reaction { conversation, message_id, emoji, user, present } => {
                row!(conversation.as_str(), message_id.as_str(), emoji, user.as_str(), present)
            }
            Values::StandingOf { user, conversation, standing } => {
                row!(user.as_str(), conversation.as_str(), standing.word())
            }
            Values::Read { user, conversation, up_to } => {
                row!(user.as_str(), conversation.as_str(), i64::from(*up_to))
            }
            Values::Founding { conversation, visibility, creator, at } => {
                row!(conversation.as_str(), visibility.word(), creator.as_str(), time(*at))
            }
            Values::Title { conversation, title } => {
                row!(conversation.as_str(), title.map_or("", Title::as_str))
            }
            Values::Archived { conversation, archived } => row!(conversation.as_str(), archived),
            Values::Last { conversation, offset, at } => {
                row!(conversation.as_str(), i64::from(*offset), time(*at))
            }
            Values::Stands { conversation, user, standing, offset } => {
                row!(conversation.as_str(), user.as_str(), standing.word(), i64::from(*offset))
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
