//! The floor of delivery: librdkafka's own producer and consumer, with nothing in between but the broker.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    config::FromClientConfig,
    consumer::{BaseConsumer, Consumer, DefaultConsumerContext},
};
use server::measure::{Latencies, Schedule};

use crate::{
    latency::Pace,
    message::{self, Record},
    producing,
};

/// How long the consumer waits before it looks whether all is over.
const POLL_WAIT: Duration = Duration::from_millis(100);
/// How long the last records may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long a question to the broker may take.
const ASK_WAIT: Duration = Duration::from_secs(10);

/// Sends each of `records`, whose numbers begin at 0, when it is due, and gives the time from then until it is consumed. Those of the first
/// second do not count: the producer has to introduce itself to the broker. Blocks.
pub(crate) fn produce_and_consume(
    brokers: &str,
    topic: &str,
    records: &[Record],
    pace: Pace,
) -> anyhow::Result<Latencies> {
    let consumer: BaseConsumer = at_the_tail(brokers, topic)?;
    // A first look, so that fetching has begun.
    ensure!(consumer.poll(POLL_WAIT).is_none(), "somebody else writes to {topic}");
    let schedule = pace.schedule(Instant::now() + POLL_WAIT);
    let failed = AtomicBool::new(false);
    thread::scope(|scope| {
        let consuming = scope.spawn(|| consume(&consumer, records.len(), pace.run_in(), schedule, &failed));
        let produced = produce(brokers, topic, records, schedule);
        failed.store(produced.is_err(), Ordering::Relaxed);
        let latencies = consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?;
        produced.and(latencies)
    })
}

fn produce(brokers: &str, topic: &str, records: &[Record], schedule: Schedule) -> anyhow::Result<()> {
    let producer = producing::producer(brokers, 0)?;
    for (number, record) in (0..).zip(records) {
        schedule.wait(number, || false);
        ensure!(producing::send(&producer, topic, record)?, "the producer's queue is full");
    }
    producing::finish(&producer, u64::try_from(records.len())?)
}

fn consume(
    consumer: &BaseConsumer,
    wanted: usize,
    run_in: u64,
    schedule: Schedule,
    failed: &AtomicBool,
) -> anyhow::Result<Latencies> {
    let mut latencies = Vec::with_capacity(wanted);
    let deadline = schedule.due_at(u64::try_from(wanted)?) + GRACE;
    while latencies.len() < wanted && Instant::now() < deadline && !failed.load(Ordering::Relaxed) {
        let Some(record) = consumer.poll(POLL_WAIT) else { continue };
        message::numbers(record?.payload().unwrap_or_default(), |number| {
            latencies.push((number, schedule.lateness(number)));
        });
    }
    ensure!(latencies.len() == wanted, "{} of {wanted} records were consumed", latencies.len());
    let counts = |(number, lateness)| (number >= run_in).then_some(lateness);
    Ok(Latencies::new(latencies.into_iter().filter_map(counts).collect()))
}

/// Reads every partition from its tail on, as soon as something is there. Blocks.
pub(crate) fn at_the_tail<C>(brokers: &str, topic: &str) -> anyhow::Result<C>
where
    C: Consumer<DefaultConsumerContext> + FromClientConfig,
{
    let consumer: C = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .set("fetch.min.bytes", "1")
        .set("fetch.queue.backoff.ms", "5")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), ASK_WAIT)?;
    let partitions = metadata.topics().first().context("the broker does not know the topic")?.partitions();
    let mut assigned = TopicPartitionList::new();
    for partition in partitions {
        let (_, tail) = consumer.fetch_watermarks(topic, partition.id(), ASK_WAIT)?;
        assigned.add_partition_offset(topic, partition.id(), Offset::Offset(tail))?;
    }
    consumer.assign(&assigned)?;
    Ok(consumer)
}
