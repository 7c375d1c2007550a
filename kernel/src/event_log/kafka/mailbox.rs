//! Between the thread that polls and the task that follows: deliveries in order, and a thread that can wait for room.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use crate::event_log::{Delivery, ReadError};

/// From how many deliveries on the mailbox is full. The last that is put in may bring a few more with it.
const DELIVERIES_MAX: usize = 16;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    room: Condvar,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Result<Delivery, ReadError>>,
    /// What everybody is told when the queue is empty: nothing more will come.
    end: Option<ReadError>,
    closed: bool,
}

impl Mailbox {
    /// Puts something in, even if it is full: ask [`Self::wait_for_room`] before.
    pub(super) fn put(&self, delivery: Result<Delivery, ReadError>) {
        self.inner.lock().queue.push_back(delivery);
        self.filled.notify_one();
    }

    /// Nothing will be put in any more, for this reason.
    pub(super) fn end(&self, reason: ReadError) {
        self.inner.lock().end = Some(reason);
        self.filled.notify_one();
    }

    /// Takes out what was put in first; waits for it. Dropping the future loses nothing. For one task only.
    pub(super) async fn take(&self) -> Result<Delivery, ReadError> {
        loop {
            let filled = self.filled.notified();
            if let Some(delivery) = self.pop() {
                return delivery;
            }
            filled.await;
        }
    }

    fn pop(&self) -> Option<Result<Delivery, ReadError>> {
        let mut inner = self.inner.lock();
        let delivery = inner.queue.pop_front();
        self.room.notify_one();
        delivery.or_else(|| inner.end.clone().map(Err))
    }

    /// Blocks until there is room, or for so long; says whether there is.
    pub(super) fn wait_for_room(&self, most: Duration) -> bool {
        let deadline = Instant::now() + most;
        let mut inner = self.inner.lock();
        while inner.queue.len() >= DELIVERIES_MAX && !inner.closed {
            if self.room.wait_until(&mut inner, deadline).timed_out() {
                return inner.queue.len() < DELIVERIES_MAX;
            }
        }
        true
    }

    /// Nobody takes anything any more.
    pub(super) fn close(&self) {
        self.inner.lock().closed = true;
        self.room.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use schemas::Partition;

    use super::*;

    fn delivery(number: u32) -> Delivery {
        Delivery::Revoked { partition: Partition(number) }
    }

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_whoever_gives_up_meanwhile() {
        let mailbox = Mailbox::default();
        assert!(mailbox.take().now_or_never().is_none());
        (0..3).for_each(|number| mailbox.put(Ok(delivery(number))));
        for number in 0..3 {
            let taken = mailbox.take().now_or_never().unwrap().unwrap();
            assert_eq!(taken, delivery(number));
        }
        assert!(mailbox.take().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_full_one_has_room_when_something_is_taken_or_nobody_will_take_any_more() {
        let mailbox = Mailbox::default();
        (0..16).for_each(|number| mailbox.put(Ok(delivery(number))));
        assert!(!mailbox.wait_for_room(Duration::ZERO));
        mailbox.take().await.unwrap();
        assert!(mailbox.wait_for_room(Duration::ZERO));
        mailbox.put(Ok(delivery(16)));
        assert!(!mailbox.wait_for_room(Duration::ZERO));
        mailbox.close();
        assert!(mailbox.wait_for_room(Duration::from_mins(1)));
    }
}
