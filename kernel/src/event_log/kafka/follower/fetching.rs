//! The thread that polls for a reader of a group: what the brokers and the group have to say becomes deliveries.
//!
//! It ends when the mailbox is closed, or when there is nothing more to come. However it ends, by a panic too, the mailbox is told:
//! nobody waits for a thread that is gone.

use std::{collections::BTreeMap, io, sync::Arc, thread, time::Duration};

use rdkafka::{Offset as At, consumer::Consumer, error::KafkaError};
use schemas::{Partition, Position};

use super::{
    super::share::Change,
    Following, list,
    places::{Ended, Places, answering},
};
use crate::event_log::{Delivery, ReadError};

/// How long the thread waits for a record before it looks around.
const POLL_MAX: Duration = Duration::from_millis(100);
/// How long the thread waits for room in the mailbox before it pauses fetching. Pausing drops what was fetched ahead.
const ROOM_WAIT: Duration = Duration::from_millis(500);
/// How long the cluster may take to say where a group goes on.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(5);

/// What the thread works with.
pub(super) struct Work {
    pub(super) consumer: Arc<Following>,
    places: Places,
    /// Ours as soon as it is known where they begin.
    unbegun: Vec<Partition>,
}

impl Work {
    pub(super) fn new(consumer: Following, places: Places) -> Self {
        Self { consumer: Arc::new(consumer), places, unbegun: Vec::new() }
    }

    /// Begins to poll.
    pub(super) fn start(self) -> Result<(), KafkaError> {
        let thread = thread::Builder::new().name("log-follower".to_owned());
        let started = thread.spawn(move || self.run()).map(drop);
        started.map_err(|error: io::Error| KafkaError::ClientCreation(error.to_string()))
    }

    fn run(mut self) {
        while !self.places.mailbox.is_closed() {
            if self.step().is_err() {
                break;
            }
        }
        if !self.unbegun.is_empty() {
            // The client waits for that, or it could not be closed.
            let nowhere = self.unbegun.iter().map(|partition| (*partition, Position::START));
            let list = list(&self.places.topic, nowhere);
            let _ = list.and_then(|list| self.consumer.incremental_assign(&list));
        }
    }

    fn step(&mut self) -> Result<(), Ended> {
        self.make_room();
        let consumer = Arc::clone(&self.consumer);
        if let Some(first) = consumer.poll(POLL_MAX) {
            self.places.take(first, || consumer.poll(Duration::ZERO))?;
        }
        self.follow_changes();
        let stalled = self.places.stalled();
        if !stalled.is_empty() {
            let answering = answering(&*consumer, &self.places.topic, stalled);
            self.places.begin_anew(&*consumer, answering);
        }
        Ok(())
    }

    /// Waits until the mailbox takes something; if that takes long, fetching is paused and polling goes on.
    fn make_room(&mut self) {
        let paused = self.places.of.values().any(|place| place.paused);
        let room = self.places.mailbox.wait_for_room(if paused { Duration::ZERO } else { ROOM_WAIT });
        // Some may have come since the others were paused.
        let others = self.places.of.iter().filter(|(_, place)| place.paused == room);
        let others: Vec<_> = others.map(|(partition, place)| (*partition, place.next)).collect();
        if !others.is_empty() {
            let list = list(&self.places.topic, others);
            let changed = list
                .and_then(|list| if room { self.consumer.resume(&list) } else { self.consumer.pause(&list) });
            match changed {
                Ok(()) => self.places.of.values_mut().for_each(|place| place.paused = !room),
                Err(error) => tracing::warn!(%error, room, "fetching could not be paused or resumed"),
            }
        }
    }

    /// Follows what the group has decided.
    fn follow_changes(&mut self) {
        for change in self.consumer.context().take_changes() {
            match change {
                Change::Assigned(partitions) => self.unbegun.extend(partitions),
                Change::Revoked(partitions) => {
                    self.unbegun.retain(|partition| !partitions.contains(partition));
                    for partition in partitions {
                        if self.places.of.remove(&partition).is_some() {
                            self.places.mailbox.put(Ok(Delivery::Revoked { partition }));
                        }
                    }
                }
            }
        }
        if self.unbegun.is_empty() {
            return;
        }
        match self.checkpoints().and_then(|from| self.begin(from)) {
            Ok(()) => self.unbegun.clear(),
            // Again after the next poll, which may bring another decision.
            Err(error) => tracing::warn!(%error, "it is not known where the group goes on; asking again"),
        }
    }

    /// Where the group goes on in the partitions that are not begun yet.
    fn checkpoints(&self) -> Result<BTreeMap<Partition, Position>, KafkaError> {
        let asked =
            list(&self.places.topic, self.unbegun.iter().map(|partition| (*partition, Position::START)))?;
        let committed = self.consumer.committed_offsets(asked, COMMITTED_TIMEOUT)?;
        let mut from = BTreeMap::new();
        for element in committed.elements() {
            element.error()?;
            let number = if let At::Offset(number) = element.offset() {
                number
            } else {
                // Nothing was committed: from the first record that there is.
                let client = self.consumer.client();
                client.fetch_watermarks(&self.places.topic, element.partition(), COMMITTED_TIMEOUT)?.0
            };
            let partition = Partition(element.partition().cast_unsigned());
            from.insert(partition, Position::try_from(number).unwrap_or_default());
        }
        Ok(from)
    }

    /// Begins partitions, and tells where.
    fn begin(&mut self, from: BTreeMap<Partition, Position>) -> Result<(), KafkaError> {
        let list = list(&self.places.topic, from.clone())?;
        // The client keeps the pause of a partition that was ours before. This has to come first: what is resumed while it is
        // fetched begins anew.
        self.consumer.resume(&list)?;
        self.consumer.incremental_assign(&list)?;
        for (partition, from) in from {
            self.consumer.context().own(partition);
            self.places.begin(partition, from);
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.places.mailbox.end(ReadError::Ended);
    }
}

#[cfg(test)]
mod tests;
