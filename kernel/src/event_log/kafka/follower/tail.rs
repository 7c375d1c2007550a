//! A reader of every partition that takes what was fetched on the task that asks: from the thread of the connection to that task there
//! is no other, which live delivery would wait for.
//!
//! It is in no group, so nobody minds when it is not asked for long: what was fetched ahead is bounded by the settings.
//!
//! While its node is alone with the topic, what it fetches it has already. Then another consumer goes on where this one was, which has the
//! brokers wait before they answer: that spares a fetch for nearly every record. As soon as somebody else writes it is the other way round.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::FutureExt;
use parking_lot::Mutex;
use rdkafka::{
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
    list,
    places::Places,
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
    places: Arc<Mutex<Places>>,
    look: Interval,
    /// What blocks: it has the places meanwhile, and gives the consumer that goes on if it is another.
    work: Option<JoinHandle<Option<(Pace, Consuming)>>>,
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
        let consumer = Some(Arc::new(consumer_at(&settings, pace, &places)?));
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (calm, places) = (Calm::default(), Arc::new(Mutex::new(places)));
        Ok(Self { settings, consumer, pace, calm, places, look, work: None })
    }

    /// How it fetches now.
    #[cfg(test)]
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// Waits until something was fetched, and puts it into the mailbox. May resolve without that. Dropping the future loses nothing.
    pub(super) async fn fetch(&mut self) {
        if let Some(work) = &mut self.work {
            // If it panicked, nothing was done.
            let next = work.await.ok().flatten();
            self.work = None;
            if let Some((pace, consumer)) = next {
                tracing::debug!(?pace, "the log is followed at another pace");
                self.pace = pace;
                drop_elsewhere(self.consumer.replace(Arc::new(consumer)));
            }
        }
        let Some(consumer) = &self.consumer else { return };
        select! {
            first = consumer.recv() => {
                let more = || consumer.recv().now_or_never();
                // Whoever asks is told by the mailbox that nothing more will come.
                let _ = self.places.lock().take(first, more);
            }
            _ = self.look.tick() => self.look_around(),
        }
    }

    /// Mends what stands still, or goes on at another pace.
    fn look_around(&mut self) {
        let Some(consumer) = &self.consumer else { return };
        let (stands_still, seen) = {
            let mut places = self.places.lock();
            (places.stand_still(), places.mailbox.look())
        };
        let pace = self.calm.look(seen);
        let places = Arc::clone(&self.places);
        if stands_still {
            let consumer = Arc::clone(consumer);
            self.work = Some(spawn_blocking(move || {
                places.lock().mend(&*consumer);
                None
            }));
        } else if pace != self.pace && self.settings.pace() == Pace::Hurried {
            let settings = self.settings.clone();
            self.work = Some(spawn_blocking(move || {
                let told =
                    |error: &_| tracing::warn!(%error, ?pace, "the log cannot be followed at another pace");
                let consumer = consumer_at(&settings, pace, &places.lock()).inspect_err(told).ok()?;
                Some((pace, consumer))
            }));
        }
    }
}

/// A consumer that goes on where each partition is.
fn consumer_at(settings: &KafkaSettings, pace: Pace, places: &Places) -> Result<Consuming, KafkaError> {
    let config = settings.consumer_at(pace, NO_GROUP);
    let consumer: Consuming = StreamConsumer::from_config_and_context(&config, Told::of("follower"))?;
    let next = places.of.iter().map(|(partition, place)| (*partition, place.next));
    consumer.assign(&list(&places.topic, next)?)?;
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
