//! Following the topic: a thread that polls, and the reader that takes what it brings.
//!
//! ```text
//!   brokers ──► librdkafka ──► thread: poll, copy, put together ──► mailbox ──► next()
//!                  ▲                  │ no room for long
//!                  └── pause ─────────┘ and polls on, so that the group does not take it for dead
//! ```
//!
//! Invariants:
//! - records of a partition are delivered in order, each once, from the announced position on;
//! - nothing waits in the thread for company: what is there goes out, and what comes meanwhile goes with the next;
//! - a partition that stands still while the log is known to be further is begun anew there, and that is announced. So
//!   positions without records, and clients that lost their way, keep nobody waiting.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use rdkafka::{
    Offset as At, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
};
use schemas::{Partition, Position};
use tokio::{task::spawn_blocking, time::timeout};

use self::fetching::Work;
use super::{desk::Desk, mailbox::Mailbox, share::Share};
use crate::event_log::{Delivery, EventReader, ReadError};

mod fetching;

/// How long the cluster may take to take a checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

type Following = BaseConsumer<Share>;

/// The reader.
#[derive(Debug)]
pub(super) struct Follower {
    topic: String,
    mailbox: Arc<Mailbox>,
    desk: Arc<Desk>,
    /// For a reader of a group.
    group: Option<Group>,
}

struct Group {
    /// The thread holds it, and ends it.
    consumer: Weak<Following>,
    committed: BTreeMap<Partition, Position>,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("committed", &self.committed).finish_non_exhaustive()
    }
}

impl Follower {
    /// Follows every partition from these positions on.
    pub(super) fn broadcast(
        consumer: Following,
        topic: String,
        desk: Arc<Desk>,
        tails: BTreeMap<Partition, Position>,
    ) -> Result<Self, KafkaError> {
        let (follower, mut work) = Self::new(consumer, topic, desk);
        work.begin(tails, Following::assign)?;
        work.start()?;
        Ok(follower)
    }

    /// Takes part in the group of the consumer.
    pub(super) fn group(consumer: Following, topic: String, desk: Arc<Desk>) -> Result<Self, KafkaError> {
        consumer.subscribe(&[&topic])?;
        let (mut follower, work) = Self::new(consumer, topic, desk);
        let consumer = Arc::downgrade(&work.consumer);
        follower.group = Some(Group { consumer, committed: BTreeMap::new() });
        work.start()?;
        Ok(follower)
    }

    fn new(consumer: Following, topic: String, desk: Arc<Desk>) -> (Self, Work) {
        let mailbox = Arc::new(Mailbox::default());
        let work = Work::new(Arc::new(consumer), topic.clone(), Arc::clone(&mailbox), Arc::clone(&desk));
        (Self { topic, mailbox, desk, group: None }, work)
    }
}

#[async_trait]
impl EventReader for Follower {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        tokio::select! {
            biased;
            error = self.desk.replaced() => Err(error),
            delivery = self.mailbox.take() => delivery,
        }
    }

    async fn commit(&mut self, partition: Partition, position: Position) -> Result<(), ReadError> {
        if partition.0 >= self.desk.partitions() {
            return Err(ReadError::NoPartition { partition });
        }
        let Some(group) = &mut self.group else { return Ok(()) };
        self.desk.check()?;
        if group.committed.get(&partition).is_some_and(|committed| *committed >= position) {
            return Ok(());
        }
        let (consumer, topic) = (Weak::clone(&group.consumer), self.topic.clone());
        let commit = spawn_blocking(move || commit(&consumer, &topic, partition, position));
        let reason = match timeout(COMMIT_TIMEOUT, commit).await {
            Ok(Ok(Ok(()))) => {
                group.committed.insert(partition, position);
                return Ok(());
            }
            Ok(Ok(Err(reason))) => reason,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the brokers do not take the checkpoint".to_owned(),
        };
        // Somebody else may have had the partition meanwhile.
        group.committed.remove(&partition);
        Err(ReadError::Unavailable { reason })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.mailbox.close();
    }
}

fn commit(
    consumer: &Weak<Following>,
    topic: &str,
    partition: Partition,
    position: Position,
) -> Result<(), String> {
    let consumer = consumer.upgrade().ok_or("the reader has ended")?;
    if !consumer.context().owns(partition) {
        return Err(format!("partition {partition} belongs to another reader of the group now"));
    }
    let list = list(topic, [(partition, position)]).map_err(|error| error.to_string())?;
    consumer.commit(&list, CommitMode::Sync).map_err(|error| error.to_string())
}

fn list(
    topic: &str,
    places: impl IntoIterator<Item = (Partition, Position)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, place) in places {
        list.add_partition_offset(topic, partition.0.cast_signed(), At::Offset(place.into()))?;
    }
    Ok(list)
}
