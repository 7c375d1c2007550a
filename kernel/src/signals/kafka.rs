//! Signals on a Kafka topic of their own, `{prefix}.signals`.
//!
//! ```text
//!   publish ──► librdkafka's queue ──► brokers ──► every node, from the tail on ──► watchers
//! ```
//!
//! Invariants:
//! - the key is the conversation, so signals about it keep their order; nothing is sent again, or an old one would come
//!   behind a new one;
//! - the queue is bounded in records, bytes and time: while brokers are away, signals are dropped, not heaped up.
//!
//! Deliberately not here: positions. A reader begins at the tail, and at the tail again if it was away for too long.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use rdkafka::{
    ClientContext, Message, Offset as At, TopicPartitionList,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    consumer::{Consumer, StreamConsumer},
    error::{KafkaError, RDKafkaErrorCode},
    producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer},
};
use schemas::{ConversationId, NodeId, Partition, Position, Signal, SignalBody, codec::SignalCodec};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, spawn_blocking},
    time::sleep,
};

use super::{Counts, Signals, Watchers};
use crate::{
    clock::Clock,
    crash,
    event_log::kafka::{KafkaSettings, OpenError, client},
    random,
};

#[cfg(test)]
mod tests;

/// How long the cluster may take to describe the topic and its ends when it is opened.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long [`Signals::flush`] waits.
const FLUSH_WAIT: Duration = Duration::from_secs(2);
/// The pause after an error in reading, of which there may be one after the other.
const READ_PAUSE: Duration = Duration::from_millis(100);

type Consuming = StreamConsumer<client::Told>;
type Producing = ThreadedProducer<Reports>;

/// See the module.
pub struct KafkaSignals {
    node: NodeId,
    topic: String,
    codec: SignalCodec,
    clock: Arc<dyn Clock>,
    /// There until this is dropped.
    producer: Option<Producing>,
    watchers: Arc<Watchers>,
    counts: Arc<Counts>,
    hearing: AbortHandle,
}

/// Takes the delivery reports of the producer.
struct Reports {
    told: client::Told,
    counts: Arc<Counts>,
}

/// The reader, until it is dropped.
struct Ear(Option<Consuming>);

/// Where a partition ends, for each.
type Tails = BTreeMap<Partition, Position>;

impl KafkaSignals {
    /// Opens the topic of signals, which exists, as a node with a fresh name. What is published from then on is heard.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        settings: &KafkaSettings,
        codec: SignalCodec,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let (node, topic) = (random::node_id(), settings.signals_topic());
        let refused = |error: KafkaError| OpenError::Settings { reason: error.to_string() };
        let unavailable =
            |reason: String| OpenError::Unavailable { brokers: settings.brokers().to_owned(), reason };
        let told = client::Told::of("signals");
        let consumer = Consuming::from_config_and_context(&settings.signals_consumer(), told);
        let (consumer, asked) = (consumer.map_err(refused)?, topic.clone());
        let placed = spawn_blocking(move || {
            let tails = tails(&consumer, &asked);
            (Ear(Some(consumer)), tails)
        });
        let (ear, tails) = placed.await.map_err(|error| unavailable(error.to_string()))?;
        let tails = match tails {
            Ok(tails) => tails,
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(OpenError::NoTopic { topic }),
            Err(code) => return Err(unavailable(code.to_string())),
        };
        ear.assign(&topic, &tails).map_err(|error| unavailable(error.to_string()))?;
        let (counts, watchers) = (Arc::new(Counts::new()), Arc::new(Watchers::default()));
        let reports = Reports { told: client::Told::of("signals"), counts: Arc::clone(&counts) };
        let producer = Producing::from_config_and_context(&settings.signals_producer(), reports);
        let hearing = Hearing {
            ear,
            node: node.clone(),
            codec: codec.clone(),
            watchers: Arc::clone(&watchers),
            counts: Arc::clone(&counts),
        };
        let producer = Some(producer.map_err(refused)?);
        let hearing = tokio::spawn(hearing.run());
        let handle = hearing.abort_handle();
        tokio::spawn(crash::watch("signals", hearing));
        Ok(Self { node, topic, codec, clock, producer, watchers, counts, hearing: handle })
    }

    /// Puts a signal into the queue, or says why not.
    fn send(&self, signal: &Signal) -> Result<(), String> {
        let value = self.codec.encode(signal).map_err(|error| error.to_string())?;
        let key = signal.body.conversation().map_or(self.node.as_str(), ConversationId::as_str);
        let record = BaseRecord::to(&self.topic).key(key).payload(&*value);
        let producer = self.producer.as_ref().ok_or("the port is closed")?;
        producer.send(record).map_err(|(error, _)| error.to_string())
    }

    /// Signals that wait to be taken by the brokers.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.producer.as_ref().map_or(0, |producer| usize::try_from(producer.in_flight_count()).unwrap())
    }
}

