//! What is kept of one conversation, and how changes enter it.

use std::collections::BTreeMap;

use schemas::{
    ConversationId, Emoji, EventId, MessageText, Offset, Position, Timestamp, Title, UserId, Visibility,
    caps, event::Style,
};

use super::is_post;
use crate::{
    conversation::{ConversationState, Fact, Repeats, Standing, is_activity},
    history::{self, Change, Depth, Found, Listed, Message, Projected, Reaction, StoredEvent},
};

/// A value and the offset of the event that wrote it.
#[derive(Debug, Clone)]
pub(super) struct Stamped<T> {
    pub(super) stamp: Offset,
    pub(super) value: T,
}

/// One conversation. Everything is optional: changes may arrive before those they build on.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) founding: Option<Stamped<Founding>>,
    pub(super) title: Option<Stamped<Option<Title>>>,
    pub(super) archived: Option<Stamped<bool>>,
    /// When the last valid event other than a read marker occurred.
    pub(super) last: Option<Stamped<Timestamp>>,
    pub(super) standings: BTreeMap<UserId, Stamped<Standing>>,
    pub(super) read_markers: BTreeMap<UserId, Stamped<Position>>,
    pub(super) events: BTreeMap<Offset, StoredEvent>,
    /// The first valid event with each id.
    pub(super) ids: BTreeMap<EventId, Offset>,
    pub(super) messages: BTreeMap<EventId, KeptMessage>,
    /// The messages that were posted, by where.
    pub(super) posts: BTreeMap<Offset, EventId>,
}

/// What a conversation is from its first event on.
#[derive(Debug)]
pub(super) struct Founding {
    pub(super) visibility: Visibility,
    pub(super) creator: UserId,
    pub(super) at: Timestamp,
}

/// One message, in the parts that different events write.
#[derive(Debug, Default)]
pub(super) struct KeptMessage {
    pub(super) post: Option<Stamped<Post>>,
    pub(super) edit: Option<Stamped<(MessageText, Timestamp)>>,
    pub(super) redaction: Option<Stamped<(UserId, Timestamp)>>,
    pub(super) reactions: BTreeMap<(Emoji, UserId), Stamped<bool>>,
}

#[derive(Debug)]
pub(super) struct Post {
    pub(super) author: UserId,
    pub(super) text: MessageText,
    pub(super) style: Style,
    pub(super) reply_to: Option<EventId>,
    pub(super) at: Timestamp,
}

impl Kept {
    pub(super) fn apply(&mut self, projected: Projected) {
        let Projected { event, changes } = projected;
        let (stamp, event_id) = (event.offset, event.event.event_id.clone());
        for change in changes {
            self.change(stamp, &event_id, change);
        }
        if !event.void {
            if is_activity(&event.event.body) {
                newest(&mut self.last, stamp, event.event.occurred_at);
            }
            let first = self.ids.entry(event_id).or_insert(stamp);
            *first = stamp.min(*first);
        }
        self.events.insert(stamp, event);
    }

    fn change(&mut self, stamp: Offset, event_id: &EventId, change: Change) {
        match change {
            Change::Created { title, visibility, creator, at } => {
                newest(&mut self.founding, stamp, Founding { visibility, creator, at });
                newest(&mut self.title, stamp, title);
                newest(&mut self.archived, stamp, false);
            }
            Change::Retitled { title } => newest(&mut self.title, stamp, Some(title)),
            Change::Archived { archived } => newest(&mut self.archived, stamp, archived),
            Change::Stands { user, standing } => newest_of(&mut self.standings, user, stamp, standing),
            Change::Posted { author, text, style, reply_to, at } => {
                self.post(stamp, event_id, Post { author, text, style, reply_to, at });
            }
            Change::Edited { message_id, text, at } => {
                newest(&mut self.messages.entry(message_id).or_default().edit, stamp, (text, at));
            }
            Change::Redacted { message_id, by, at } => {
                newest(&mut self.messages.entry(message_id).or_default().redaction, stamp, (by, at));
            }
            Change::Reacted { message_id, emoji, user, present } => {
                let reactions = &mut self.messages.entry(message_id).or_default().reactions;
                newest_of(reactions, (emoji, user), stamp, present);
            }
            Change::Read { user, up_to } => newest_of(&mut self.read_markers, user, stamp, up_to),
        }
    }

    /// The first post with an id is the message, as the first event with an id is the one that is found.
    fn post(&mut self, stamp: Offset, event_id: &EventId, post: Post) {
        let message = self.messages.entry(event_id.clone()).or_default();
        if let Some(there) = &message.post {
            if there.stamp <= stamp {
                return;
            }
            self.posts.remove(&there.stamp);
        }
        message.post = Some(Stamped { stamp, value: post });
        self.posts.insert(stamp, event_id.clone());
    }

