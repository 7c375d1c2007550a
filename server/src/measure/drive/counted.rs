//! Which messages of a conversation are at all of its sessions.
//!
//! Invariant: messages are counted by their turn, not by what they say: every session gets them in one order, so the n-th
//! delivery to a session is the n-th message.

use std::collections::VecDeque;

use anyhow::Context;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Counted {
    sessions: u32,
    /// Messages that all have.
    done: u64,
    /// For each published message after those: how many sessions have it.
    have: VecDeque<u32>,
}

impl Counted {
    pub(super) fn another_session(&mut self) {
        self.sessions += 1;
    }

    /// Messages that were published.
    pub(super) fn published(&self) -> u64 {
        self.done + self.in_flight()
    }

    /// Messages that some do not have yet.
    pub(super) fn in_flight(&self) -> u64 {
        self.have.len() as u64
    }

    pub(super) fn publish(&mut self) {
        self.have.push_back(0);
    }

    /// A session has message `turn`, counted from 0. Gives how many more messages all have now.
    ///
    /// # Errors
    /// It was never published, or all have it already.
    pub(super) fn delivered(&mut self, turn: u64) -> anyhow::Result<u64> {
        let at = turn.checked_sub(self.done).and_then(|at| usize::try_from(at).ok());
        let have = at.and_then(|at| self.have.get_mut(at));
        *have.context("a session got a message too many")? += 1;
        let before = self.done;
        while self.have.front().is_some_and(|have| *have >= self.sessions) {
            self.have.pop_front();
            self.done += 1;
        }
        Ok(self.done - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_done_when_the_last_session_has_it() {
        let mut counted = Counted::default();
        (0..2).for_each(|_| counted.another_session());
        (0..2).for_each(|_| counted.publish());
        assert_eq!(counted.delivered(0).unwrap(), 0);
        assert_eq!(counted.delivered(1).unwrap(), 0);
        assert_eq!((counted.published(), counted.in_flight()), (2, 2));
        assert_eq!(counted.delivered(0).unwrap(), 1);
        assert_eq!(counted.delivered(1).unwrap(), 1);
        assert_eq!((counted.published(), counted.in_flight()), (2, 0));
    }

    #[test]
    fn what_was_not_published_cannot_be_delivered() {
        let mut counted = Counted::default();
        counted.another_session();
        assert!(counted.delivered(0).is_err());
        counted.publish();
        assert_eq!(counted.delivered(0).unwrap(), 1);
        assert!(counted.delivered(0).is_err());
    }
}
