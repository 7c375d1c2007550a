//! The switchover against a model: random interleavings of appends, folding, projecting, delivery, resuming
//! and full outboxes; and what the client must have seen.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// One thing that happens in the world.
#[derive(Debug, Clone)]
enum Step {
    /// A record is appended: of the conversation and valid, or something else (void, another conversation).
    Append { valid: bool },
    /// The node folds so many records, and queues them for the shard as one stretch.
    Fold(usize),
    /// The recent window loses its oldest events but so many.
    Trim(usize),
    /// The history gains so many records.
    Project(usize),
    /// The shard takes the next stretch from its queue.
    Deliver,
    /// The subscription fills one page of at most so many events.
    Fill(usize),
    /// The socket takes so many events.
    Drain(usize),
    /// The connection is lost; the client comes back with its position.
    Reconnect,
    /// The same, to another node, which is so many records behind this one and has no recent window yet.
    Move(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(|valid| Step::Append { valid }),
        4 => (1..4usize).prop_map(Step::Fold),
        1 => (0..3usize).prop_map(Step::Trim),
        2 => (1..4usize).prop_map(Step::Project),
        4 => Just(Step::Deliver),
        3 => (1..4usize).prop_map(Step::Fill),
        4 => (1..5usize).prop_map(Step::Drain),
        1 => Just(Step::Reconnect),
        1 => (0..4usize).prop_map(Step::Move),
    ];
    proptest::collection::vec(step, 1..200)
}

const OUTBOX_LEN_MAX: usize = 3;

/// The world around one subscription. A record at index i has the position i + 1.
struct World {
    log: Vec<bool>,
    folded: usize,
    projected: usize,
    recent: VecDeque<Position>,
    recent_since: Position,
    queue: VecDeque<Vec<Position>>,
    subscription: Switchover,
    outbox: VecDeque<Position>,
    /// What the client has: every valid event after 0, if all is well.
    client: Vec<Position>,
    /// Planted defects, to see that the model notices.
    skip_at_resume: bool,
    double_at_switch: bool,
}

impl World {
    fn new() -> Self {
        Self {
            log: Vec::new(),
            folded: 0,
            projected: 0,
            recent: VecDeque::new(),
            recent_since: Position::START,
            queue: VecDeque::new(),
            subscription: Switchover::resuming(Position::START),
            outbox: VecDeque::new(),
            client: Vec::new(),
            skip_at_resume: false,
            double_at_switch: false,
        }
    }

