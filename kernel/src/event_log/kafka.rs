//! The log in a Kafka topic.
//!
//! ```text
//!   append ──► writer ─┐            ┌─► pool of consumers ──► read
//!                │     ├─► cluster ─┼─► desk (a thread each) ──► tail, epoch
//!                │     ┘            └─► follower ──► open
//!                └── what was acknowledged ──┘
//! ```
//!
//! Invariants, on top of the port's:
//! - a record is acknowledged by every broker that is in sync, and its place and time are those that readers see;
//! - the epoch is the cluster's id of the topic: equal at every node, and another one when the topic was made anew
//!   (`docs/adr/0008`). A node whose topic was replaced notices within seconds, and does nothing any more;
//! - nothing of librdkafka's that blocks runs on a thread of the async runtime.
//!
//! Kafka's topic may have positions without records, where somebody else used transactions. Readers pass over them. Ingest
//! does not use transactions, and a record of an aborted one is read like any other: who writes to the topic besides must
//! not use them either.

use std::{fmt, io, sync::Arc, thread};

use async_trait::async_trait;
use rdkafka::{
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::{Epoch, Partition, Position};
use tokio::task::spawn_blocking;

use self::{
    context::Told,
    desk::Desk,
    follower::Follower,
    native::Described,
    pool::{Pool, Stretch},
    share::Share,
    writer::Writer,
};
use super::{
    AppendError, BATCH_LEN_MAX, EventLog, EventReader, NewRecord, Place, ReadError, Readership, Record,
    check_batch,
};

mod alone;
mod context;
mod desk;
mod follower;
mod gathered;
mod mailbox;
#[cfg(test)]
pub(crate) mod mock;
#[expect(
    unsafe_code,
    reason = "rdkafka does not pass on the id of a topic, the status of a message, all names of headers, and the tails of some partitions"
)]
mod native;
mod pool;
mod record;
mod settings;
mod share;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod topics;
mod writer;

#[cfg(test)]
pub(crate) use settings::SIGNALS_LEN_MAX;
pub use settings::{KafkaSettings, SettingsError};
pub use topics::{Created, TopicError, TopicPlan, create_topics};

/// What any client of the cluster is made of, for the adapters of other ports.
pub(crate) mod client {
    use std::time::Duration;

    use rdkafka::{client::Client, error::RDKafkaErrorCode};

    use super::native;
    pub(crate) use super::{context::Told, drop_elsewhere, native::tails};

    /// How many partitions a topic has. Blocks, at most for about `timeout`.
    ///
    /// # Errors
    /// What the cluster answered, or that it did not.
    pub(crate) fn partitions(
        client: &Client<Told>,
        topic: &str,
        timeout: Duration,
    ) -> Result<u32, RDKafkaErrorCode> {
        native::describe(client, topic, timeout).map(|described| described.partitions)
    }
}

/// How long the cluster may take to describe the topic when the log is opened.
const OPEN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// The group that readers without a group name: nothing is committed in it, and nobody joins it.
const NO_GROUP: &str = "readers";

/// The log in the topic of events. A clone is the same log.
///
/// Dropping the last clone returns at once. Records that were handed over and that nobody waits for may then be written or not.
#[derive(Debug, Clone)]
pub struct KafkaLog(Arc<Shared>);

struct Shared {
    settings: KafkaSettings,
    topic: String,
    epoch: Epoch,
    writer: Writer,
    pool: Arc<Pool>,
    desk: Arc<Desk>,
}

/// Why the topic could not be opened as the log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// There is no such topic.
    #[error("there is no topic {topic}; run `tidings topics create`")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// The topic cannot be the log as it is set.
    #[error("the topic {topic} must have {setting}={needed}; set that before anything is written to it")]
    Unfit {
        /// Its name.
        topic: String,
        /// Which setting.
        setting: &'static str,
        /// What it must be.
        needed: &'static str,
    },
    /// librdkafka does not take the properties.
    #[error("kafka's client does not take the settings: {reason}")]
    Settings {
        /// What it says.
        reason: String,
    },
    /// The cluster cannot be reached, or does not answer. Trying again may help.
    #[error("kafka at {brokers} cannot be reached: {reason}")]
    Unavailable {
        /// Where it was looked for.
        brokers: String,
        /// What is wrong, for the operator.
        reason: String,
    },
}

