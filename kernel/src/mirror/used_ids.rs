//! The ids that a conversation in use has used so far, so that nobody has to ask the history whether a new one is new.
//!
//! Invariant: once they are known, the id of every valid event of the conversation that is folded here is among them. Only hashes are
//! kept: an id may be taken for a used one that is not, which costs a look at the history, but never the other way round.
//!
//! Of a conversation that begins while it is in use they are known from the start. Else they are learned when the history was asked often
//! enough for that to pay; both as long as they are few.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use schemas::EventId;

/// Most ids that are read from the history to begin with.
pub const USED_IDS_READ_MAX: usize = 4_096;
/// Most ids that are kept of one conversation.
pub(super) const KEPT_MAX: usize = 16_384;
/// Most ids that are kept of all conversations in use. A hash takes up to 18 bytes in its set.
const KEPT_IN_ALL_MAX: usize = 4_000_000;
/// How many ids the history is asked for before they are learned: to read them all costs about as much.
const ASKED_MIN: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct UsedIds {
    state: State,
    room: Arc<Room>,
}

#[derive(Debug)]
enum State {
    /// Nobody has asked for them often enough.
    Unknown { asked: usize },
    /// Those of late and those that came since; the older ones are being read.
    Learning(Hashes),
    /// All of them.
    Known(Hashes),
    /// There are too many.
    TooMany,
}

#[derive(Debug, Default)]
struct Hashes {
    /// Nobody outside knows its keys, so nobody can make ids that look alike.
    hasher: RandomState,
    set: HashSet<u64>,
}

/// What all conversations in use at a node have in common: how many ids may still be kept.
#[derive(Debug)]
pub(super) struct Room {
    left: AtomicUsize,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(KEPT_IN_ALL_MAX)
    }
}

impl Room {
    pub(super) fn of(len: usize) -> Self {
        Self { left: AtomicUsize::new(len) }
    }

    fn take_one(&self) -> bool {
        let taken = |left: usize| left.checked_sub(1);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
    }

    fn give_back(&self, len: usize) {
        self.left.fetch_add(len, Ordering::Relaxed);
    }
}

impl UsedIds {
    pub(super) fn new(room: Arc<Room>) -> Self {
        Self { state: State::Unknown { asked: 0 }, room }
    }

    /// Where it takes its room from.
    pub(super) fn room(&self) -> Arc<Room> {
        Arc::clone(&self.room)
    }

    /// Whether it is certain that no valid event has this id.
    pub(super) fn lack(&self, id: &EventId) -> bool {
        matches!(&self.state, State::Known(hashes) if !hashes.set.contains(&hashes.hasher.hash_one(id)))
    }

    /// The conversation begins: nothing was used before.
    pub(super) fn found(&mut self) {
        self.turn_to(State::Known(Hashes::default()));
    }

    /// A valid event with this id was folded.
    pub(super) fn note(&mut self, id: &EventId) {
        let (State::Learning(hashes) | State::Known(hashes)) = &mut self.state else { return };
        let hash = hashes.hasher.hash_one(id);
        if hashes.set.contains(&hash) {
            return;
        }
        if hashes.set.len() < KEPT_MAX && self.room.take_one() {
            hashes.set.insert(hash);
        } else {
            self.turn_to(State::TooMany);
        }
    }

    /// The history is to be asked for so many ids. `true`: learning them all is worth it, and has begun with those `of_late`.
    pub(super) fn begin<'a>(&mut self, asking: usize, of_late: impl Iterator<Item = &'a EventId>) -> bool {
        let State::Unknown { asked } = &mut self.state else { return false };
        *asked = asked.saturating_add(asking);
        if *asked < ASKED_MIN {
            return false;
        }
        self.state = State::Learning(Hashes::default());
        of_late.for_each(|id| self.note(id));
        matches!(self.state, State::Learning(_))
    }

    /// These are the older ones; `None`: there are too many.
    pub(super) fn end(&mut self, older: Option<&[EventId]>) {
        let Some(older) = older else { return self.turn_to(State::TooMany) };
        for id in older {
            self.note(id);
        }
        if let State::Learning(hashes) = &mut self.state {
            self.state = State::Known(mem::take(hashes));
        }
    }

    /// They could not be read. It begins anew when the history was asked as often again.
    pub(super) fn give_up(&mut self) {
        if matches!(self.state, State::Learning(_)) {
            self.turn_to(State::Unknown { asked: 0 });
        }
    }

    fn turn_to(&mut self, state: State) {
        if let State::Learning(hashes) | State::Known(hashes) = mem::replace(&mut self.state, state) {
            self.room.give_back(hashes.set.len());
        }
    }
}

