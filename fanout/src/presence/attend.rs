//! The task beside the shards: hears the other nodes, repeats who is here, and forgets who is not heard of any more.
//!
//! A heartbeat is not a burst: each second has its part of the conversations, so that each is repeated every 30 s. A node
//! that has just started asks, and then the parts follow faster, ten times at most.

use std::sync::Arc;

use schemas::{Signal, SignalBody};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{Presence, register::PARTS};

/// One part of the round is repeated in each.
const BEAT: Duration = Duration::from_secs(1);
/// Parts in a beat while somebody has asked.
const ASKED_PARTS: usize = 10;
/// Most signals that are heard between two looks at the clock.
const HEARD_AT_ONCE: usize = 64;

/// Runs until nothing more can be heard.
pub(crate) async fn attend(presence: Arc<Presence>, mut heard: mpsc::Receiver<Arc<Signal>>) {
    presence.ask();
    let mut turns = Turns::default();
    let mut signals = Vec::with_capacity(HEARD_AT_ONCE);
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let look = presence.next_look();
        tokio::select! {
            biased;
            _ = beat.tick() => turns.beat().for_each(|part| presence.repeat(part)),
            () = at(look) => presence.expire(),
            len = heard.recv_many(&mut signals, HEARD_AT_ONCE) => {
                if len == 0 {
                    return;
                }
                for signal in signals.drain(..) {
                    if matches!(signal.body, SignalBody::Asked(_)) {
                        turns.asked();
                    }
                    presence.hear(&signal);
                }
            }
        }
    }
}

async fn at(look: Option<Instant>) {
    match look {
        Some(look) => sleep_until(look).await,
        None => std::future::pending().await,
    }
}

/// Whose turn it is.
#[derive(Debug, Default)]
struct Turns {
    /// The next part.
    next: usize,
    /// Parts that somebody who asked has not heard yet.
    owed: usize,
}

impl Turns {
    fn asked(&mut self) {
        self.owed = PARTS;
    }

    /// The parts of this beat.
    fn beat(&mut self) -> impl Iterator<Item = usize> + use<> {
        let len = self.owed.clamp(1, ASKED_PARTS);
        self.owed = self.owed.saturating_sub(len);
        let first = self.next;
        self.next = (first + len) % PARTS;
        (first..first + len).map(|part| part % PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beats(turns: &mut Turns, len: usize) -> Vec<Vec<usize>> {
        (0..len).map(|_| turns.beat().collect()).collect()
    }

    #[test]
    fn each_part_has_its_turn_once_a_round() {
        let beats = beats(&mut Turns::default(), 2 * PARTS);
        let expected: Vec<_> = (0..2 * PARTS).map(|beat| vec![beat % PARTS]).collect();
        assert_eq!(beats, expected);
    }

    #[test]
    fn who_asks_hears_all_within_three_beats_and_the_rhythm_goes_on() {
        let mut turns = Turns::default();
        beats(&mut turns, 7);
        turns.asked();
        let mut heard = beats(&mut turns, 3).concat();
        heard.sort_unstable();
        assert_eq!(heard, (0..PARTS).collect::<Vec<_>>());
        assert_eq!(beats(&mut turns, 2), [[7], [8]]);
    }

    #[test]
    fn who_asks_in_between_hears_all_from_then_on() {
        let mut turns = Turns::default();
        turns.asked();
        beats(&mut turns, 2);
        turns.asked();
        let mut heard = beats(&mut turns, 3).concat();
        heard.sort_unstable();
        assert_eq!(heard, (0..PARTS).collect::<Vec<_>>());
    }
}
