//! Following the topic: who brings records, and the reader that takes them out of the mailbox.
//!
//! ```text
//!   every partition:      brokers ──► librdkafka ──► `tail`, on the task that asks ─┐
//!                         the writer's reports ─────────────────────────────────────┼─► mailbox ──► next()
//!   a share of a group:   brokers ──► librdkafka ──► `fetching`, a thread ──────────┘
//!                                        ▲               │ no room for long
//!                                        └── pause ──────┘ and polls on, so that the group does not take it for dead
//! ```
//!
//! Invariants:
//! - records of a partition are delivered in order, each once, from the announced position on;
//! - nothing waits for company here: what is there goes out, and what comes meanwhile goes with the next;
//! - what waits here is bounded, however far a reader is behind: nothing is fetched into a full mailbox;
//! - a partition that stands still while the log is known to be further is begun anew there, and that is announced, whatever others
//!   do meanwhile. So positions without records, and clients that lost their way, keep nobody waiting.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Weak},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::FutureExt;
use rdkafka::{
    Offset as At, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer},
    error::KafkaError,
};
use schemas::{Partition, Position};
use tokio::{task::spawn_blocking, time::timeout};

use self::{fetching::Work, places::Places, tail::Tail};
use super::{desk::Desk, mailbox::Mailbox, settings::KafkaSettings, share::Share};
use crate::event_log::{Delivery, EventReader, ReadError};

mod fetching;
mod places;
mod tail;

/// How long the cluster may take to take a checkpoint.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(5);

type Following = BaseConsumer<Share>;

/// The reader.
#[derive(Debug)]
pub(super) struct Follower {
    topic: String,
    mailbox: Arc<Mailbox>,
    desk: Arc<Desk>,
    source: Source,
}

/// Where what is put into the mailbox comes from.
#[derive(Debug)]
enum Source {
    /// Every partition, fetched here.
    Tail(Tail),
    /// A share, fetched by a thread.
    Group(Group),
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
        settings: KafkaSettings,
        topic: String,
        desk: Arc<Desk>,
        tails: BTreeMap<Partition, Position>,
    ) -> Result<Self, KafkaError> {
        let mailbox = Arc::<Mailbox>::default();
        let places = Places::new(topic.clone(), Arc::clone(&mailbox), Arc::clone(&desk));
        let source = Source::Tail(Tail::begin(settings, places, tails)?);
        Ok(Self { topic, mailbox, desk, source })
    }

    /// How it fetches now, if it does so itself.
    #[cfg(test)]
    pub(super) fn pace(&self) -> Option<super::settings::Pace> {
        match &self.source {
            Source::Tail(tail) => Some(tail.pace()),
            Source::Group(_) => None,
        }
    }

    /// Where its records are put.
    pub(super) fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Takes part in the group of the consumer.
    pub(super) fn group(consumer: Following, topic: String, desk: Arc<Desk>) -> Result<Self, KafkaError> {
        consumer.subscribe(&[&topic])?;
        let mailbox = Arc::<Mailbox>::default();
        let places = Places::new(topic.clone(), Arc::clone(&mailbox), Arc::clone(&desk));
        let work = Work::new(consumer, places);
        let group = Group { consumer: Arc::downgrade(&work.consumer), committed: BTreeMap::new() };
        work.start()?;
        Ok(Self { topic, mailbox, desk, source: Source::Group(group) })
    }
}

impl Source {
    /// Resolves when there may be something in the mailbox. Dropping the future loses nothing.
    async fn fill(&mut self) {
        match self {
            Self::Tail(tail) => tail.fetch().await,
            // The mailbox says.
            Self::Group(_) => pending().await,
        }
    }
}

#[async_trait]
impl EventReader for Follower {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        // Has its turn, however much comes from this node's own writer, and not before there is room: what was not asked for stays with
        // the client, which bounds it.
        if self.mailbox.has_room() {
            let _ = self.source.fill().now_or_never();
        }
        loop {
            let filled = self.mailbox.filled();
            if let Some(delivery) = self.mailbox.pop() {
                return delivery;
            }
            tokio::select! {
                biased;
                error = self.desk.replaced() => return Err(error),
                () = filled => {}
                () = self.source.fill() => {}
            }
        }
    }

    async fn commit(&mut self, partition: Partition, position: Position) -> Result<(), ReadError> {
        if partition.0 >= self.desk.partitions() {
            return Err(ReadError::NoPartition { partition });
        }
        let Source::Group(group) = &mut self.source else { return Ok(()) };
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

#[cfg(test)]
mod tests;
