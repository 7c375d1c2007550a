//! Between those who bring records and the task that follows: deliveries in order, and a thread that can wait for room.
//!
//! ```text
//!   whoever fetches ──► every record, in order ─────────────────┐
//!                                                               ├─► end of each partition ──► queue ──► pop()
//!   writer's reports ──► own records, if they come next there ──┘
//! ```
//!
//! Invariant: records of a partition come out in order, each once, none left out: one that is before the end is passed over, and one
//! beyond it is taken from who fetches alone, who knows that nothing lies between.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use schemas::{Partition, Position};
use tokio::sync::{Notify, futures::Notified};

use super::{
    alone::{Count, Tally},
    record,
};
use crate::event_log::{BATCH_LEN_MAX, Delivery, ReadError, Record};

/// From how many deliveries on the mailbox is full. The last that is put in may bring more with it, one for each partition.
const DELIVERIES_MAX: usize = 16;
/// Most bytes of own records that go out together, unless the first of them is larger.
const OWN_SIZE_MAX: usize = 1_024 * 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Mailbox {
    inner: Mutex<Inner>,
    room: Condvar,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Queued>,
    /// Where each partition that was announced goes on, behind what is in the queue.
    ends: BTreeMap<Partition, Position>,
    tally: Tally,
    /// What everybody is told when the queue is empty: nothing more will come.
    end: Option<ReadError>,
    closed: bool,
}

#[derive(Debug)]
struct Queued {
    what: Result<Delivery, ReadError>,
    /// How many bytes of own records may still be put to it; 0 for what was fetched.
    room: usize,
}

impl Mailbox {
    /// Puts something in, even if it is full: ask [`Self::has_room`] or [`Self::wait_for_room`] before. Records that came already are passed over.
    pub(super) fn put(&self, delivery: Result<Delivery, ReadError>) {
        if self.inner.lock().put(delivery) {
            self.filled.notify_one();
        }
    }

    /// Puts in a record that was just acknowledged, if it is known to be the next of its partition and there is room. If not, it
    /// will be fetched.
    pub(super) fn put_own(&self, partition: Partition, record: &Record) {
        if self.inner.lock().put_own(partition, record) {
            self.filled.notify_one();
        }
    }

    /// Nothing will be put in any more, for this reason, or the one that was given before.
    pub(super) fn end(&self, reason: ReadError) {
        self.inner.lock().end.get_or_insert(reason);
        self.filled.notify_one();
    }

