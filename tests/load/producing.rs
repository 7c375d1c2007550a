//! The floor of posting: librdkafka's own producer, with as many records in flight as it takes, or as many as there are clients that
//! wait for an answer.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use rdkafka::{
    ClientConfig, ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};

use crate::message::Record;

/// What librdkafka may hold back, in records; it takes at most ten million.
const QUEUE_LEN_MAX: u32 = 1_000_000;
/// How long what is in flight may take at the end.
const FLUSH_MAX: Duration = Duration::from_secs(30);
/// How long one wait for an acknowledgement lasts before the sender looks again.
const PARK_MAX: Duration = Duration::from_millis(100);

/// How a producer is set, and how hard it is driven.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drive {
    pub(crate) linger_ms: u32,
    /// Records that are sent and not yet acknowledged.
    pub(crate) in_flight: u64,
}

/// Counts what was acknowledged, and wakes the sender.
#[derive(Debug)]
pub(crate) struct Acknowledged {
    landed: AtomicU64,
    failed: AtomicU64,
    sender: Thread,
}

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.landed.fetch_add(1, Ordering::AcqRel);
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::AcqRel);
        }
        self.sender.unpark();
    }
}

/// A producer whose acknowledgements wake the calling thread. Durable means the same as for `tidings`: all replicas, in order, once.
pub(crate) fn producer(brokers: &str, linger_ms: u32) -> anyhow::Result<ThreadedProducer<Acknowledged>> {
    let acknowledged =
        Acknowledged { landed: AtomicU64::new(0), failed: AtomicU64::new(0), sender: thread::current() };
    Ok(config(brokers, linger_ms).create_with_context(acknowledged)?)
}

/// How a floor's producer is set.
pub(crate) fn config(brokers: &str, linger_ms: u32) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", linger_ms.to_string())
        .set("compression.type", "lz4")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", QUEUE_LEN_MAX.to_string());
    config
}

/// Sends; `false` when the producer's queue is full.
pub(crate) fn send(
    producer: &ThreadedProducer<Acknowledged>,
    topic: &str,
    record: &Record,
) -> anyhow::Result<bool> {
    let base = BaseRecord::to(topic).key(&record.key).payload(&record.value).headers(record.headers.clone());
    match producer.send(base) {
        Ok(()) => Ok(true),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
        Err((error, _)) => Err(error.into()),
    }
}

/// What a drive brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Driven {
    /// Records, all of them acknowledged.
    pub(crate) records: f64,
    /// From the first record to the last acknowledgement.
    pub(crate) took: Duration,
}

/// Sends `records` over and over for `time`, and waits for the acknowledgements. Blocks.
pub(crate) fn drive(
    brokers: &str,
    topic: &str,
    records: &[Record],
    drive: Drive,
    time: Duration,
) -> anyhow::Result<Driven> {
    let producer = producer(brokers, drive.linger_ms)?;
    let began = Instant::now();
    let mut sent = 0_u64;
    for record in records.iter().cycle() {
        wait_for_room(&producer, sent, drive.in_flight);
        if began.elapsed() >= time {
            break;
        }
        if !send(&producer, topic, record)? {
            bail!("more in flight than the producer takes");
        }
        sent += 1;
    }
    finish(&producer, sent)?;
    #[expect(clippy::cast_precision_loss, reason = "a count of records")]
    Ok(Driven { records: sent as f64, took: began.elapsed() })
}

/// Sends all of `records`, each once. Blocks.
pub(crate) fn fill(
    brokers: &str,
    topic: &str,
    records: impl Iterator<Item = anyhow::Result<Record>>,
) -> anyhow::Result<()> {
    let producer = producer(brokers, 5)?;
    let mut sent = 0;
    for record in records {
        wait_for_room(&producer, sent, 20_000);
        ensure!(send(&producer, topic, &record?)?, "more in flight than the producer takes");
        sent += 1;
    }
    finish(&producer, sent)
}

fn wait_for_room(producer: &ThreadedProducer<Acknowledged>, sent: u64, in_flight: u64) {
    while sent - producer.context().landed.load(Ordering::Acquire) >= in_flight {
        thread::park_timeout(PARK_MAX);
    }
}

/// Waits until all that was sent is acknowledged.
pub(crate) fn finish(producer: &ThreadedProducer<Acknowledged>, sent: u64) -> anyhow::Result<()> {
    producer.flush(FLUSH_MAX)?;
    let deadline = Instant::now() + FLUSH_MAX;
    while producer.context().landed.load(Ordering::Acquire) < sent && Instant::now() < deadline {
        thread::park_timeout(PARK_MAX);
    }
    let (landed, failed) = {
        let context = producer.context();
        (context.landed.load(Ordering::Acquire), context.failed.load(Ordering::Acquire))
    };
    ensure!(landed == sent && failed == 0, "of {sent} records {landed} landed, {failed} with an error");
    Ok(())
}
