//! The work by which servers that deliver are compared, and what delivering may take.

use clap::ValueEnum;
use serde::Serialize;

use super::{Pace, Work};

/// Sessions of a conversation where there are many conversations.
const FEW: u32 = 10;
/// Messages on their way where they may be put together.
const MANY_IN_FLIGHT: u32 = 32;
/// Messages a second: a conversation in which a thousand people read and some write.
const STEADY: u32 = 47;
/// Messages a second over many conversations.
const MANY_STEADY: u32 = 2_000;

/// A kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Row {
    /// One conversation, one message on its way
    One,
    /// One conversation, 32 on their way, which may be delivered together
    Coalesced,
    /// One conversation, 47 a second
    Steady,
    /// A conversation for every ten sessions, one on its way in each
    Many,
    /// The same, 2,000 a second over all
    ManySteady,
}

impl Row {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::One, Self::Coalesced, Self::Steady, Self::Many, Self::ManySteady];

    /// The work for so many sessions, at least ten.
    pub fn work(self, sessions: u32) -> Work {
        let many = sessions / FEW;
        let (conversations, pace) = match self {
            Self::One => (1, Pace::InFlight(1)),
            Self::Coalesced => (1, Pace::InFlight(MANY_IN_FLIGHT)),
            Self::Steady => (1, Pace::PerSecond(STEADY)),
            Self::Many => (many, Pace::InFlight(many)),
            Self::ManySteady => (many, Pace::PerSecond(MANY_STEADY)),
        };
        Work { conversations, sessions: sessions / conversations * conversations, pace }
    }

    /// What a delivery may take at most, as a multiple of the floor.
    pub fn goal(self) -> f64 {
        match self {
            Self::One => 1.15,
            Self::Coalesced => 0.10,
            Self::Steady => 1.25,
            Self::Many => 1.2,
            Self::ManySteady => 1.7,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_conversation_has_as_many_sessions() {
        for row in Row::ALL {
            for sessions in [10, 25, 1_000] {
                let Work { conversations, sessions: taken, .. } = row.work(sessions);
                assert!(conversations >= 1 && taken % conversations == 0 && taken <= sessions, "{row:?}");
            }
        }
        let Work { conversations, sessions, pace } = Row::Many.work(1_000);
        assert_eq!((conversations, sessions, pace), (100, 1_000, Pace::InFlight(100)));
    }
}
