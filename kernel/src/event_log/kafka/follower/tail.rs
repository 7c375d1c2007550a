//! A reader of every partition that takes what was fetched on the task that asks: from the thread of the connection to that task there
//! is no other, which live delivery would wait for.
//!
//! It is in no group, so nobody minds when it is not asked for long: what was fetched ahead is bounded by the settings.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::FutureExt;
use parking_lot::Mutex;
use rdkafka::{
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
    super::{context::Told, drop_elsewhere},
    list,
    places::Places,
};

/// How often it is looked whether partitions stand still.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

pub(super) type Consuming = StreamConsumer<Told>;

/// See the module.
pub(super) struct Tail {
    /// There until this is dropped.
    consumer: Option<Arc<Consuming>>,
    places: Arc<Mutex<Places>>,
    look: Interval,
    /// Has the places meanwhile.
    mending: Option<JoinHandle<()>>,
}

impl Tail {
    /// Follows every partition from these positions on.
    pub(super) fn begin(
        consumer: Consuming,
        mut places: Places,
        tails: BTreeMap<Partition, Position>,
    ) -> Result<Self, KafkaError> {
        consumer.assign(&list(&places.topic, tails.clone())?)?;
        for (partition, from) in tails {
            places.begin(partition, from);
        }
        let mut look = interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (consumer, places) = (Some(Arc::new(consumer)), Arc::new(Mutex::new(places)));
        Ok(Self { consumer, places, look, mending: None })
    }

    /// Waits until something was fetched, and puts it into the mailbox. May resolve without that. Dropping the future loses nothing.
    pub(super) async fn fetch(&mut self) {
        if let Some(mending) = &mut self.mending {
            // If it panicked, nothing was mended.
            let _ = mending.await;
            self.mending = None;
        }
        let Some(consumer) = &self.consumer else { return };
        select! {
            first = consumer.recv() => {
                let more = || consumer.recv().now_or_never();
                // Whoever asks is told by the mailbox that nothing more will come.
                let _ = self.places.lock().take(first, more);
            }
            _ = self.look.tick() => if self.places.lock().stand_still() {
                let (consumer, places) = (Arc::clone(consumer), Arc::clone(&self.places));
                self.mending = Some(spawn_blocking(move || places.lock().mend(&*consumer)));
            },
        }
    }
}

impl fmt::Debug for Tail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tail").field("mending", &self.mending.is_some()).finish_non_exhaustive()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop_elsewhere(self.consumer.take());
    }
}
