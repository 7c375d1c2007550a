//! The states of the conversations that a fold is at work on.
//!
//! Invariant: each state says up to where it is folded, so that a record which comes twice is folded once. What is
//! dropped here is only forgotten: the history has it.

use std::collections::{HashMap, HashSet};

use kernel::{conversation::ConversationState, event_log::Record, history::Snapshot};
use schemas::{ConversationId, Position};

/// How much is kept between batches, of all partitions together: a conversation counts one, and each person who stands towards it and each
/// id of late one more. Twice what an import leaves in the window of repeats, some 500 MB at the very most.
pub(crate) const WEIGHT_MAX: usize = 2_000_000;

/// The states at hand, by conversation.
#[derive(Debug, Default)]
pub struct States {
    known: HashMap<ConversationId, Known>,
    /// Rises with every use, to tell what was used last.
    uses: u64,
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
        self.known.insert(conversation, Known { state, folded: position, used: self.uses });
    }

    /// The conversation, to be folded further; from its start if nothing is at hand.
    pub(crate) fn at(&mut self, conversation: &ConversationId) -> &mut Known {
        self.uses += 1;
        let known = self.known.entry(conversation.clone()).or_default();
        known.used = self.uses;
        known
    }

    /// Drops what was not used for longest until the rest weighs at most half of `weight_max`, if it weighs more
    /// than that. Not while a batch is on its way: the history does not have it yet.
    pub(crate) fn trim(&mut self, weight_max: usize) {
        let weight: usize = self.known.values().map(Known::weight).sum();
        if weight <= weight_max {
            return;
        }
        let mut by_use: Vec<_> = self.known.values().map(|known| (known.used, known.weight())).collect();
        by_use.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut kept = 0;
        let fits = |(_, weight): &&(u64, usize)| {
            kept += weight;
            kept <= weight_max / 2
        };
        let since = by_use.iter().take_while(fits).last().map_or(u64::MAX, |(used, _)| *used);
        self.known.retain(|_, known| known.used >= since);
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
            states.at(&name.parse().unwrap());
        }
        states
    }

    fn names(states: &States) -> Vec<&str> {
        let mut names: Vec<_> = states.known.keys().map(ConversationId::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn nothing_is_dropped_at_the_limit_and_the_older_half_one_past_it() {
        let mut states = states(&["a", "b", "c", "d"]);
        states.trim(4);
        assert_eq!(names(&states), ["a", "b", "c", "d"]);
        states.at(&"a".parse().unwrap());
        states.at(&"e".parse().unwrap());
        states.trim(4);
        assert_eq!(names(&states), ["a", "e"]);
    }

    #[test]
    fn people_and_ids_of_late_weigh_too() {
        let mut scribe = Scribe::default();
        scribe.does("ann", "c", body::created(Visibility::Open, &["bob", "cid"]));
        for number in 0..5 {
            scribe.does("ann", &format!("m{number}"), body::posted("hi"));
        }
        let tea: ConversationId = "tea".parse().unwrap();
        let snapshot = |position| Snapshot { state: scribe.state_at(&tea, position), position };
        // Itself, three people, and one id or all six.
        for (position, weight) in [(Position::new(1), 5), (scribe.tail(), 10)] {
            let mut states = States::default();
            states.learn(tea.clone(), snapshot(position));
            states.trim(weight);
            assert_eq!(names(&states), ["tea"], "{weight}");
            states.trim(weight - 1);
            assert!(names(&states).is_empty(), "{weight}");
        }
    }

    #[test]
    fn one_that_is_too_heavy_is_dropped_too() {
        let mut states = states(&["a"]);
        states.trim(0);
        assert!(names(&states).is_empty());
    }
}