impl Drop for UsedIds {
    fn drop(&mut self) {
        self.turn_to(State::TooMany);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> EventId {
        format!("id-{number}").parse().unwrap()
    }

    fn ids(numbers: std::ops::Range<usize>) -> Vec<EventId> {
        numbers.map(id).collect()
    }

    fn learning(room: &Arc<Room>, of_late: &[EventId]) -> UsedIds {
        let mut used = UsedIds::new(Arc::clone(room));
        assert!(!used.begin(ASKED_MIN - 1, of_late.iter()));
        assert!(used.begin(1, of_late.iter()));
        used
    }

    #[test]
    fn what_begins_here_is_known_from_the_start() {
        let mut used = UsedIds::new(Arc::default());
        assert!(!used.lack(&id(1)), "nobody knows yet");
        used.found();
        used.note(&id(0));
        assert!(used.lack(&id(1)) && !used.lack(&id(0)));
    }

    #[test]
    fn what_is_old_of_late_or_new_is_used_and_nothing_else() {
        let mut used = learning(&Arc::default(), &ids(10..20));
        used.note(&id(20));
        assert!(!used.lack(&id(99)), "not all is known yet");
        assert!(!used.begin(ASKED_MIN, std::iter::empty()), "one learns at a time");
        used.end(Some(&ids(0..12)));
        used.note(&id(21));
        assert!((0..22).all(|number| !used.lack(&id(number))));
        assert!((22..1_000).all(|number| used.lack(&id(number))));
    }

    #[test]
    fn who_fails_to_learn_knows_nothing_and_may_try_again() {
        let mut used = learning(&Arc::default(), &ids(0..1));
        used.give_up();
        used.note(&id(1));
        assert!(!used.lack(&id(9)));
        assert!(used.begin(ASKED_MIN, ids(0..2).iter()));
        used.end(Some(&[]));
        assert!(used.lack(&id(9)) && !used.lack(&id(1)));
    }

    #[test]
    fn too_many_are_not_kept() {
        let room = Arc::default();
        let mut used = learning(&room, &[]);
        used.end(Some(&ids(0..KEPT_MAX)));
        assert!(used.lack(&id(KEPT_MAX)));
        used.note(&id(0));
        assert!(used.lack(&id(KEPT_MAX)), "one that is known needs no room");
        used.note(&id(KEPT_MAX));
        assert!(!used.lack(&id(KEPT_MAX + 1)));
        assert_eq!(room.left.load(Ordering::Relaxed), KEPT_IN_ALL_MAX, "the room is free again");
        assert!(!used.begin(ASKED_MIN, std::iter::empty()));
    }

    #[test]
    fn a_conversation_that_is_too_long_is_not_learned() {
        let mut used = learning(&Arc::default(), &[]);
        used.end(None);
        assert!(!used.lack(&id(0)) && !used.begin(ASKED_MIN, std::iter::empty()));
    }

    #[test]
    fn all_together_keep_no_more_than_there_is_room_for() {
        let room = Arc::new(Room::of(10));
        let mut one = learning(&room, &ids(0..6));
        one.end(Some(&[]));
        let mut other = learning(&room, &ids(0..4));
        other.end(Some(&[]));
        assert!(one.lack(&id(9)) && other.lack(&id(9)));
        other.note(&id(4));
        assert!(!other.lack(&id(9)), "there is no room for an eleventh");
        one.note(&id(6));
        assert!(one.lack(&id(9)), "the first goes on with what the other left");
        drop((one, other));
        assert_eq!(room.left.load(Ordering::Relaxed), 10);
    }
}
