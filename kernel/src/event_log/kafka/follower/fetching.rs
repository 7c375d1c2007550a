//! The thread that polls: what the brokers and the group have to say becomes deliveries.
//!
//! It ends when the mailbox is closed, or when there is nothing more to come.

use std::{
    collections::BTreeMap,
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset as At, TopicPartitionList,
    consumer::Consumer,
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use schemas::{Partition, Position};

use super::{
    super::{
        desk::{Desk, Heard},
        gathered::Gathered,
        mailbox::Mailbox,
        share::Change,
    },
    Following, list,
};
use crate::event_log::{BATCH_LEN_MAX, Delivery, ReadError};

/// How long the thread waits for a record before it looks around.
const POLL_MAX: Duration = Duration::from_millis(100);
/// Most bytes that are put together before they go out.
const GATHERED_SIZE_MAX: usize = 4 * 1_024 * 1_024;
/// How long the thread waits for room in the mailbox before it pauses fetching. Pausing drops what was fetched ahead.
const ROOM_WAIT: Duration = Duration::from_millis(500);
/// How long a reader may stand still while the log is known to be further.
const STALL_MAX: Duration = Duration::from_secs(3);
/// How long the cluster may take to say where a group goes on.
const COMMITTED_TIMEOUT: Duration = Duration::from_secs(5);

/// What the thread works with.
pub(super) struct Work {
    pub(super) consumer: Arc<Following>,
    topic: String,
    mailbox: Arc<Mailbox>,
    heard: Arc<Heard>,
    desk: Arc<Desk>,
    /// Where to go on, for each partition that is ours.
    places: BTreeMap<Partition, Position>,
    /// Ours as soon as it is known where they begin.
    unbegun: Vec<Partition>,
    /// When a record came last, or there was nothing to come.
    moved: Instant,
    /// What stands still was begun anew where it was, in vain so far.
    sought: bool,
    paused: bool,
}

/// Why the thread ends.
struct Ended;

impl Work {
    pub(super) fn new(
        consumer: Arc<Following>,
        topic: String,
        mailbox: Arc<Mailbox>,
        desk: Arc<Desk>,
    ) -> Self {
        Self {
            consumer,
            topic,
            mailbox,
            heard: Arc::clone(desk.heard()),
            desk,
            places: BTreeMap::new(),
            unbegun: Vec::new(),
            moved: Instant::now(),
            sought: false,
            paused: false,
        }
    }

    /// Begins to poll.
    pub(super) fn start(self) -> Result<(), KafkaError> {
        let thread = thread::Builder::new().name("log-follower".to_owned());
        let started = thread.spawn(move || self.run()).map(drop);
        started.map_err(|error: io::Error| KafkaError::ClientCreation(error.to_string()))
    }

    fn run(mut self) {
        while !self.mailbox.is_closed() {
            if self.step().is_err() {
                break;
            }
        }
        if !self.unbegun.is_empty() {
            // The client waits for that, or it could not be closed.
            let nowhere = self.unbegun.iter().map(|partition| (*partition, Position::START));
            let list = list(&self.topic, nowhere);
            let _ = list.and_then(|list| self.consumer.incremental_assign(&list));
        }
    }

    fn step(&mut self) -> Result<(), Ended> {
        self.make_room();
        let consumer = Arc::clone(&self.consumer);
        match consumer.poll(POLL_MAX) {
            Some(Ok(first)) => self.gather(&consumer, &first)?,
            Some(Err(error)) => self.fail(&error)?,
            None => {}
        }
        self.follow_changes();
        self.mend();
        Ok(())
    }

    /// Waits until the mailbox takes something; if that takes long, fetching is paused and polling goes on.
    fn make_room(&mut self) {
        let wait = if self.paused { Duration::ZERO } else { ROOM_WAIT };
        let room = self.mailbox.wait_for_room(wait);
        if room == self.paused {
            let list = list(&self.topic, self.places.iter().map(|(partition, place)| (*partition, *place)));
            let changed = list
                .and_then(|list| if room { self.consumer.resume(&list) } else { self.consumer.pause(&list) });
            match changed {
                Ok(()) => self.paused = !room,
                Err(error) => tracing::warn!(%error, room, "fetching could not be paused or resumed"),
            }
        }
        if self.paused {
            self.moved = Instant::now();
        }
    }

    /// Puts together what is there, and delivers it.
    fn gather(&mut self, consumer: &Following, first: &BorrowedMessage<'_>) -> Result<(), Ended> {
        (self.moved, self.sought) = (Instant::now(), false);
        let mut gathered = Gathered::default();
        gathered.take(&mut self.places, first);
        let mut ended = Ok(());
        while gathered.count < BATCH_LEN_MAX && gathered.size < GATHERED_SIZE_MAX && ended.is_ok() {
            match consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => gathered.take(&mut self.places, &message),
                Some(Err(error)) => ended = self.fail(&error),
                None => break,
            }
        }
        for (partition, records) in gathered.records {
            if let Some(last) = records.last() {
                self.heard.hear(partition, last.offset.position());
            }
            self.mailbox.put(Ok(Delivery::Records { partition, records }));
        }
        ended
    }

    /// Tells of an error that librdkafka does not get over by itself; the others it has told to its ear.
    fn fail(&self, error: &KafkaError) -> Result<(), Ended> {
        let reason = error.to_string();
        match error {
            KafkaError::MessageConsumptionFatal(_) => {
                self.mailbox.end(ReadError::Lost { reason });
                return Err(Ended);
            }
            _ => match error.rdkafka_error_code() {
                Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    self.desk.suspect();
                    self.mailbox.end(ReadError::Lost { reason });
                    return Err(Ended);
                }
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    self.desk.suspect();
                    self.mailbox.put(Err(ReadError::Unavailable { reason }));
                }
                Some(
                    RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed,
                ) => self.mailbox.put(Err(ReadError::Unavailable { reason })),
                _ => {}
            },
        }
        Ok(())
    }

    /// Follows what the group has decided.
    fn follow_changes(&mut self) {
        for change in self.consumer.context().take_changes() {
            match change {
                Change::Assigned(partitions) => self.unbegun.extend(partitions),
                Change::Revoked(partitions) => {
                    self.unbegun.retain(|partition| !partitions.contains(partition));
                    for partition in partitions {
                        if self.places.remove(&partition).is_some() {
                            self.mailbox.put(Ok(Delivery::Revoked { partition }));
                        }
                    }
                }
            }
        }
        if self.unbegun.is_empty() {
            return;
        }
        match self.checkpoints().and_then(|from| self.begin(from, Following::incremental_assign)) {
            Ok(()) => self.unbegun.clear(),
            // Again after the next poll, which may bring another decision.
            Err(error) => tracing::warn!(%error, "it is not known where the group goes on; asking again"),
        }
    }

    /// Where the group goes on in the partitions that are not begun yet.
    fn checkpoints(&self) -> Result<BTreeMap<Partition, Position>, KafkaError> {
        let asked = list(&self.topic, self.unbegun.iter().map(|partition| (*partition, Position::START)))?;
        let committed = self.consumer.committed_offsets(asked, COMMITTED_TIMEOUT)?;
        let mut from = BTreeMap::new();
        for element in committed.elements() {
            element.error()?;
            let number = if let At::Offset(number) = element.offset() {
                number
            } else {
                // Nothing was committed: from the first record that there is.
                let client = self.consumer.client();
                client.fetch_watermarks(&self.topic, element.partition(), COMMITTED_TIMEOUT)?.0
            };
            let partition = Partition(element.partition().cast_unsigned());
            from.insert(partition, Position::try_from(number).unwrap_or_default());
        }
        Ok(from)
    }

    /// Begins partitions, and tells where.
    pub(super) fn begin(
        &mut self,
        from: BTreeMap<Partition, Position>,
        assign: impl FnOnce(&Following, &TopicPartitionList) -> Result<(), KafkaError>,
    ) -> Result<(), KafkaError> {
        let list = list(&self.topic, from.iter().map(|(partition, from)| (*partition, *from)))?;
        assign(&self.consumer, &list)?;
        // They are not paused yet.
        self.paused = false;
        self.moved = Instant::now();
        for (partition, from) in from {
            self.consumer.context().own(partition);
            self.places.insert(partition, from);
            self.mailbox.put(Ok(Delivery::Assigned { partition, from }));
        }
        Ok(())
    }

    /// Begins partitions anew that stand still although the log is further and its leaders answer: first where they are, and
    /// if that does not help, where the log is.
    fn mend(&mut self) {
        let ahead = |(partition, place): (&Partition, &Position)| {
            let heard = self.heard.of(*partition);
            (heard > *place).then_some((*partition, (*place, heard)))
        };
        let stalled: BTreeMap<_, _> = self.places.iter().filter_map(ahead).collect();
        if stalled.is_empty() {
            (self.moved, self.sought) = (Instant::now(), false);
        }
        if self.moved.elapsed() < STALL_MAX {
            return;
        }
        self.moved = Instant::now();
        let leader = |partition: &Partition| {
            let number = partition.0.cast_signed();
            self.consumer.client().fetch_watermarks(&self.topic, number, STALL_MAX)
        };
        let skip = self.sought;
        let places = stalled
            .iter()
            .map(|(partition, (place, heard))| (*partition, if skip { *heard } else { *place }));
        let sought = stalled
            .keys()
            .try_for_each(|partition| leader(partition).map(drop))
            .and_then(|()| list(&self.topic, places))
            .and_then(|list| self.consumer.seek_partitions(list, STALL_MAX));
        if let Err(error) = sought {
            tracing::warn!(%error, "partitions stand still while their leaders do not answer");
            return;
        }
        self.sought = !skip;
        for (partition, (place, heard)) in stalled.into_iter().filter(|_| skip) {
            tracing::warn!(%partition, %place, to = %heard, "a partition stood still while the log moved on");
            self.places.insert(partition, heard);
            self.mailbox.put(Ok(Delivery::Assigned { partition, from: heard }));
        }
    }
}