    fn valid_in(&self, range: std::ops::Range<usize>) -> Vec<Position> {
        range.filter(|at| self.log[*at]).map(|at| Position::new(at as u64 + 1)).collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { valid } => self.log.push(valid),
            Step::Fold(n) => {
                let to = (self.folded + n).min(self.log.len());
                let events = self.valid_in(self.folded..to);
                self.folded = to;
                self.recent.extend(&events);
                self.queue.push_back(events);
            }
            Step::Trim(keep) => {
                while self.recent.len() > keep {
                    self.recent_since = self.recent.pop_front().unwrap();
                }
            }
            // The history may run ahead of this node, but not of the log.
            Step::Project(n) => self.projected = (self.projected + n).min(self.log.len()),
            Step::Deliver => self.deliver(),
            Step::Fill(limit) => self.fill(limit),
            Step::Drain(n) => {
                for _ in 0..n.min(self.outbox.len()) {
                    self.client.extend(self.outbox.pop_front());
                }
            }
            Step::Move(lag) => {
                self.folded = self.folded.saturating_sub(lag);
                self.recent.clear();
                self.recent_since = Position::new(self.folded as u64);
                self.queue.clear();
                self.step(&Step::Reconnect);
            }
            Step::Reconnect => {
                self.outbox.clear();
                let known = self.client.last().copied().unwrap_or(Position::START);
                let known = if self.skip_at_resume { Position::new(known.get() + 1) } else { known };
                self.subscription = Switchover::resuming(known);
            }
        }
    }

    fn deliver(&mut self) {
        let Some(events) = self.queue.pop_front() else { return };
        let (before, live) = (self.subscription.sent(), self.subscription.is_live());
        let offer = match self.subscription.offer(&events) {
            _ if self.double_at_switch && live => Offer::Send { skip: 0 },
            offer => offer,
        };
        if let Offer::Send { skip } = offer {
            let mut sent = before;
            for event in &events[skip..] {
                if self.outbox.len() == OUTBOX_LEN_MAX {
                    self.subscription.fell_behind(sent);
                    return;
                }
                self.outbox.push_back(*event);
                sent = *event;
            }
        }
    }

    fn fill(&mut self, limit: usize) {
        let room = OUTBOX_LEN_MAX - self.outbox.len();
        if self.subscription.is_live() || room == 0 {
            return;
        }
        let limit = limit.min(room);
        let view = View { recent_since: self.recent_since, history: Position::new(self.projected as u64) };
        let (mut page, end) = match self.subscription.source(view) {
            Source::Recent { after } => {
                (self.recent.iter().copied().filter(|p| *p > after).collect::<Vec<_>>(), None)
            }
            Source::History { after, up_to } => {
                assert!(index(up_to) <= self.projected, "the history does not reach that far");
                (self.valid_in(index(after)..index(up_to)), Some(up_to))
            }
            Source::Log { after, up_to } => (self.valid_in(index(after)..index(up_to)), Some(up_to)),
        };
        let complete = page.len() <= limit;
        page.truncate(limit);
        let last = page.last().copied();
        self.outbox.extend(page);
        self.subscription.filled(match (complete, end, last) {
            (true, None, last) => Filled::All(last),
            (true, Some(end), _) => Filled::UpTo(end),
            (false, _, last) => Filled::UpTo(last.unwrap()),
        });
    }

    /// Lets everything come to rest, then compares.
    fn settle(&mut self) {
        for _ in 0..10 * self.log.len() + 20 {
            self.step(&Step::Fold(3));
            self.step(&Step::Deliver);
            self.step(&Step::Fill(2));
            self.step(&Step::Drain(2));
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let expected = self.valid_in(0..self.log.len());
        let seen = &self.client;
        prop_assert!(seen.len() <= expected.len(), "doubled: {seen:?} of {expected:?}");
        prop_assert_eq!(seen.as_slice(), &expected[..seen.len()]);
        Ok(())
    }
}

fn run(mut world: World, steps: &[Step]) -> Result<(), TestCaseError> {
    for step in steps {
        world.step(step);
        world.check()?;
    }
    world.settle();
    world.check()?;
    prop_assert_eq!(world.client.len(), world.log.iter().filter(|valid| **valid).count(), "some are missing");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn every_client_sees_every_valid_event_once_in_order(steps in steps()) {
        run(World::new(), &steps)?;
    }
}

/// The place in the model's log of the record after a position.
fn index(position: Position) -> usize {
    usize::try_from(position.get()).unwrap()
}

/// The model must notice what it is there for.
fn is_caught(plant: fn(&mut World)) -> bool {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    runner
        .run(&steps(), |steps| {
            let mut world = World::new();
            plant(&mut world);
            run(world, &steps)
        })
        .is_err()
}

#[test]
fn an_event_skipped_at_a_resume_is_caught() {
    assert!(is_caught(|world| world.skip_at_resume = true));
}

#[test]
fn an_event_doubled_at_the_switch_to_live_is_caught() {
    assert!(is_caught(|world| world.double_at_switch = true));
}

#[test]
fn the_nearest_source_that_covers_is_read() {
    let at = |n| Switchover::resuming(Position::new(n));
    let view = View { recent_since: Position::new(100), history: Position::new(60) };
    assert_eq!(at(100).source(view), Source::Recent { after: Position::new(100) });
    assert_eq!(at(99).source(view), Source::Log { after: Position::new(99), up_to: Position::new(100) });
    assert_eq!(at(60).source(view), Source::Log { after: Position::new(60), up_to: Position::new(100) });
    assert_eq!(at(59).source(view), Source::History { after: Position::new(59), up_to: Position::new(60) });
    let ahead = View { recent_since: Position::new(100), history: Position::new(200) };
    assert_eq!(at(0).source(ahead), Source::History { after: Position::START, up_to: Position::new(100) });
}

#[test]
fn a_client_ahead_of_this_node_is_not_shown_what_it_knows() {
    let mut ahead = Switchover::live(Position::new(10));
    let offers: Vec<_> = (8..=12).map(Position::new).collect();
    assert_eq!(ahead.offer(&offers[..3]), Offer::Pass);
    assert_eq!(ahead.offer(&offers), Offer::Send { skip: 3 });
    assert_eq!(ahead.offer(&offers), Offer::Pass);
}
