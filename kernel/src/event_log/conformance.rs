//! The contract of the port as tests: every adapter runs all of them, through one macro.
//!
//! An adapter implements [`Subject`] and says `kernel::event_log_conformance!(ItsSubject);` in a test module;
//! that expands every case of the suite. Where adapters may differ, the subject says so in a constant; there
//! is no way to leave a case out. No case waits for a fixed time: each waits for what must come, and
//! fails after [`PATIENCE`].

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests, also where they are compiled for another crate"
)]

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Display,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use schemas::{Offset, Partition, Position};
use tokio::time::timeout;

use super::{Delivery, EventReader, Header, NewRecord, Place, Readership, Record, SharedLog};

pub mod appending;
pub mod following;
pub mod grouping;
pub mod reading;
pub mod surviving;

/// With how many partitions a [`Subject`] makes its log.
pub const PARTITIONS: u32 = 4;

/// How long a case waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An adapter under test.
#[async_trait]
pub trait Subject: Sized + Send {
    /// Whether the offsets of a partition rise by one; where a log keeps marks of its own, they skip some.
    const DENSE: bool;

    /// Whether writers are told the time that readers see: of every log that is one. A stand-in for a server may not know.
    const TIMES: bool = true;

    /// Whether the log can be had on this machine. Where it cannot, the subject has said so and why, and no case runs.
    async fn available() -> bool {
        true
    }

    /// A fresh, empty log with [`PARTITIONS`] partitions. It is gone when the subject is dropped.
    async fn fresh() -> Self;

    /// The log.
    fn log(&self) -> SharedLog;

    /// Lets go of the log as a process does that ends, and opens it again as the next process does. The
    /// case has dropped every log and reader that it got before.
    async fn reopen(&mut self);
}

/// Expands every case of the suite as a test, for a type that implements
/// [`Subject`](crate::event_log::conformance::Subject). The crate that uses it needs `tokio` with the features
/// `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! event_log_conformance {
    ($subject:ty) => {
        $crate::event_log_conformance! { $subject;
            appending::offsets_start_at_0_and_rise,
            appending::a_key_goes_to_the_partition_of_its_hash,
            appending::places_come_in_the_order_of_the_batch,
            appending::concurrent_appends_get_distinct_places,
            appending::a_key_keeps_its_order_under_concurrent_appends,
            appending::an_empty_batch_is_refused,
            appending::the_longest_batch_is_taken_and_one_more_refused,
            appending::the_largest_record_is_taken_and_one_byte_more_refused,
            appending::times_do_not_fall,
            appending::a_dropped_append_harms_nobody,
            reading::a_new_log_is_empty,
            reading::what_was_written_comes_back,
            reading::an_appended_record_can_be_read_at_once,
            reading::a_read_keeps_to_its_extent,
            reading::a_limit_is_held_to_what_a_batch_may_have,
            reading::an_unknown_partition_is_an_error,
            following::a_broadcast_reader_is_assigned_every_partition_at_its_tail,
            following::every_broadcast_reader_gets_every_record_in_order,
            following::a_reader_sees_only_what_is_durable,
            following::a_dropped_next_loses_nothing,
            following::a_commit_of_a_broadcast_reader_does_nothing,
            grouping::a_group_starts_at_0_and_goes_on_where_it_committed,
            grouping::uncommitted_work_is_delivered_again,
            grouping::groups_do_not_disturb_each_other,
            grouping::a_backlog_comes_in_bounded_deliveries_with_nothing_left_out,
            grouping::readers_of_a_group_share_its_partitions,
            surviving::records_survive_reopening,
            surviving::offsets_go_on_after_reopening,
            surviving::the_epoch_is_that_of_the_log,
        }
    };
    ($subject:ty; $($module:ident :: $case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if <$subject as $crate::event_log::conformance::Subject>::available().await {
                $crate::event_log::conformance::$module::$case::<$subject>().await;
            }
        }
    )*};
}

