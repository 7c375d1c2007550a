//! Somebody else writes to the topic in transactions, which leave positions without records.
//!
//! Readers do not wait for transactions of others: what was acknowledged to us is visible at once, and so a record of a
//! transaction is read whether it was committed or not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use kernel::{
    event_log::{Readership, kafka::testing::OnBroker},
    history::memory::MemoryHistory,
    mirror::Mirror,
    random,
};
use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
};
use schemas::{Partition, Position};
use tokio::task::spawn_blocking;

use crate::{
    brokers,
    drawn::{Brought, KEY, append, open, soon, value},
};

const WAIT: Duration = Duration::from_secs(30);

/// A producer that uses transactions.
#[derive(Clone)]
struct Stranger {
    producer: Arc<BaseProducer>,
    topic: String,
    partition: Partition,
}

/// How a transaction ends.
#[derive(Clone, Copy)]
enum End {
    Committed,
    Aborted,
    NotYet,
}

impl Stranger {
    async fn new(subject: &OnBroker, partition: Partition) -> Self {
        let producer: BaseProducer = ClientConfig::new()
            .set("bootstrap.servers", subject.settings().brokers())
            .set("transactional.id", random::name(10))
            .create()
            .unwrap();
        let producer = Arc::new(producer);
        let initiated = Arc::clone(&producer);
        spawn_blocking(move || initiated.init_transactions(WAIT)).await.unwrap().unwrap();
        Self { producer, topic: subject.settings().events_topic(), partition }
    }

    async fn write(&self, value: &'static str, end: End) {
        let stranger = self.clone();
        let written = spawn_blocking(move || {
            let Self { producer, topic, partition } = stranger;
            producer.begin_transaction().unwrap();
            let record = BaseRecord::to(&topic).partition(partition.0.cast_signed()).key(KEY).payload(value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.flush(WAIT).unwrap();
            match end {
                End::Committed => producer.commit_transaction(WAIT).unwrap(),
                End::Aborted => producer.abort_transaction(WAIT).unwrap(),
                End::NotYet => {}
            }
        });
        written.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn positions_without_records_keep_nobody_waiting() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = subject.log();
    let mut follower = open(&log, Readership::Broadcast).await;
    let mirror = soon(Mirror::start(Arc::clone(&log), Arc::new(MemoryHistory::new()))).await.unwrap();
    let partition = append(&log, "a").await.partition;
    let stranger = Stranger::new(&subject, partition).await;
    stranger.write("b", End::Committed).await;
    stranger.write("c", End::Aborted).await;
    append(&log, "d").await;
    stranger.write("e", End::Committed).await;

    // The last position is the mark of the last transaction, which comes a little after the transaction's end.
    let tail = Position::new(8);
    let marked = async { while log.tail(partition).await.unwrap() < tail {} };
    soon(marked).await;
    assert_eq!(soon(log.tail(partition)).await.unwrap(), tail);
    let all = ["a", "b", "c", "d", "e"];
    let read = soon(log.read(partition, Position::START, tail, 100)).await.unwrap();
    assert_eq!(read.iter().map(value).collect::<Vec<_>>(), all);
    // From and up to positions without records.
    let none = soon(log.read(partition, Position::new(2), Position::new(3), 100)).await.unwrap();
    assert!(none.is_empty(), "{none:?}");
    assert!(soon(log.read(partition, Position::new(7), tail, 100)).await.unwrap().is_empty());

    let mut group = open(&log, Readership::Group("store")).await;
    for reader in [&mut follower, &mut group] {
        let mut brought = Brought::default();
        let level = |brought: &Brought| brought.begun.last() == Some(&tail);
        brought.until(&mut **reader, partition, level).await;
        assert_eq!(brought.values, all);
    }
    let deadline = tokio::time::Instant::from_std(Instant::now() + WAIT);
    mirror.reach(partition, tail, deadline).await.unwrap();
    // They go on from there.
    append(&log, "f").await;
    for reader in [&mut follower, &mut group] {
        let mut brought = Brought::default();
        brought.until(&mut **reader, partition, |brought| !brought.values.is_empty()).await;
        assert_eq!(brought.values, ["f"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_transaction_of_somebody_else_hides_nothing_of_ours() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = subject.log();
    let mut follower = open(&log, Readership::Broadcast).await;
    let partition = append(&log, "a").await.partition;
    Stranger::new(&subject, partition).await.write("open", End::NotYet).await;
    let place = append(&log, "b").await;
    assert!(soon(log.tail(partition)).await.unwrap().covers(place.offset));
    let mut brought = Brought::default();
    brought.until(&mut *follower, partition, |brought| brought.values.len() == 3).await;
    assert_eq!(brought.values, ["a", "open", "b"]);
}