impl OpenError {
    /// Whether trying again can help.
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl KafkaLog {
    /// Opens the topic of events, which exists ([`create_topics`]).
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(settings: KafkaSettings) -> Result<Self, OpenError> {
        let topic = settings.events_topic();
        let unavailable =
            |reason: String| OpenError::Unavailable { brokers: settings.brokers().to_owned(), reason };
        let refused = |error: KafkaError| OpenError::Settings { reason: error.to_string() };
        let told = Told::of("desk");
        let consumer: BaseConsumer<Told> =
            BaseConsumer::from_config_and_context(&settings.consumer(NO_GROUP), told).map_err(refused)?;
        let asked = topic.clone();
        let described =
            spawn_blocking(move || (native::describe(consumer.client(), &asked, OPEN_TIMEOUT), consumer));
        let (described, consumer) = described.await.map_err(|error| unavailable(error.to_string()))?;
        let described = match described {
            Ok(described) => described,
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => return Err(OpenError::NoTopic { topic }),
            Err(code) => return Err(unavailable(native::why(consumer.client(), code))),
        };
        if let Some(topics::Unfit { setting, needed }) = topics::unfit(&settings, &topic).await {
            return Err(OpenError::Unfit { topic, setting, needed });
        }
        let epoch = epoch(&described).map_err(unavailable)?;
        let partitions = described.partitions;
        let desk = Desk::start(consumer, topic.clone(), described);
        let desk = Arc::new(desk.map_err(|error: io::Error| unavailable(error.to_string()))?);
        let writer = Writer::start(settings.producer(), topic.clone(), partitions, Arc::clone(&desk));
        let mut looking = settings.consumer(NO_GROUP);
        looking.set("enable.partition.eof", "true").set("fetch.wait.max.ms", LOOK_WAIT_MS);
        let pool = Arc::new(Pool::new(looking, topic.clone()));
        Ok(Self(Arc::new(Shared { writer: writer.map_err(refused)?, settings, topic, epoch, pool, desk })))
    }

    /// How far each partition was heard to go by this node, by number: from appends, readers and looks at tails. Costs
    /// nothing; may be behind what others have written.
    pub fn tails_heard(&self) -> Vec<Position> {
        (0..self.partitions()).map(|partition| self.0.desk.heard().of(Partition(partition))).collect()
    }
}

/// How long a broker waits for records at the end of a partition, in milliseconds, when a stretch is read. What is read is
/// there already: this is only how soon the end is told where positions lack records.
const LOOK_WAIT_MS: &str = "1";

#[async_trait]
impl EventLog for KafkaLog {
    fn partitions(&self) -> u32 {
        self.0.desk.partitions()
    }

    fn epoch(&self) -> Epoch {
        self.0.epoch.clone()
    }

    async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        check_batch(&batch)?;
        self.0.writer.append(batch).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        self.0.check(partition)?;
        // What was heard of is there. Only past it somebody has to be asked.
        let heard = self.0.desk.heard().of(partition);
        let tail = if up_to <= heard { heard } else { self.0.desk.tail(partition).await? };
        let (up_to, limit) = (up_to.min(tail), limit.clamp(1, BATCH_LEN_MAX));
        if from >= up_to {
            return Ok(Vec::new());
        }
        Arc::clone(&self.0.pool).read(Stretch { partition, from, up_to, limit }).await
    }

    async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        self.0.check(partition)?;
        self.0.desk.tail(partition).await
    }

    async fn open(&self, readership: Readership) -> Result<Box<dyn EventReader>, ReadError> {
        self.0.desk.check()?;
        let follower = match readership {
            Readership::Broadcast => self.0.follow().await?,
            Readership::Group(group) => self.0.join(group)?,
        };
        Ok(Box::new(follower))
    }
}

impl Shared {
    /// Follows every partition from its tail on.
    async fn follow(&self) -> Result<Follower, ReadError> {
        let partitions = (0..self.desk.partitions()).map(Partition);
        let asked = partitions.map(|p| async move { Ok((p, self.desk.tail(p).await?)) });
        let tails = futures_util::future::try_join_all(asked).await?.into_iter().collect();
        let (topic, desk) = (self.topic.clone(), Arc::clone(&self.desk));
        let follower = Follower::broadcast(self.settings.clone(), topic, desk, tails).map_err(unavailable)?;
        self.writer.tell(follower.mailbox());
        Ok(follower)
    }

    /// Follows a share of the partitions.
    fn join(&self, group: &'static str) -> Result<Follower, ReadError> {
        let (topic, desk) = (self.topic.clone(), Arc::clone(&self.desk));
        BaseConsumer::from_config_and_context(&self.settings.group_consumer(group), Share::of(group))
            .and_then(|consumer| Follower::group(consumer, topic, desk))
            .map_err(unavailable)
    }

    fn check(&self, partition: Partition) -> Result<(), ReadError> {
        if partition.0 >= self.desk.partitions() {
            return Err(ReadError::NoPartition { partition });
        }
        self.desk.check()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaLog")
            .field("settings", &self.settings)
            .field("epoch", &self.epoch)
            .field("partitions", &self.desk.partitions())
            .finish_non_exhaustive()
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
fn unavailable(error: KafkaError) -> ReadError {
    ReadError::Unavailable { reason: error.to_string() }
}

/// The epoch of a topic is its id.
fn epoch(described: &Described) -> Result<Epoch, String> {
    described.topic_id.parse().map_err(|error| format!("the topic's id {}: {error}", described.topic_id))
}

/// Drops a client on a thread of its own: that waits for brokers and for other threads.
pub(crate) fn drop_elsewhere<T: Send + 'static>(client: T) {
    let dropped = thread::Builder::new().name("log-closing".to_owned()).spawn(move || drop(client));
    if let Err(error) = dropped {
        tracing::warn!(%error, "a kafka client was dropped on the spot");
    }
}