/// A record with a key and a value; with no headers.
fn record(key: impl Display, value: impl Into<Bytes>) -> NewRecord {
    let key = key.to_string().parse().expect("a conversation id");
    NewRecord { key, value: value.into(), headers: Vec::new() }
}

/// So many records with keys `c0` to `c9` in turn; the value of each is its number.
fn numbered(count: usize) -> Vec<NewRecord> {
    (0..count).map(|n| record(format_args!("c{}", n % 10), n.to_string())).collect()
}

fn partitions() -> impl Iterator<Item = Partition> {
    (0..PARTITIONS).map(Partition)
}

/// Waits for what must come.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes within the patience of the suite")
}

async fn append(log: &SharedLog, batch: Vec<NewRecord>) -> Vec<Place> {
    soon(log.append(batch)).await.expect("the log takes the batch")
}

async fn tail(log: &SharedLog, partition: Partition) -> Position {
    soon(log.tail(partition)).await.expect("the tail is known")
}

async fn open(log: &SharedLog, readership: Readership) -> Box<dyn EventReader> {
    soon(log.open(readership)).await.expect("the log can be followed")
}

/// Every record of a partition.
async fn all_of(log: &SharedLog, partition: Partition) -> Vec<Record> {
    let tail = tail(log, partition).await;
    let (mut all, mut from) = (Vec::new(), Position::START);
    loop {
        let some = soon(log.read(partition, from, tail, 1_000)).await.expect("the log can be read");
        let Some(last) = some.last() else { return all };
        from = last.offset.position();
        all.extend(some);
    }
}

/// Every record of the log, by partition.
async fn all(log: &SharedLog) -> BTreeMap<Partition, Vec<Record>> {
    let mut all = BTreeMap::new();
    for partition in partitions() {
        all.insert(partition, all_of(log, partition).await);
    }
    all.retain(|_, records| !records.is_empty());
    all
}

/// Where records stand.
fn offsets(places: &[Place]) -> HashSet<(Partition, Offset)> {
    places.iter().map(|place| (place.partition, place.offset)).collect()
}

/// What a reader was given so far.
#[derive(Debug, Default)]
struct Seen {
    assigned: BTreeMap<Partition, Position>,
    records: BTreeMap<Partition, Vec<Record>>,
}

impl Seen {
    /// Takes a delivery, and checks what must hold for each.
    fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Assigned { partition, from } => {
                self.assigned.insert(partition, from);
            }
            Delivery::Revoked { partition } => {
                self.assigned.remove(&partition).expect("only what was assigned is revoked");
            }
            Delivery::Records { partition, records } => {
                assert!((1..=super::BATCH_LEN_MAX).contains(&records.len()), "{} records", records.len());
                let from = self.assigned.get_mut(&partition).expect("only what was assigned is delivered");
                for record in &records {
                    assert!(!from.covers(record.offset), "{} comes twice or late", record.offset);
                    *from = record.offset.position();
                }
                self.records.entry(partition).or_default().extend(records);
            }
        }
    }

    fn count(&self) -> usize {
        self.records.values().map(Vec::len).sum()
    }

    fn offsets(&self) -> HashSet<(Partition, Offset)> {
        let of = |(partition, records): (&Partition, &Vec<Record>)| {
            let partition = *partition;
            records.iter().map(move |record| (partition, record.offset)).collect::<Vec<_>>()
        };
        self.records.iter().flat_map(of).collect()
    }

    /// Reads on until so many records were seen in all.
    async fn read_until(&mut self, reader: &mut dyn EventReader, count: usize) {
        while self.count() < count {
            self.take(soon(reader.next()).await.expect("the log can be followed"));
        }
    }

    /// Reads on until every partition is ours.
    async fn assigned_all(&mut self, reader: &mut dyn EventReader) {
        while self.assigned.len() < PARTITIONS as usize {
            self.take(soon(reader.next()).await.expect("the log can be followed"));
        }
    }
}

/// A header.
fn header(name: &str, value: impl Into<Bytes>) -> Header {
    Header { name: name.to_owned(), value: value.into() }
}