#[async_trait]
impl Signals for KafkaSignals {
    fn publish(&self, body: SignalBody) {
        self.counts.published.increment(1);
        let signal = Signal { node: self.node.clone(), at: self.clock.now(), body };
        if let Err(reason) = self.send(&signal) {
            tracing::debug!(reason, "a signal was dropped");
            self.counts.dropped.increment(1);
        }
    }

    fn watch(&self) -> mpsc::Receiver<Arc<Signal>> {
        self.watchers.add()
    }

    async fn flush(&self) {
        let Some(producer) = self.producer.clone() else { return };
        let flushed = spawn_blocking(move || producer.flush(FLUSH_WAIT)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::info!("some signals did not go out");
        }
    }
}

impl Drop for KafkaSignals {
    fn drop(&mut self) {
        self.hearing.abort();
        client::drop_elsewhere(self.producer.take());
    }
}

impl fmt::Debug for KafkaSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSignals")
            .field("node", &self.node)
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        if delivered.is_err() {
            self.counts.dropped.increment(1);
        }
    }
}

/// The task that hears.
struct Hearing {
    ear: Ear,
    node: NodeId,
    codec: SignalCodec,
    watchers: Arc<Watchers>,
    counts: Arc<Counts>,
}

impl Hearing {
    async fn run(self) {
        let Some(consumer) = &self.ear.0 else { return };
        loop {
            match consumer.recv().await {
                Ok(message) => self.take(message.payload().unwrap_or_default()),
                // Its ear has told.
                Err(_) => sleep(READ_PAUSE).await,
            }
        }
    }

    fn take(&self, value: &[u8]) {
        match self.codec.decode(value) {
            Ok(signal) if signal.node == self.node => {}
            Ok(signal) => self.watchers.tell(&Arc::new(signal), &self.counts),
            Err(error) => {
                tracing::debug!(%error, "a record on the topic of signals is none that is known here");
                self.counts.dropped.increment(1);
            }
        }
    }
}

impl Ear {
    fn assign(&self, topic: &str, tails: &Tails) -> Result<(), KafkaError> {
        let Some(consumer) = &self.0 else { return Ok(()) };
        let mut list = TopicPartitionList::new();
        for (partition, tail) in tails {
            list.add_partition_offset(topic, partition.0.cast_signed(), At::Offset((*tail).into()))?;
        }
        consumer.assign(&list)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        client::drop_elsewhere(self.0.take());
    }
}

/// Where the partitions of a topic end now. Blocks.
fn tails(consumer: &Consuming, topic: &str) -> Result<Tails, RDKafkaErrorCode> {
    let partitions = client::partitions(consumer.client(), topic, OPEN_TIMEOUT)?;
    let tails = client::tails(consumer.client(), topic, (0..partitions).map(Partition), OPEN_TIMEOUT)?;
    if tails.len() < partitions as usize {
        return Err(RDKafkaErrorCode::LeaderNotAvailable);
    }
    Ok(tails)
}
