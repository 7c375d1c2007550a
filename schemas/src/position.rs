//! Places in the topic.
//!
//! An [`Offset`] names a record. A [`Position`] names the gap *after* a record: the place after which to
//! go on, and so also "everything before it is known". Clients hold positions, and a position on the
//! wire is the offset of the last record known plus one:
//!
//! ```text
//!   records      [0]   [1]   [2]   [3]
//!   positions  0     1     2     3     4
//!              ^                 ^     ^ the tail: all is known
//!              nothing yet       offset 2 is the last one known
//! ```
//!
//! Positions of one conversation rise, but not by one: the partition is shared with other conversations.
//! They compare; their differences mean nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A partition of the topic. One conversation lives in one partition for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Partition(pub u32);

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a place does not fit: it is negative.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no place in the log: it is negative")]
pub struct NegativePlace(i64);

/// Declares a place: a number from 0 to `i64::MAX`, as Kafka counts.
macro_rules! place {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(u64);

        impl $name {
            /// The place with this number. Numbers above `i64::MAX`, which no log reaches, become that.
            pub const fn new(number: u64) -> Self {
                if number > i64::MAX.unsigned_abs() { Self(i64::MAX.unsigned_abs()) } else { Self(number) }
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = NegativePlace;
            fn try_from(number: i64) -> Result<Self, NegativePlace> {
                u64::try_from(number).map(Self).map_err(|_| NegativePlace(number))
            }
        }

        impl From<$name> for i64 {
            fn from(place: $name) -> i64 {
                i64::try_from(place.0).unwrap_or(i64::MAX)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

place!(
    /// The number of a record in its partition, from 0.
    Offset
);

place!(
    /// The place after which to go on: all records with a smaller offset are known.
    ///
    /// So it is at once the offset of the next record (as Kafka commits it) and, on the wire, "the
    /// offset of the last record + 1".
    Position
);

impl Offset {
    /// The position of somebody who knows this record and all before it.
    pub const fn position(self) -> Position {
        Position::new(self.0 + 1)
    }
}

impl Position {
    /// Nothing is known yet.
    pub const START: Self = Self(0);

    /// The record that comes next.
    pub const fn next(self) -> Offset {
        Offset(self.0)
    }

    /// Whether the record at `offset` is known here.
    pub const fn covers(self, offset: Offset) -> bool {
        offset.0 < self.0
    }

    /// The last record known; `None` at the start.
    pub fn last(self) -> Option<Offset> {
        self.0.checked_sub(1).map(Offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_covers_what_lies_before_it() {
        let position = Offset::new(2).position();
        assert_eq!(position.get(), 3);
        assert!(position.covers(Offset::new(2)));
        assert!(!position.covers(Offset::new(3)));
        assert_eq!(position.next(), Offset::new(3));
        assert_eq!(position.last(), Some(Offset::new(2)));
        assert_eq!(Position::START.last(), None);
        assert!(!Position::START.covers(Offset::new(0)));
    }

    #[test]
    fn numbers_stay_within_what_kafka_and_avro_can_write() {
        assert_eq!(i64::from(Offset::new(u64::MAX)), i64::MAX);
        assert!(Position::try_from(-1).is_err());
        assert!(serde_json::from_str::<Position>("-1").is_err());
        assert_eq!(serde_json::to_string(&Position::new(7)).unwrap(), "7");
    }
}
