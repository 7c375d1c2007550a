//! When messages are due: at a steady rate, whatever the server does.
//!
//! Invariant: message `i` is due at `start + i * interval`. A latency that counts from there charges a server that falls behind for the
//! messages that had to wait. (An async timer would not do to keep it: it is late by up to a millisecond.)

use std::{
    thread,
    time::{Duration, Instant},
};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// When the first message is due.
    pub start: Instant,
    /// Between two messages.
    pub interval: Duration,
}

impl Schedule {
    /// When message `number` is due.
    pub fn due_at(&self, number: u64) -> Instant {
        self.start + self.after_start(number)
    }

    /// The same, counted from the start.
    pub fn after_start(&self, number: u64) -> Duration {
        let nanos = self.interval.as_nanos().saturating_mul(u128::from(number));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How late it is for message `number`; zero before it is due.
    pub fn lateness(&self, number: u64) -> Duration {
        self.start.elapsed().saturating_sub(self.after_start(number))
    }

    /// How long it is until message `number` is due; zero when it is.
    pub fn due_in(&self, number: u64) -> Duration {
        self.after_start(number).saturating_sub(self.start.elapsed())
    }

    /// Blocks this thread until message `number` is due, or until `over` holds when the thread is unparked.
    pub fn wait(&self, number: u64, mut over: impl FnMut() -> bool) {
        while !over() {
            match self.due_in(number) {
                Duration::ZERO => break,
                left => thread::park_timeout(left),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_a_steady_rate() {
        let schedule = Schedule { start: Instant::now(), interval: Duration::from_micros(250) };
        assert_eq!(schedule.due_at(0), schedule.start);
        assert_eq!(schedule.due_at(4_000), schedule.start + Duration::from_secs(1));
        assert_eq!(schedule.lateness(1_000_000), Duration::ZERO);
        assert!(schedule.due_in(1_000_000) > Duration::from_secs(200));
        assert_eq!(schedule.due_in(0), Duration::ZERO);
    }

    #[test]
    fn a_wait_ends_when_the_message_is_due_or_all_is_over() {
        let schedule = Schedule { start: Instant::now(), interval: Duration::from_millis(1) };
        schedule.wait(5, || false);
        assert!(schedule.start.elapsed() >= Duration::from_millis(5));
        schedule.wait(u64::MAX, || true);
    }
}
