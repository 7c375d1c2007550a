//! Write stamps: what the servers take for the time of a write is made from the offset of the event, and from nothing else.
//!
//! Of two writes to a column the servers keep the one with the larger stamp. So the outcome is a function of the set of writes, whatever
//! their order and however often each comes. Two writes with one stamp come from one event, and so write the same value.
//!
//! Stamps lie far in the past of any clock, since servers refuse those that lie too far in the future. That is also why a write by the
//! clock, from whatever tool, would win for ever: nobody else may write to these tables.

use schemas::{Offset, Position};

/// One more than the largest offset that can be stamped: 2^50, which is 35 years of a million records a second. As microseconds it lies in
/// the year 2005.
pub(super) const OFFSETS: u64 = 1 << 50;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(i64);

impl Stamp {
    /// For what is the same whoever writes it. Below all others.
    pub(super) const SAME: Self = Self(1);

    /// The later event wins.
    pub(super) fn last_wins(offset: Offset) -> Self {
        Self(i64::from(offset).saturating_add(1))
    }

    /// The earlier event wins.
    pub(super) fn first_wins(offset: Offset) -> Self {
        Self(OFFSETS.cast_signed().saturating_sub(i64::from(offset)))
    }

    /// The larger position wins.
    pub(super) fn of_position(position: Position) -> Self {
        Self(i64::from(position).saturating_add(1))
    }

    /// The event that wrote what has this [`Stamp::last_wins`].
    pub(super) fn offset(number: i64) -> Option<Offset> {
        number.checked_sub(1).and_then(|offset| Offset::try_from(offset).ok())
    }

    /// As the servers want it.
    pub(super) fn number(self) -> i64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAST: Offset = Offset::new(OFFSETS - 1);

    #[test]
    fn the_later_or_the_earlier_event_wins_up_to_the_limit() {
        for (one, next) in [(0, 1), (65_535, 65_536), (OFFSETS - 2, OFFSETS - 1)] {
            let (one, next) = (Offset::new(one), Offset::new(next));
            assert!(Stamp::last_wins(one) < Stamp::last_wins(next));
            assert!(Stamp::first_wins(one) > Stamp::first_wins(next));
            assert!(Stamp::of_position(one.position()) < Stamp::of_position(next.position()));
        }
        assert_eq!(Stamp::last_wins(Offset::new(0)), Stamp::SAME);
        assert_eq!(Stamp::first_wins(LAST), Stamp::SAME);
        assert_eq!(Stamp::offset(Stamp::last_wins(LAST).number()), Some(LAST));
        assert_eq!(Stamp::offset(0), None);
    }

    #[test]
    fn every_stamp_lies_in_the_past_of_any_clock_and_is_positive() {
        let year_2020_us = 1_577_836_800_000_000;
        for offset in [Offset::new(0), LAST] {
            for stamp in [Stamp::last_wins(offset), Stamp::first_wins(offset)] {
                assert!((1..year_2020_us).contains(&stamp.number()), "{stamp:?}");
            }
        }
    }
}
