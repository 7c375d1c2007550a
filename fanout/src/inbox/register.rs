//! Who is told of which conversation, and what they know of it.
//!
//! Invariant: the tallies of a conversation hold everything before its place, but for those that are to be counted again, and may hold
//! more; what is followed twice counts once ([`Tally::follow`]).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use kernel::{
    history::StoredEvent,
    inbox::{Entry, Step, Tally},
};
use schemas::{ConversationId, Position, UserId};
use tokio::sync::Mutex;

use super::News;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Register {
    people: HashMap<UserId, Person>,
    conversations: HashMap<ConversationId, Followed>,
    entries: usize,
    /// To be counted again; all before the position is in the history.
    recounts: BTreeMap<Row, Position>,
    /// To be told: their tallies are other than what they were told.
    changed: BTreeSet<Row>,
    /// To be told: they are no members. Also to whom nothing of it was told from here, since a list may have told it.
    gone: BTreeSet<Row>,
}

#[derive(Debug, Default)]
struct Person {
    /// Of this person, at this node.
    sessions: usize,
    tallies: HashMap<ConversationId, Tally>,
    /// Held by whoever reads the entries.
    loading: Arc<Mutex<()>>,
    /// What was counted while they are read, and is newer; `None` once they are there.
    counted: Option<HashSet<ConversationId>>,
}

#[derive(Debug, Default)]
struct Followed {
    place: Position,
    people: BTreeSet<UserId>,
}

/// Somebody and one of their conversations.
pub(super) type Row = (UserId, ConversationId);

impl Register {
    /// One more session of somebody; gives what is held while their entries are read.
    pub(super) fn enter(&mut self, user: &UserId) -> Arc<Mutex<()>> {
        let new = || Person { counted: Some(HashSet::new()), ..Person::default() };
        let person = self.people.entry(user.clone()).or_insert_with(new);
        person.sessions += 1;
        Arc::clone(&person.loading)
    }

    /// One session less. If it was the last, gives the conversations that nobody is told of any more.
    pub(super) fn leave(&mut self, user: &UserId) -> Option<Vec<ConversationId>> {
        let person = self.people.get_mut(user)?;
        person.sessions = person.sessions.saturating_sub(1);
        if person.sessions > 0 {
            return None;
        }
        let person = self.people.remove(user)?;
        self.entries -= person.tallies.len();
        let mut left: Vec<_> = person.tallies.into_keys().collect();
        left.retain(|conversation| self.forget(user, conversation));
        Some(left)
    }

    /// Entries of all people.
    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    /// How far the tallies of a conversation are; `None`: nobody is told of it.
    pub(super) fn place(&self, conversation: &ConversationId) -> Option<Position> {
        self.conversations.get(conversation).map(|followed| followed.place)
    }

    /// How many are told of it.
    pub(super) fn people_of(&self, conversation: &ConversationId) -> usize {
        self.conversations.get(conversation).map_or(0, |followed| followed.people.len())
    }

    fn tally(&self, (user, conversation): &Row) -> Option<Tally> {
        self.people.get(user)?.tallies.get(conversation).copied()
    }

    /// A tally that was read in reading all of somebody's, which holds everything before `place`. Says whether it has to be counted again,
    /// because others know more of the conversation by now.
    pub(super) fn load(&mut self, row: Row, tally: Tally, place: Position) -> bool {
        let (user, conversation) = &row;
        let counted = self.people.get(user).and_then(|person| person.counted.as_ref());
        if counted.is_some_and(|counted| counted.contains(conversation)) {
            return false;
        }
        self.put(&row, tally, place);
        let others_are_further = self.place(conversation) > Some(place);
        if others_are_further {
            self.recount(row, place);
        }
        others_are_further
    }

    /// Whether somebody's tallies are there.
    pub(super) fn is_loaded(&self, user: &UserId) -> bool {
        self.people.get(user).is_some_and(|person| person.counted.is_none())
    }

    /// All of somebody's tallies are there.
    pub(super) fn loaded(&mut self, user: &UserId) {
        if let Some(person) = self.people.get_mut(user) {
            person.counted = None;
        }
    }

    /// Nothing is kept if they have no session here.
    fn put(&mut self, (user, conversation): &Row, tally: Tally, place: Position) {
        let Some(person) = self.people.get_mut(user) else { return };
        if person.tallies.insert(conversation.clone(), tally).is_none() {
            self.entries += 1;
        }
        let followed = self.conversations.entry(conversation.clone());
        let followed = followed.or_insert_with(|| Followed { place, people: BTreeSet::new() });
        followed.people.insert(user.clone());
    }

    /// What is known of them may lack something, or they may have come into the conversation, or gone from it, before `place`.
    pub(super) fn recount(&mut self, row: Row, place: Position) {
        self.recounts.insert(row, place);
    }

    /// What has to be counted again.
    pub(super) fn recounts(&self) -> Vec<Row> {
        self.recounts.keys().cloned().collect()
    }

    /// It was counted: the tally, or `None` for somebody who is no member. Says whether nobody is told of the conversation any more.
    pub(super) fn counted(&mut self, row: &Row, tally: Option<Tally>) -> bool {
        let Some(place) = self.recounts.remove(row) else { return false };
        let (user, conversation) = row;
        if let Some(counted) = self.people.get_mut(user).and_then(|person| person.counted.as_mut()) {
            counted.insert(conversation.clone());
        }
        if let Some(tally) = tally {
            self.put(row, tally, place);
            self.changed.insert(row.clone());
            return false;
        }
        if let Some(person) = self.people.get_mut(user) {
            self.entries -= usize::from(person.tallies.remove(conversation).is_some());
            self.gone.insert(row.clone());
        }
        self.forget(user, conversation)
    }

    fn forget(&mut self, user: &UserId, conversation: &ConversationId) -> bool {
        let Some(followed) = self.conversations.get_mut(conversation) else { return true };
        followed.people.remove(user);
        let nobody = followed.people.is_empty();
        if nobody {
            self.conversations.remove(conversation);
        }
        nobody
    }

    /// Takes the next events of a conversation into account, from its place on.
    pub(super) fn follow(&mut self, conversation: &ConversationId, events: &[StoredEvent]) {
        let Some(followed) = self.conversations.get_mut(conversation) else { return };
        let Some(up_to) = events.last().map(|last| last.offset.position()) else { return };
        for user in &followed.people {
            let person = self.people.get_mut(user);
            let Some(tally) = person.and_then(|person| person.tallies.get_mut(conversation)) else {
                continue;
            };
            let row = || (user.clone(), conversation.clone());
            let before = *tally;
            for StoredEvent { event, offset, .. } in events.iter().filter(|event| !event.void) {
                if tally.follow(user, event, offset.position()) == Step::Recount {
                    self.recounts.insert(row(), up_to);
                }
            }
            if *tally != before {
                self.changed.insert(row());
            }
        }
        followed.place = followed.place.max(up_to);
    }

    /// All that is to be told, once.
    pub(super) fn news(&mut self) -> Vec<(UserId, News)> {
        let mut news = Vec::new();
        for row in std::mem::take(&mut self.gone) {
            // Who came back meanwhile did not go.
            if self.tally(&row).is_none() {
                let (user, conversation) = row;
                news.push((user, News::gone(conversation)));
            }
        }
        for row in std::mem::take(&mut self.changed) {
            if let Some(tally) = self.tally(&row) {
                let (user, conversation) = row;
                news.push((user, News::Entry(Entry { conversation, tally })));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests;
