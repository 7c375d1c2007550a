//! Whether a node is alone with the topic: it writes much, and nobody else writes anything. Then it need not fetch in a hurry what it has
//! from its own acknowledgements already (`docs/adr/0015`).
//!
//! A record of its own that was fetched before it was acknowledged looks like somebody else's, until the acknowledgement claims it. So what
//! was fetched between two looks is judged at the one after, and what is not claimed by then counts as somebody else's: in doubt a node is
//! not alone.

use std::{collections::BTreeMap, mem};

use schemas::{Offset, Partition, Position};

use super::settings::Pace;

/// Own records between two looks from which on it is worth while to spare their fetches.
const OWN_MIN: u64 = 50;
/// So many looks in a row have to find the node alone.
const LOOKS: u32 = 4;

/// What comes to one reader, and from where.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Since the last look.
    now: Count,
    /// Between the last look and the one before.
    before: Count,
    /// Where each partition went on at the last look.
    marks: BTreeMap<Partition, Position>,
}

/// What came between two looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Records with their acknowledgement.
    pub(super) own: u64,
    /// Records from the brokers, those apart that had come already.
    pub(super) fetched: u64,
    /// How many of those were acknowledged, or will be fetched since their acknowledgement came out of turn.
    pub(super) claimed: u64,
}

impl Tally {
    /// A record came with its acknowledgement.
    pub(super) fn own(&mut self) {
        self.now.own += 1;
    }

    /// So many new ones were fetched.
    pub(super) fn fetched(&mut self, len: usize) {
        self.now.fetched += len as u64;
    }

    /// A record was acknowledged that was fetched already, or has to be.
    pub(super) fn claim(&mut self, partition: Partition, offset: Offset) {
        let before = self.marks.get(&partition).is_some_and(|mark| mark.covers(offset));
        let count = if before { &mut self.before } else { &mut self.now };
        count.claimed += 1;
    }

    /// Looks: what came between the two looks before. `ends`: where each partition goes on now.
    pub(super) fn look(&mut self, ends: &BTreeMap<Partition, Position>) -> Count {
        self.marks.clone_from(ends);
        mem::replace(&mut self.before, mem::take(&mut self.now))
    }
}

/// How long a node has been alone.
#[derive(Debug, Default)]
pub(super) struct Calm(u32);

impl Calm {
    /// What another look has seen, and which pace that suggests.
    pub(super) fn look(&mut self, seen: Count) -> Pace {
        let alone = seen.fetched <= seen.claimed && seen.own + seen.claimed >= OWN_MIN;
        self.0 = if alone { self.0.saturating_add(1) } else { 0 };
        if self.0 >= LOOKS { Pace::Unhurried } else { Pace::Hurried }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P0: Partition = Partition(0);
    const P1: Partition = Partition(1);

    fn ends(p0: u64, p1: u64) -> BTreeMap<Partition, Position> {
        [(P0, Position::new(p0)), (P1, Position::new(p1))].into()
    }

    #[test]
    fn what_is_fetched_counts_at_the_look_it_was_fetched_before_whenever_it_is_claimed() {
        let mut tally = Tally::default();
        tally.own();
        tally.fetched(3);
        tally.claim(P0, Offset::new(1));
        assert_eq!(tally.look(&ends(4, 0)), Count::default());
        // Of those before the look, and two more: in another partition, and right behind the look.
        tally.claim(P0, Offset::new(3));
        tally.claim(P1, Offset::new(0));
        tally.claim(P0, Offset::new(4));
        tally.fetched(5);
        assert_eq!(tally.look(&ends(5, 1)), Count { own: 1, fetched: 3, claimed: 2 });
        assert_eq!(tally.look(&ends(5, 1)), Count { own: 0, fetched: 5, claimed: 2 });
        assert_eq!(tally.look(&ends(5, 1)), Count::default());
    }

    #[test]
    fn who_has_been_alone_for_some_looks_is_in_no_hurry_until_somebody_comes_or_there_is_little_to_do() {
        let alone = Count { own: OWN_MIN - 1, fetched: 1, claimed: 1 };
        let little = Count { own: OWN_MIN - 1, ..Count::default() };
        let company = Count { own: 2 * OWN_MIN, fetched: 2, claimed: 1 };
        let mut calm = Calm::default();
        for disturbed in [little, company] {
            let paces = [alone; LOOKS as usize + 1].map(|seen| calm.look(seen));
            assert!(paces[..LOOKS as usize - 1].iter().all(|pace| *pace == Pace::Hurried), "{paces:?}");
            assert_eq!(paces[LOOKS as usize - 1..], [Pace::Unhurried; 2]);
            assert_eq!(calm.look(disturbed), Pace::Hurried);
        }
    }
}
