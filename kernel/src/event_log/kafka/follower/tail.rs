//! A reader of every partition that takes what was fetched on the task that asks: from the thread of the connection to that task there
//! is no other, which live delivery would wait for.
//!
//! It is in no group, so nobody minds when it is not asked for long: what was fetched ahead is bounded by the settings.
//!
//! While its node is alone with the topic, what it fetches it has already. Then another consumer goes on where this one was, which has the
//! brokers wait before they answer: that spares a fetch for nearly every record. As soon as somebody else writes it is the other way round.

use std::{collections::BTreeMap, fmt, future::pending, sync::Arc, time::Duration};

use futures_util::FutureExt;
use rdkafka::{
    TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{Consumer, StreamConsumer},
    error::KafkaError,
};
use schemas::{Partition, Position};
use tokio::{
    select,
    task::{JoinHandle, spawn_blocking},
    time::{Interval, MissedTickBehavior, interval},
};

use super::{
    super::{
        NO_GROUP,
        alone::Calm,
        context::Told,
        drop_elsewhere,
        settings::{KafkaSettings, Pace},
    },
    places::{Places, answering},
};

/// How often it is looked whether partitions stand still, and whether the node is alone.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

type Consuming = StreamConsumer<Told>;

/// See the module.
pub(super) struct Tail {
    settings: KafkaSettings,
    /// There until this is dropped.
    consumer: Option<Arc<Consuming>>,
    pace: Pace,
    calm: Calm,
    places: Places,
    look: Interval,
    /// What blocks, while fetching goes on.
    work: Option<JoinHandle<Done>>,
}

/// What came of it.
enum Done {
    /// These partitions stand still, and their leaders answer.
    Stalled(BTreeMap<Partition, Position>),
    /// This consumer goes on.
    Other(Pace, Consuming),
    /// Nothing.
    Failed,
}

impl Tail {
    /// Follows every partition from these positions on.
    pub(super) fn begin(
        settings: KafkaSettings,
        mut places: Places,
        tails: BTreeMap<Partition, Position>,
    ) -> Result<Self, KafkaError> {
        for (partition, from) in tails {
            places.begin(partition, from);
        }
        let pace = settings.pace();
        let consumer = Some(Arc::new(consumer_at(&settings, pace, &places.list()?)?));
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { settings, consumer, pace, calm: Calm::default(), places, look, work: None })
    }

    /// How it fetches now.
    #[cfg(test)]
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Waits until something was fetched, and puts it into the mailbox. May resolve without that. Dropping the future loses nothing.
    pub(super) async fn fetch(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        select! {
            first = consumer.recv() => {
                let more = || consumer.recv().now_or_never();
                // Whoever asks is told by the mailbox that nothing more will come.
                let _ = self.places.take(first, more);
            }
            done = done(&mut self.work) => self.follow(done),
            _ = self.look.tick(), if self.work.is_none() => self.look_around(),
        }
    }

    /// Begins anew what stands still, or goes on at another pace.
    fn look_around(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        let stalled = self.places.stalled();
        let pace = self.calm.look(self.places.mailbox.look());
        if !stalled.is_empty() {
            let (consumer, topic) = (Arc::clone(consumer), self.places.topic.clone());
            self.work = Some(spawn_blocking(move || Done::Stalled(answering(&*consumer, &topic, stalled))));
        } else if pace != self.pace && self.settings.pace() == Pace::Hurried {
            let (settings, list) = (self.settings.clone(), self.places.list());
            self.work = Some(spawn_blocking(move || {
                match list.and_then(|list| consumer_at(&settings, pace, &list)) {
                    Ok(consumer) => Done::Other(pace, consumer),
                    Err(error) => {
                        tracing::warn!(%error, ?pace, "the log cannot be followed at another pace");
                        Done::Failed
                    }
                }
            }));
        }
    }

    fn follow(&mut self, done: Done) {
        self.work = None;
        match done {
            Done::Stalled(partitions) => {
                if let Some(consumer) = &self.consumer {
                    self.places.begin_anew(&**consumer, partitions);
                }
            }
            Done::Other(pace, consumer) => {
                tracing::debug!(?pace, "the log is followed at another pace");
                self.pace = pace;
                // It begins where this one was a moment ago; what comes again is passed over.
                drop_elsewhere(self.consumer.replace(Arc::new(consumer)));
            }
            Done::Failed => {}
        }
    }
}

/// Resolves when the work is done, if there is any.
async fn done(work: &mut Option<JoinHandle<Done>>) -> Done {
    match work {
        // If it panicked, nothing was done.
        Some(work) => work.await.unwrap_or(Done::Failed),
        None => pending().await,
    }
}

/// A consumer that goes on where each partition is.
fn consumer_at(
    settings: &KafkaSettings,
    pace: Pace,
    places: &TopicPartitionList,
) -> Result<Consuming, KafkaError> {
    let config = settings.consumer_at(pace, NO_GROUP);
    let consumer: Consuming = StreamConsumer::from_config_and_context(&config, Told::of("follower"))?;
    consumer.assign(places)?;
    Ok(consumer)
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("pace", &self.pace).field("calm", &self.calm).finish_non_exhaustive()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop_elsewhere((self.consumer.take(), self.work.take()));
    }
}
