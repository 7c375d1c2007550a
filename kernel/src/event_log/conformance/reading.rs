//! What a read promises.

use schemas::{Partition, Position, caps::CONVERSATION_ID_LEN_MAX};

use super::{Subject, append, header, numbered, partitions, record, soon, tail};
use crate::event_log::{BATCH_LEN_MAX, NewRecord, ReadError, partition_of};

const EVERYTHING: Position = Position::new(u64::MAX);

/// Tails at the start, and nothing to read.
pub async fn a_new_log_is_empty<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    for partition in partitions() {
        assert_eq!(tail(&log, partition).await, Position::START);
        assert_eq!(soon(log.read(partition, Position::START, EVERYTHING, 10)).await.unwrap(), []);
    }
}

/// Key, value and headers come back byte for byte, headers in their order.
pub async fn what_was_written_comes_back<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let every_byte: Vec<u8> = (0..=255).collect();
    let written = [
        record("tea", every_byte.clone()),
        record("k".repeat(CONVERSATION_ID_LEN_MAX), "\0"),
        NewRecord {
            headers: vec![
                header("event-type", "MessagePosted"),
                header("empty", ""),
                header("bytes", every_byte),
                header("event-type", "twice"),
            ],
            ..record("tea", "with headers")
        },
    ];
    let places = append(&log, written.to_vec()).await;
    for (written, place) in written.iter().zip(places) {
        let from = Position::new(place.offset.get());
        let read = soon(log.read(place.partition, from, place.offset.position(), 10)).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].offset, place.offset);
        assert_eq!(read[0].key_str(), Some(written.key.as_str()));
        assert_eq!((&read[0].value, &*read[0].headers), (&written.value, &*written.headers));
    }
}

/// Whoever was told the place finds the record there, and the tail behind it.
pub async fn an_appended_record_can_be_read_at_once<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    for number in 0..50 {
        let place = append(&log, vec![record("tea", number.to_string())]).await[0];
        assert!(tail(&log, place.partition).await.covers(place.offset));
        let from = Position::new(place.offset.get());
        let read = soon(log.read(place.partition, from, EVERYTHING, 10)).await.unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].value, number.to_string());
    }
}

/// From where, up to where, and how many.
pub async fn a_read_keeps_to_its_extent<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let places = append(&log, vec![record("tea", "x"); 10]).await;
    let partition = places[0].partition;
    // Positions before the record of this number, and behind the last.
    let at = |n: usize| places.get(n).map_or(places[9].offset.position(), |p| Position::new(p.offset.get()));
    for (from, up_to, limit, expected) in [
        (at(0), EVERYTHING, 100, 0..10),
        (at(0), EVERYTHING, 3, 0..3),
        (at(4), EVERYTHING, 3, 4..7),
        (at(4), at(6), 100, 4..6),
        (at(4), at(5), 1, 4..5),
        (at(4), at(4), 100, 0..0),
        (at(6), at(4), 100, 0..0),
        (at(9), EVERYTHING, 100, 9..10),
        (at(10), EVERYTHING, 100, 0..0),
        (Position::new(1_000_000), EVERYTHING, 100, 0..0),
    ] {
        let read = soon(log.read(partition, from, up_to, limit)).await.unwrap();
        let read: Vec<_> = read.iter().map(|record| record.offset).collect();
        let expected: Vec<_> = places[expected].iter().map(|place| place.offset).collect();
        assert_eq!(read, expected, "from {from} up to {up_to}, at most {limit}");
    }
}

/// No limit is too small to go on, and none so large that it breaks the bound.
pub async fn a_limit_is_held_to_what_a_batch_may_have<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let batch = || vec![record("tea", "x"); BATCH_LEN_MAX];
    append(&log, batch()).await;
    append(&log, batch()).await;
    let partition = partition_of(&"tea".parse().unwrap(), super::PARTITIONS);
    for (limit, expected) in [
        (0, 1),
        (1, 1),
        (BATCH_LEN_MAX, BATCH_LEN_MAX),
        (BATCH_LEN_MAX + 1, BATCH_LEN_MAX),
        (usize::MAX, BATCH_LEN_MAX),
    ] {
        let read = soon(log.read(partition, Position::START, EVERYTHING, limit)).await.unwrap();
        assert_eq!(read.len(), expected, "limit {limit}");
    }
}

/// The last partition is there, the one after it is not.
pub async fn an_unknown_partition_is_an_error<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    append(&log, numbered(10)).await;
    assert!(log.tail(Partition(super::PARTITIONS - 1)).await.is_ok());
    for unknown in [super::PARTITIONS, u32::MAX].map(Partition) {
        let missing =
            |error: ReadError| matches!(error, ReadError::NoPartition { partition } if partition == unknown);
        assert!(missing(soon(log.tail(unknown)).await.unwrap_err()));
        assert!(missing(soon(log.read(unknown, Position::START, EVERYTHING, 1)).await.unwrap_err()));
    }
}