    /// Resolves when something was put in since this was called. For one task only.
    pub(super) fn filled(&self) -> Notified<'_> {
        self.filled.notified()
    }

    /// Takes out what was put in first.
    pub(super) fn pop(&self) -> Option<Result<Delivery, ReadError>> {
        let mut inner = self.inner.lock();
        let queued = inner.queue.pop_front();
        self.room.notify_one();
        queued.map(|queued| queued.what).or_else(|| inner.end.clone().map(Err))
    }

    /// Whether something may be put in.
    pub(super) fn has_room(&self) -> bool {
        self.inner.lock().has_room()
    }

    /// Blocks until there is room, or for so long; says whether there is.
    pub(super) fn wait_for_room(&self, most: Duration) -> bool {
        let deadline = Instant::now() + most;
        let mut inner = self.inner.lock();
        while !inner.has_room() && !inner.closed {
            if self.room.wait_until(&mut inner, deadline).timed_out() {
                return inner.has_room();
            }
        }
        true
    }

    /// How many deliveries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.inner.lock().queue.len()
    }

    /// What came between the two looks before this one.
    pub(super) fn look(&self) -> Count {
        let Inner { tally, ends, .. } = &mut *self.inner.lock();
        tally.look(ends)
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

impl Inner {
    fn has_room(&self) -> bool {
        self.queue.len() < DELIVERIES_MAX
    }

    /// Says whether there is something new.
    fn put(&mut self, mut delivery: Result<Delivery, ReadError>) -> bool {
        match &mut delivery {
            Ok(Delivery::Assigned { partition, from }) => {
                let end = self.ends.entry(*partition).or_insert(*from);
                *end = (*end).max(*from);
            }
            Ok(Delivery::Revoked { partition }) => drop(self.ends.remove(partition)),
            Ok(Delivery::Records { partition, records }) => {
                let end = self.ends.entry(*partition).or_default();
                records.retain(|record| !end.covers(record.offset));
                let Some(last) = records.last() else { return false };
                *end = last.offset.position();
                self.tally.fetched(records.len());
            }
            Err(_) => {}
        }
        self.queue.push_back(Queued { what: delivery, room: 0 });
        true
    }

    fn put_own(&mut self, partition: Partition, record: &Record) -> bool {
        let taken = self.take_own(partition, record);
        if taken {
            self.tally.own();
        } else {
            self.tally.claim(partition, record.offset);
        }
        taken
    }

    fn take_own(&mut self, partition: Partition, record: &Record) -> bool {
        let (size, full) = (record::size(record), !self.has_room());
        let Some(end) = self.ends.get_mut(&partition).filter(|end| end.next() == record.offset) else {
            return false;
        };
        let mut of_partition = self.queue.iter_mut().rev().filter_map(|queued| match &mut queued.what {
            Ok(Delivery::Records { partition: of, records }) if *of == partition => {
                Some((records, &mut queued.room))
            }
            _ => None,
        });
        match of_partition.next() {
            Some((records, room)) if size <= *room && records.len() < BATCH_LEN_MAX => {
                records.push(record.clone());
                *room -= size;
            }
            _ if full => return false,
            _ => {
                let what = Ok(Delivery::Records { partition, records: vec![record.clone()] });
                self.queue.push_back(Queued { what, room: OWN_SIZE_MAX.saturating_sub(size) });
            }
        }
        *end = record.offset.position();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use bytes::Bytes;
    use futures_util::FutureExt;
    use schemas::{Offset, Timestamp};

    use super::*;

    fn delivery(number: u32) -> Delivery {
        Delivery::Revoked { partition: Partition(number) }
    }

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_and_who_waits_is_told() {
        let mailbox = Mailbox::default();
        let filled = mailbox.filled();
        assert!(mailbox.pop().is_none());
        (0..3).for_each(|number| mailbox.put(Ok(delivery(number))));
        filled.now_or_never().unwrap();
        for number in 0..3 {
            assert_eq!(mailbox.pop().unwrap().unwrap(), delivery(number));
        }
        assert!(mailbox.pop().is_none());
    }

    #[test]
    fn a_full_one_has_room_when_something_is_taken_or_nobody_will_take_any_more() {
        let mailbox = Mailbox::default();
        (0..15).for_each(|number| mailbox.put(Ok(delivery(number))));
        assert!(mailbox.has_room() && mailbox.wait_for_room(Duration::ZERO));
        mailbox.put(Ok(delivery(15)));
        assert!(!mailbox.has_room() && !mailbox.wait_for_room(Duration::ZERO));
        mailbox.pop().unwrap().unwrap();
        assert!(mailbox.wait_for_room(Duration::ZERO));
        mailbox.put(Ok(delivery(16)));
        assert!(!mailbox.wait_for_room(Duration::ZERO));
        mailbox.close();
        assert!(mailbox.wait_for_room(Duration::from_mins(1)));
    }

    const P0: Partition = Partition(0);
    const P1: Partition = Partition(1);

    fn record(offset: u64, len: usize) -> Record {
        Record {
            offset: Offset::new(offset),
            recorded_at: Timestamp::from_millis(0),
            key: Bytes::new(),
            value: vec![0; len].into(),
            headers: [].into(),
        }
    }

    /// A mailbox whose partitions begin at 0 and 5.
    fn begun() -> Mailbox {
        let mailbox = Mailbox::default();
        for (partition, from) in [(P0, 0), (P1, 5)] {
            mailbox.put(Ok(Delivery::Assigned { partition, from: Position::new(from) }));
            mailbox.pop().unwrap().unwrap();
        }
        mailbox
    }

    fn fetched(mailbox: &Mailbox, partition: Partition, offsets: Range<u64>) {
        let records = offsets.map(|offset| record(offset, 1)).collect();
        mailbox.put(Ok(Delivery::Records { partition, records }));
    }

    /// What is there: of each delivery the partition and the offsets.
    fn all(mailbox: &Mailbox) -> Vec<(u32, Vec<u64>)> {
        let deliveries = std::iter::from_fn(|| mailbox.pop());
        let offsets = deliveries.map(|delivery| match delivery.unwrap() {
            Delivery::Records { partition, records } => {
                (partition.0, records.iter().map(|record| record.offset.get()).collect())
            }
            other => panic!("{other:?}"),
        });
        offsets.collect()
    }

    #[test]
    fn own_records_come_out_at_once_and_not_again_when_they_are_fetched() {
        let mailbox = begun();
        let filled = mailbox.filled();
        mailbox.put_own(P0, &record(0, 1));
        filled.now_or_never().unwrap();
        mailbox.put_own(P1, &record(5, 1));
        mailbox.put_own(P0, &record(1, 1));
        fetched(&mailbox, P0, 0..3);
        fetched(&mailbox, P1, 5..6);
        assert_eq!(all(&mailbox), [(0, vec![0, 1]), (1, vec![5]), (0, vec![2])]);
    }

    #[test]
    fn an_own_record_behind_a_gap_is_left_to_who_knows_what_lies_in_it() {
        let mailbox = begun();
        mailbox.put_own(P0, &record(1, 1));
        assert!(all(&mailbox).is_empty());
        fetched(&mailbox, P0, 0..2);
        mailbox.put_own(P0, &record(2, 1));
        mailbox.put_own(P0, &record(2, 1));
        assert_eq!(all(&mailbox), [(0, vec![0, 1]), (0, vec![2])]);
        mailbox.put_own(Partition(2), &record(0, 1));
        assert!(all(&mailbox).is_empty(), "of a partition that was not announced");
    }

    #[test]
    fn whose_records_came_is_known_whatever_came_first() {
        let mailbox = begun();
        mailbox.put_own(P0, &record(0, 1));
        fetched(&mailbox, P0, 0..3);
        mailbox.put_own(P0, &record(1, 1));
        // Behind a gap: it is ours, and will be fetched.
        mailbox.put_own(P1, &record(6, 1));
        mailbox.look();
        assert_eq!(mailbox.look(), Count { own: 1, fetched: 2, claimed: 2 });
    }

    #[test]
    fn own_records_are_bounded_in_number_and_in_bytes() {
        let mailbox = begun();
        (0..=BATCH_LEN_MAX as u64).for_each(|offset| mailbox.put_own(P0, &record(offset, 1)));
        let lens: Vec<_> = all(&mailbox).iter().map(|(_, offsets)| offsets.len()).collect();
        assert_eq!(lens, [BATCH_LEN_MAX, 1]);

        let mailbox = begun();
        for (offset, len) in [OWN_SIZE_MAX - 1, 1, 1, OWN_SIZE_MAX + 1].into_iter().enumerate() {
            mailbox.put_own(P0, &record(offset as u64, len));
        }
        assert_eq!(all(&mailbox), [(0, vec![0, 1]), (0, vec![2]), (0, vec![3])]);

        // As many deliveries as there is room for, and not one more.
        let mailbox = begun();
        (0..17).for_each(|offset| mailbox.put_own(P0, &record(offset, OWN_SIZE_MAX)));
        assert_eq!(all(&mailbox).len(), DELIVERIES_MAX);
        mailbox.put_own(P0, &record(17, 1));
        assert!(all(&mailbox).is_empty(), "16 was left out");
        fetched(&mailbox, P0, 0..18);
        assert_eq!(all(&mailbox), [(0, vec![16, 17])]);
    }

    #[test]
    fn where_a_partition_begins_anew_nothing_comes_again() {
        let mailbox = begun();
        mailbox.put_own(P0, &record(0, 1));
        mailbox.put(Ok(Delivery::Assigned { partition: P0, from: Position::START }));
        fetched(&mailbox, P0, 0..1);
        mailbox.put(Ok(Delivery::Revoked { partition: P0 }));
        mailbox.put(Ok(Delivery::Assigned { partition: P0, from: Position::START }));
        fetched(&mailbox, P0, 0..1);
        let deliveries: Vec<_> = std::iter::from_fn(|| mailbox.pop()).map(Result::unwrap).collect();
        let records = |delivery: &&Delivery| matches!(delivery, Delivery::Records { .. });
        // Before, and after it came back from another reader.
        assert_eq!(deliveries.iter().filter(records).count(), 2);
    }
}
