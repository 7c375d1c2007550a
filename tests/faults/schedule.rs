//! What goes wrong, and when: drawn from a seed, and from nothing else.
//!
//! The first fault of a seed goes round all kinds, so that any [`KINDS`] seeds in a row have every kind; the others are
//! drawn. No two faults of a seed have the same target: what is dead cannot be frozen.

use std::{fmt, ops::Range};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tests::cluster::Role;

/// Nodes of each role.
pub(crate) const NODES_EACH: usize = 2;
/// How long the group waits for a silent store node, in milliseconds.
pub(crate) const SESSION_TIMEOUT_MS: u64 = 3_000;
/// A zombie is silent for so much longer than the group waits.
const ZOMBIE_MARGIN_MS: u64 = 2_000;
/// When faults begin, in milliseconds after the load.
const BEGIN_MS: Range<u64> = 200..3_500;
/// Faults of a seed.
const FAULTS: Range<usize> = 2..5;
/// How often to look for another fault when the one that was drawn does not fit.
const DRAWS_MAX: usize = 20;

/// A fault: what is done, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) harm: Harm,
    /// When it begins, after the load.
    pub(crate) at_ms: u64,
    /// How long it stays so.
    pub(crate) hold_ms: u64,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Harm {
    /// A node is killed, and started again.
    Kill(Role, usize),
    /// A node is stopped, and goes on. With `store` and a long hold, the group gives its partitions away meanwhile.
    Freeze(Role, usize),
    /// One more store node comes, and leaves: killed, or in good order.
    Join {
        /// In good order.
        gently: bool,
    },
    /// Kafka is killed, and started again.
    Kafka,
    /// Cassandra is killed, and started again.
    Cassandra,
    /// Some sessions stop reading, and read again.
    Slow,
    /// All sessions go to another node.
    Move,
}

/// Kinds of faults; each is the first fault of one seed in so many.
pub(crate) const KINDS: u64 = 10;

/// What two faults of a seed may not have in common.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Node(Role, usize),
    Joiner,
    Kafka,
    Cassandra,
    Readers,
    Sessions,
}

/// The faults of a seed, in the order in which they begin.
pub(crate) fn draw(seed: u64) -> Vec<Fault> {
    let mut chance = SmallRng::seed_from_u64(seed);
    let mut faults: Vec<Fault> = vec![fault(seed % KINDS, &mut chance)];
    let wanted = chance.random_range(FAULTS);
    for _ in 0..DRAWS_MAX {
        if faults.len() >= wanted {
            break;
        }
        let kind = chance.random_range(0..KINDS);
        let drawn = fault(kind, &mut chance);
        if faults.iter().all(|fault| fault.harm.target() != drawn.harm.target()) {
            faults.push(drawn);
        }
    }
    faults.sort_by_key(|fault| fault.at_ms);
    faults
}

fn fault(kind: u64, chance: &mut SmallRng) -> Fault {
    let node = chance.random_range(0..NODES_EACH);
    let role = |turn: usize| Role::ALL.get(turn).copied().unwrap_or(Role::Store);
    let zombie = SESSION_TIMEOUT_MS + ZOMBIE_MARGIN_MS;
    let (harm, hold_ms) = match kind {
        0 => (Harm::Kill(Role::Ingest, node), 100..1_500),
        1 => (Harm::Kill(Role::Fanout, node), 100..1_500),
        2 => (Harm::Kill(Role::Store, node), 100..1_500),
        3 => (Harm::Freeze(role(chance.random_range(0..3)), node), 200..2_000),
        4 => (Harm::Freeze(Role::Store, node), zombie..zombie + 500),
        5 => (Harm::Join { gently: chance.random_bool(0.5) }, 1_000..3_000),
        6 => (Harm::Kafka, 100..1_000),
        7 => (Harm::Cassandra, 100..1_000),
        8 => (Harm::Slow, 1_000..3_000),
        _ => (Harm::Move, 0..1),
    };
    Fault { harm, at_ms: chance.random_range(BEGIN_MS), hold_ms: chance.random_range(hold_ms) }
}

impl Fault {
    /// Whether a store node is silent for so long that the group gives its partitions to others.
    pub(crate) fn is_zombie(self) -> bool {
        matches!(self.harm, Harm::Freeze(Role::Store, _)) && self.hold_ms > SESSION_TIMEOUT_MS
    }
}

impl Harm {
    fn target(self) -> Target {
        match self {
            Self::Kill(role, node) | Self::Freeze(role, node) => Target::Node(role, node),
            Self::Join { .. } => Target::Joiner,
            Self::Kafka => Target::Kafka,
            Self::Cassandra => Target::Cassandra,
            Self::Slow => Target::Readers,
            Self::Move => Target::Sessions,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { harm, at_ms, hold_ms } = self;
        match harm {
            Harm::Kill(role, node) => write!(f, "kill {} {node}", role.name())?,
            Harm::Freeze(role, node) => write!(f, "freeze {} {node}", role.name())?,
            Harm::Join { gently: true } => f.write_str("store joins and leaves")?,
            Harm::Join { gently: false } => f.write_str("store joins and dies")?,
            Harm::Kafka => f.write_str("kill kafka")?,
            Harm::Cassandra => f.write_str("kill cassandra")?,
            Harm::Slow => f.write_str("slow sessions")?,
            Harm::Move => f.write_str("sessions move")?,
        }
        write!(f, " {at_ms}+{hold_ms}ms")
    }
}

mod tests_of_the_draw {
    use super::*;

    #[test]
    fn a_seed_says_all_and_so_many_in_a_row_have_every_kind() {
        for first in [0, 7, 1_000_003] {
            let seeds = first..first + KINDS;
            let all: Vec<_> = seeds.clone().map(draw).collect();
            assert_eq!(all, seeds.map(draw).collect::<Vec<_>>());
            let any = |is: fn(&Fault) -> bool| all.iter().flatten().any(is);
            for role in Role::ALL {
                let is = |fault: &Fault| matches!(fault.harm, Harm::Kill(of, _) if of == role);
                assert!(all.iter().flatten().any(is), "no kill of {}", role.name());
            }
            assert!(any(|fault| fault.is_zombie()), "no zombie");
            assert!(any(|fault| matches!(fault.harm, Harm::Join { .. })));
            for harm in [Harm::Kafka, Harm::Cassandra, Harm::Slow, Harm::Move] {
                assert!(all.iter().flatten().any(|fault| fault.harm == harm), "no {harm:?}");
            }
        }
    }

    #[test]
    fn no_target_is_struck_twice_by_one_seed() {
        for seed in 0..1_000 {
            let faults = draw(seed);
            for (place, fault) in faults.iter().enumerate() {
                let others = &faults[place + 1..];
                assert!(others.iter().all(|other| other.harm.target() != fault.harm.target()), "{faults:?}");
            }
        }
    }
}
