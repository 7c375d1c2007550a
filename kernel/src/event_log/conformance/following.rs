//! What a reader promises, and a broadcast reader in particular.

use std::{collections::BTreeMap, sync::Arc};

use schemas::{Position, Timestamp};
use tokio::task::yield_now;

use super::{
    PARTITIONS, Seen, Subject, all, append, numbered, offsets, open, partitions, record, soon, tail,
};
use crate::event_log::{Delivery, Readership, Record, SharedLog};

/// Every partition is assigned before its records, from the tail at the time of opening.
pub async fn a_broadcast_reader_is_assigned_every_partition_at_its_tail<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    append(&log, numbered(20)).await;
    let mut reader = open(&log, Readership::Broadcast).await;
    let mut seen = Seen::default();
    seen.assigned_all(&mut *reader).await;
    for partition in partitions() {
        assert_eq!(seen.assigned[&partition], tail(&log, partition).await);
    }
    assert_eq!(seen.count(), 0, "what was there before is not delivered");
}

/// Readers do not take records from each other, and nothing appended after opening is left out.
pub async fn every_broadcast_reader_gets_every_record_in_order<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    append(&log, numbered(20)).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push((open(&log, Readership::Broadcast).await, Seen::default()));
    }
    let appended = append_in_the_background(&log, 40);
    for (reader, seen) in &mut readers {
        seen.read_until(&mut **reader, 400).await;
    }
    let places = soon(appended).await.unwrap();
    for (_, seen) in readers {
        assert_eq!(seen.offsets(), offsets(&places));
        let mut stored = all(&log).await;
        for (partition, records) in &mut stored {
            let first = seen.records.get(partition).map_or(usize::MAX, |seen| records.len() - seen.len());
            records.drain(..first.min(records.len()));
        }
        stored.retain(|_, records| !records.is_empty());
        let seen: BTreeMap<_, Vec<_>> =
            seen.records.into_iter().map(|(partition, records)| (partition, as_told::<S>(records))).collect();
        for records in stored.values_mut() {
            *records = as_told::<S>(std::mem::take(records));
        }
        assert_eq!(seen, stored, "records come as they stand in the log");
    }
}

/// A record that was delivered lies before the tail and can be read.
pub async fn a_reader_sees_only_what_is_durable<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let mut reader = open(&log, Readership::Broadcast).await;
    let appended = append_in_the_background(&log, 40);
    let mut count = 0;
    while count < 400 {
        let Delivery::Records { partition, records } = soon(reader.next()).await.unwrap() else { continue };
        count += records.len();
        let last = records.last().unwrap();
        assert!(tail(&log, partition).await.covers(last.offset));
        let from = Position::new(last.offset.get());
        let read = soon(log.read(partition, from, last.offset.position(), 1)).await.unwrap();
        assert_eq!(as_told::<S>(read), as_told::<S>(vec![last.clone()]));
    }
    soon(appended).await.unwrap();
}

/// `next` may be given up at any point, as a `select!` does, and the next call goes on from there.
pub async fn a_dropped_next_loses_nothing<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let mut reader = open(&log, Readership::Broadcast).await;
    let mut seen = Seen::default();
    let appended = append_in_the_background(&log, 40);
    for attempt in 0_u32.. {
        if seen.count() == 400 {
            break;
        }
        // Given up after so many steps; now and then not at all, so that it does end.
        let patience = attempt % 32;
        let give_up = async {
            for _ in 0..patience {
                yield_now().await;
            }
            if patience == 31 {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            delivery = soon(reader.next()) => seen.take(delivery.unwrap()),
            () = give_up => {}
        }
    }
    assert_eq!(seen.offsets(), offsets(&soon(appended).await.unwrap()));
}

/// It is no error either.
pub async fn a_commit_of_a_broadcast_reader_does_nothing<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let mut reader = open(&log, Readership::Broadcast).await;
    let mut seen = Seen::default();
    seen.assigned_all(&mut *reader).await;
    for partition in partitions() {
        soon(reader.commit(partition, Position::START)).await.unwrap();
    }
    let places = append(&log, vec![record("tea", "x"); 3]).await;
    seen.read_until(&mut *reader, 3).await;
    assert_eq!(seen.offsets(), offsets(&places));
    assert_eq!(seen.assigned.len(), PARTITIONS as usize);
}

/// Without their times where writers are not told the right ones: a reader may have a record from its writer.
fn as_told<S: Subject>(mut records: Vec<Record>) -> Vec<Record> {
    for record in records.iter_mut().filter(|_| !S::TIMES) {
        record.recorded_at = Timestamp::default();
    }
    records
}

/// Appends ten records so many times, from another task.
fn append_in_the_background(
    log: &SharedLog,
    times: usize,
) -> tokio::task::JoinHandle<Vec<crate::event_log::Place>> {
    let log = Arc::clone(log);
    tokio::spawn(async move {
        let mut places = Vec::new();
        for _ in 0..times {
            places.extend(append(&log, numbered(10)).await);
        }
        places
    })
}