    pub(super) fn state(&self, conversation: &ConversationId, depth: Depth) -> Option<ConversationState> {
        let (founding, last) = (self.founding.as_ref()?, self.last.as_ref()?);
        Some(ConversationState {
            conversation: conversation.clone(),
            title: self.title.as_ref().and_then(|title| title.value.clone()),
            visibility: founding.value.visibility,
            archived: self.archived.as_ref().is_some_and(|archived| archived.value),
            creator: founding.value.creator.clone(),
            created_at: founding.value.at,
            standings: self.standings.iter().map(|(user, at)| (user.clone(), at.value)).collect(),
            repeats: match depth {
                Depth::Look => Repeats::default(),
                Depth::Fold => self.repeats(),
            },
            position: last.stamp.position(),
            last_at: last.value,
        })
    }

    fn repeats(&self) -> Repeats {
        let valid = || self.events.values().rev().filter(|event| !event.void).take(Repeats::LEN_MAX);
        let newest = valid().next().map_or(0, |event| event.recorded_at.as_millis());
        let since = Timestamp::from_millis(newest - caps::REPEAT_WINDOW_MS);
        let of_late: Vec<_> = valid().take_while(|event| event.recorded_at >= since).collect();
        let mut repeats = Repeats::default();
        for StoredEvent { event, offset, recorded_at, .. } in of_late.into_iter().rev() {
            repeats.note(Fact { event, offset: *offset, recorded_at: *recorded_at });
        }
        repeats
    }

    pub(super) fn message(&self, message_id: &EventId) -> Option<Message> {
        let KeptMessage { post, edit, redaction, reactions } = self.messages.get(message_id)?;
        let Stamped { stamp, value: post } = post.as_ref()?;
        let text = edit.as_ref().map_or(&post.text, |edit| &edit.value.0);
        let mut by_emoji: BTreeMap<Emoji, Vec<UserId>> = BTreeMap::new();
        for (emoji, user) in reactions.iter().filter(|(_, at)| at.value).map(|(key, _)| key) {
            by_emoji.entry(emoji.clone()).or_default().push(user.clone());
        }
        Some(Message {
            offset: stamp.position(),
            message_id: message_id.clone(),
            author: post.author.clone(),
            text: redaction.is_none().then(|| text.clone()),
            style: post.style,
            reply_to: post.reply_to.clone(),
            occurred_at: post.at,
            edited_at: edit.as_ref().map(|edit| edit.value.1),
            redacted_at: redaction.as_ref().map(|redaction| redaction.value.1),
            redacted_by: redaction.as_ref().map(|redaction| redaction.value.0.clone()),
            reactions: by_emoji.into_iter().map(|(emoji, users)| Reaction { emoji, users }).collect(),
        })
    }

    pub(super) fn posted(&self, message_id: &EventId) -> Option<history::Post> {
        let Stamped { stamp, value } = self.messages.get(message_id)?.post.as_ref()?;
        Some(history::Post { offset: *stamp, author: value.author.clone(), text: value.text.clone() })
    }

    pub(super) fn find(&self, event_id: &EventId) -> Option<Found> {
        let event = self.events.get(self.ids.get(event_id)?)?;
        let redacted = self.messages.get(event_id).is_some_and(|message| message.redaction.is_some());
        Some(Found {
            offset: event.offset,
            recorded_at: event.recorded_at,
            actor: event.event.actor.clone(),
            type_name: event.event.body.type_name().to_owned(),
            redacted: redacted && is_post(event),
        })
    }

    /// As `user`, a member, sees it in a list.
    pub(super) fn listed(&self, conversation: &ConversationId, user: &UserId) -> Option<Listed> {
        let standing = self.standings.get(user).map(|at| at.value)?;
        standing.role()?;
        let (founding, last) = (self.founding.as_ref()?, self.last.as_ref()?);
        Some(Listed {
            conversation: conversation.clone(),
            title: self.title.as_ref().and_then(|title| title.value.clone()),
            visibility: founding.value.visibility,
            archived: self.archived.as_ref().is_some_and(|archived| archived.value),
            standing,
            last_offset: last.stamp.position(),
            last_at: last.value,
            read_up_to: self.read_markers.get(user).map_or(Position::START, |at| at.value),
        })
    }
}

/// Writes a field unless a later event has.
fn newest<T>(field: &mut Option<Stamped<T>>, stamp: Offset, value: T) {
    if field.as_ref().is_none_or(|there| there.stamp <= stamp) {
        *field = Some(Stamped { stamp, value });
    }
}

/// The same for one entry of a map.
fn newest_of<K: Ord, T>(fields: &mut BTreeMap<K, Stamped<T>>, key: K, stamp: Offset, value: T) {
    if fields.get(&key).is_none_or(|there| there.stamp <= stamp) {
        fields.insert(key, Stamped { stamp, value });
    }
}
