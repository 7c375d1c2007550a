//! The states of the conversations that a fold is at work on.
//!
//! Invariant: each state says up to where it is folded, so that a record which comes twice is folded once. What is
//! dropped here is only forgotten: the history has it.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use kernel::{conversation::ConversationState, event_log::Record, history::Snapshot};
use schemas::{ConversationId, Position};

/// How much is kept between batches, of all partitions together: a conversation counts one, and each person who stands towards it and each
/// id of late one more. Twice what an import leaves in the window of repeats, and less than a GB.
pub(crate) const WEIGHT_MAX: usize = 2_000_000;

/// The states at hand, by conversation.
#[derive(Debug, Default)]
pub struct States {
    known: HashMap<ConversationId, Known>,
    /// Rises with every use, to tell what was used last.
    uses: u64,
    /// What of them was there before the last batch.
    before_batch: u64,
    weight: usize,
}

/// One conversation as far as it is folded.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// `None`: no event of it is valid so far.
    pub(crate) state: Option<ConversationState>,
    /// Every record before it is in `state`, none after it is.
    pub(crate) folded: Position,
    used: u64,
}

impl States {
    /// The conversations that `records` are about and of which nothing is at hand, each once.
    pub(crate) fn missing(&self, records: &[Record]) -> Vec<ConversationId> {
        let keys: HashSet<&str> = records.iter().filter_map(Record::key_str).collect();
        let unknown = keys.into_iter().filter(|key| !self.known.contains_key(*key));
        // A key that is no id is no conversation of ours; the fold passes the record over.
        unknown.filter_map(|key| key.parse().ok()).collect()
    }

    /// Takes what the history knows.
    pub(crate) fn learn(&mut self, conversation: ConversationId, snapshot: Snapshot) {
        let Snapshot { state, position } = snapshot;
        let known = Known { state, folded: position, used: self.uses };
        self.weight += known.weight();
        let former = self.known.insert(conversation, known);
        self.weight -= former.map_or(0, |former| former.weight());
    }

    /// What is used from now on belongs to the next batch.
    pub(crate) fn begin_batch(&mut self) {
        self.before_batch = self.uses;
    }

    /// Folds the conversation further by `fold`; from its start if nothing is at hand.
    pub(crate) fn fold<T>(&mut self, conversation: ConversationId, fold: impl FnOnce(&mut Known) -> T) -> T {
        self.uses += 1;
        let known = match self.known.entry(conversation) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let known = place.insert(Known::default());
                self.weight += known.weight();
                known
            }
        };
        known.used = self.uses;
        let before = known.weight();
        let outcome = fold(known);
        self.weight = self.weight - before + known.weight();
        outcome
    }

    /// How much is kept.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    /// Drops what was not used for longest until the rest weighs at most half, but nothing that the last batch used: the next one may well
    /// need it again. Not while a batch is on its way: the history does not have it yet.
    pub(crate) fn halve(&mut self) {
        let mut by_use: Vec<_> = self.known.values().map(|known| (known.used, known.weight())).collect();
        by_use.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut kept = 0;
        let stays = |(used, weight): &&(u64, usize)| {
            kept += weight;
            kept <= self.weight / 2 || *used > self.before_batch
        };
        let since = by_use.iter().take_while(stays).last().map_or(u64::MAX, |(used, _)| *used);
        self.known.retain(|_, known| known.used >= since);
        self.weight = self.known.values().map(Known::weight).sum();
    }
}

impl Known {
    fn weight(&self) -> usize {
        1 + self.state.as_ref().map_or(0, |state| state.standings.len() + state.repeats.notes())
    }
}

#[cfg(test)]
mod tests {
    use kernel::history::conformance::{Scribe, body};
    use schemas::Visibility;

    use super::*;

    fn states(names: &[&str]) -> States {
        let mut states = States::default();
        for name in names {
            states.begin_batch();
            touch(&mut states, name);
        }
        states
    }

    fn touch(states: &mut States, name: &str) {
        states.fold(name.parse().unwrap(), |_| ());
    }

    fn names(states: &States) -> Vec<&str> {
        let mut names: Vec<_> = states.known.keys().map(ConversationId::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn the_half_that_was_not_used_for_longer_goes() {
        let mut states = states(&["a", "b", "c", "d"]);
        states.begin_batch();
        touch(&mut states, "a");
        assert_eq!(states.weight(), 4);
        states.halve();
        assert_eq!((names(&states), states.weight()), (vec!["a", "d"], 2));
    }

    #[test]
    fn what_the_last_batch_used_stays_whatever_it_weighs() {
        let mut states = states(&["a", "b"]);
        states.begin_batch();
        for name in ["c", "d", "e"] {
            touch(&mut states, name);
        }
        states.halve();
        assert_eq!(names(&states), ["c", "d", "e"]);
        states.begin_batch();
        states.halve();
        assert_eq!(names(&states), ["e"]);
    }

    #[test]
    fn people_and_ids_of_late_weigh_too_however_they_came() {
        let mut scribe = Scribe::default();
        scribe.does("ann", "c", body::created(Visibility::Open, &["bob", "cid"]));
        for number in 0..5 {
            scribe.does("ann", &format!("m{number}"), body::posted("hi"));
        }
        let tea: ConversationId = "tea".parse().unwrap();
        let state_at = |position| scribe.state_at(&tea, position);
        let mut states = States::default();
        states.learn(tea.clone(), Snapshot { state: state_at(Position::new(1)), position: Position::new(1) });
        assert_eq!(states.weight(), 5, "itself, three people, one id");
        states.fold(tea.clone(), |known| known.state = state_at(scribe.tail()));
        assert_eq!(states.weight(), 10, "itself, three people, six ids");
        states.learn(tea.clone(), Snapshot { state: None, position: Position::START });
        assert_eq!(states.weight(), 1);
    }
}
