//! The sessions of a shard, on a wheel: each has its second of the ping interval, so that the work is even.

use std::{
    rc::{Rc, Weak},
    time::Duration,
};

use kernel::identity::Identity;
use schemas::Timestamp;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};

use super::{PING_INTERVAL_S, Shard};
use crate::{
    connection,
    protocol::{Disconnect, Unsubscribe},
    session::{Session, Standing},
};

#[cfg(test)]
mod tests;

/// How long the answer to a ping may take, in seconds.
const PONG_WAIT_S: usize = 8;
/// How long a connection may stay without `connect`, in milliseconds.
const STALE_AFTER_MS: i64 = 25_000;
/// How long past its end a token may be refreshed, in milliseconds.
const EXPIRED_GRACE_MS: i64 = 25_000;
/// Beats between two sums of what waits in the outboxes.
const OUTBOX_BEATS: usize = 5;
/// One for each second of the ping interval.
pub(super) const SLOTS: usize = PING_INTERVAL_S as usize;

impl Shard {
    /// A session begins.
    pub(crate) fn admit(&self, session: &Rc<Session>) {
        let slot = self.next_slot.get();
        // Spread over the interval, whatever rhythm they come in.
        self.next_slot.set((slot + 7) % SLOTS);
        if let Some(sessions) = self.wheel.borrow_mut().get_mut(slot) {
            sessions.push(Rc::downgrade(session));
        }
        self.sessions_len.set(self.sessions_len.get() + 1);
        self.meters.sessions.increment(1);
        if self.draining.get() {
            session.end(Disconnect::SHUTDOWN);
        }
    }

    /// A session is over.
    pub(crate) fn dismiss(&self, session: &Rc<Session>) {
        self.unsubscribe_all(session);
        self.sessions_len.set(self.sessions_len.get() - 1);
        self.meters.ended(session);
    }

    /// Once a second: pings those whose turn it is, and ends those that did not answer, did not connect, or whose token ended. Of
    /// those that stay, the subscriptions end whose own token did.
    pub(super) fn beat(&self) {
        let now = self.around.clock.now();
        let turn = self.beats.get() % SLOTS;
        self.beats.set(self.beats.get() + 1);
        if self.beats.get().is_multiple_of(OUTBOX_BEATS) {
            let waiting = self
                .wheel
                .borrow()
                .iter()
                .flatten()
                .filter_map(Weak::upgrade)
                .map(|session| session.waiting_len())
                .sum();
            self.meters.outbox(waiting);
        }
        let due = (turn + SLOTS - PONG_WAIT_S) % SLOTS;
        self.each_in_slot(due, |session| {
            if session.owes_pong() {
                session.end(Disconnect::NO_PONG);
            }
        });
        self.each_in_slot(turn, |session| match session.standing() {
            Standing::Connected(Identity { expires_at, .. }) => {
                let overdue = Timestamp::from_millis(now.as_millis() - EXPIRED_GRACE_MS);
                if expires_at.is_some_and(|end| end < overdue) {
                    session.end(Disconnect::EXPIRED);
                    return;
                }
                for subscription in session.over_before(overdue) {
                    self.end_subscription(&subscription, Unsubscribe::EXPIRED);
                }
                session.ping();
            }
            Standing::New | Standing::Rejected => {
                if now.as_millis() - session.born().as_millis() > STALE_AFTER_MS {
                    session.end(Disconnect::STALE);
                }
            }
        });
    }

    fn each_in_slot(&self, slot: usize, each: impl Fn(&Session)) {
        let mut wheel = self.wheel.borrow_mut();
        let Some(sessions) = wheel.get_mut(slot) else { return };
        sessions.retain(|session| match session.upgrade() {
            Some(session) => {
                each(&session);
                true
            }
            None => false,
        });
    }

    /// Closes all sessions, one after another over the window, so that they do not all come back at once.
    pub(super) async fn drain(self: Rc<Self>, window: Duration, done: oneshot::Sender<()>) {
        self.draining.set(true);
        let sessions: Vec<_> = self.wheel.borrow().iter().flatten().filter_map(Weak::upgrade).collect();
        let begun = Instant::now();
        let len = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        for (turn, session) in (0u32..).zip(sessions) {
            let due = window.mul_f64(f64::from(turn) / f64::from(len));
            if let Some(pause) = due.checked_sub(begun.elapsed()) {
                sleep(pause).await;
            }
            session.end(Disconnect::SHUTDOWN);
        }
        while self.sessions_len.get() > 0 && begun.elapsed() < window + connection::FAREWELL_WAIT {
            sleep(Duration::from_millis(10)).await;
        }
        // Who asked may have given up waiting.
        let _ = done.send(());
    }
}
