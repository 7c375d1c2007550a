//! Which records concern an inbox at this node: told by their keys, and by what they hold only if that names people.
//!
//! Invariant: once a conversation is followed, whatever passes in it is due until it is [taken](Watch::take). Who is named is followed
//! from there on, whether they turn out to be a member or not.

use std::collections::{HashMap, HashSet};

use kernel::event_log::{Reading, Record, read};
use schemas::{ChatEvent, ConversationId, EventBody, Partition, Position, UserId, codec::Codec};

/// The header that tells the type of an event.
const EVENT_TYPE: &str = "event-type";
/// The types of events after which somebody may be a member who was none, or none who was one.
const NAMING: [&str; 5] =
    ["ConversationCreated", "MemberJoined", "MemberLeft", "MemberRemoved", "MemberRenamed"];

/// A position in a partition.
pub(super) type Place = (Partition, Position);

/// What has to be looked up, and how far the history must have come for it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Due {
    /// Something happened in them.
    pub(super) conversations: HashMap<ConversationId, Place>,
    /// They may have come or gone.
    pub(super) people: HashMap<(UserId, ConversationId), Place>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Watch {
    people: HashSet<UserId>,
    followed: HashSet<ConversationId>,
    due: Due,
    /// Into which somebody may have come, and it is being looked up.
    asked: HashSet<ConversationId>,
}

impl Due {
    pub(super) fn is_empty(&self) -> bool {
        self.conversations.is_empty() && self.people.is_empty()
    }

    /// Puts back what could not be done.
    pub(super) fn add(&mut self, other: Self) {
        other
            .conversations
            .into_iter()
            .for_each(|(conversation, place)| put(&mut self.conversations, conversation, place));
        other.people.into_iter().for_each(|(person, place)| put(&mut self.people, person, place));
    }
}

/// The later place counts.
fn put<K: std::hash::Hash + Eq>(due: &mut HashMap<K, Place>, key: K, place: Place) {
    let there = due.entry(key).or_insert(place);
    there.1 = there.1.max(place.1);
}

impl Watch {
    pub(super) fn add_person(&mut self, user: &UserId) {
        self.people.insert(user.clone());
    }

    pub(super) fn remove_person(&mut self, user: &UserId) {
        self.people.remove(user);
        self.due.people.retain(|(person, _), _| person != user);
    }

    /// Somebody is told of the conversation.
    pub(super) fn follow(&mut self, conversation: &ConversationId) {
        self.followed.insert(conversation.clone());
    }

    /// Nobody is told of it any more; unless somebody may have come into it, who is to be looked up first.
    pub(super) fn unfollow(&mut self, conversation: &ConversationId) {
        let named = self.due.people.keys().any(|(_, named)| named == conversation);
        if named || self.asked.contains(conversation) {
            return;
        }
        self.followed.remove(conversation);
        self.due.conversations.remove(conversation);
    }

    /// These records passed. Says whether something is due.
    pub(super) fn saw(&mut self, partition: Partition, records: &[Record], codec: &Codec) -> bool {
        if self.people.is_empty() {
            return false;
        }
        for record in records {
            let Some(key) = record.key_str() else { continue };
            let place = (partition, record.offset.position());
            if let Some(conversation) = self.followed.get(key) {
                put(&mut self.due.conversations, conversation.clone(), place);
            }
            if may_name_people(record)
                && let Reading::Event(event) = read(record, codec)
            {
                self.named(&event, place);
            }
        }
        !self.due.is_empty()
    }

    /// Whoever is named is looked up. What passes in the conversation from here on is due too, since they may be a member now.
    fn named(&mut self, event: &ChatEvent, place: Place) {
        for user in people_of(event) {
            if let Some(user) = self.people.get(user) {
                let conversation = &event.conversation;
                self.followed.insert(conversation.clone());
                put(&mut self.due.people, (user.clone(), conversation.clone()), place);
            }
        }
    }

    /// All that is due, to be [done](Self::done) or [put back](Self::put_back).
    pub(super) fn take(&mut self) -> Due {
        let due = std::mem::take(&mut self.due);
        self.asked = due.people.keys().map(|(_, conversation)| conversation.clone()).collect();
        due
    }

    /// What was taken is done.
    pub(super) fn done(&mut self) {
        self.asked = HashSet::new();
    }

    /// It could not be done.
    pub(super) fn put_back(&mut self, mut due: Due) {
        self.done();
        due.conversations.retain(|conversation, _| self.followed.contains(conversation));
        due.people.retain(|(user, _), _| self.people.contains(user));
        self.due.add(due);
    }
}

/// A record without the header has to be read to know.
fn may_name_people(record: &Record) -> bool {
    let header = record.headers.iter().find(|header| header.name == EVENT_TYPE);
    header.is_none_or(|header| NAMING.iter().any(|name| name.as_bytes() == header.value))
}

/// Who may be a member behind the event and was none before, or the other way round.
fn people_of(event: &ChatEvent) -> Vec<&UserId> {
    match &event.body {
        EventBody::ConversationCreated(created) => {
            std::iter::once(&event.actor).chain(&created.members).collect()
        }
        EventBody::MemberJoined(joined) => vec![&joined.member],
        EventBody::MemberLeft(_) => vec![&event.actor],
        EventBody::MemberRemoved(removed) => vec![&removed.member],
        EventBody::MemberRenamed(renamed) => vec![&event.actor, &renamed.to],
        EventBody::ConversationChanged(_)
        | EventBody::RoleChanged(_)
        | EventBody::MessagePosted(_)
        | EventBody::MessageEdited(_)
        | EventBody::MessageRedacted(_)
        | EventBody::ReactionAdded(_)
        | EventBody::ReactionRemoved(_)
        | EventBody::ReadMarkerMoved(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
