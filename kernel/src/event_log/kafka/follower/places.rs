//! Where a reader is in each of its partitions, and what it makes of what the brokers say.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    TopicPartitionList,
    consumer::{Consumer, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use schemas::{Partition, Position};

use super::{
    super::{
        desk::{Desk, Heard},
        gathered::Gathered,
        mailbox::Mailbox,
        native, record,
    },
    list,
};
use crate::event_log::{BATCH_LEN_MAX, Delivery, ReadError};

/// Most bytes that are put together before they go out.
const GATHERED_SIZE_MAX: usize = 4 * 1_024 * 1_024;
/// How long a partition may stand still while the log is known to be further.
const STALL_MAX: Duration = Duration::from_secs(3);
/// How long leaders may take to answer before their partitions are begun anew. The others of a group's reader wait for that.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Places {
    pub(super) topic: String,
    pub(super) mailbox: Arc<Mailbox>,
    heard: Arc<Heard>,
    desk: Arc<Desk>,
    /// Of each partition that is ours.
    pub(super) of: BTreeMap<Partition, Place>,
}

/// Where a reader is in one partition.
pub(super) struct Place {
    /// Where to go on.
    pub(super) next: Position,
    /// Fetching is paused.
    pub(super) paused: bool,
    /// Since when it stands still: when a record came last, or might have waited behind others, or there was nothing to come.
    since: Instant,
    /// It was begun anew where it is, in vain so far.
    sought: bool,
}

impl Place {
    fn at(next: Position) -> Self {
        Self { next, paused: false, since: Instant::now(), sought: false }
    }

    /// It gets on, as far as there is anything to come.
    fn moves(&mut self) {
        (self.since, self.sought) = (Instant::now(), false);
    }
}

/// Nothing more will come.
pub(super) struct Ended;

type Message<'a> = Result<BorrowedMessage<'a>, KafkaError>;

impl Places {
    pub(super) fn new(topic: String, mailbox: Arc<Mailbox>, desk: Arc<Desk>) -> Self {
        let heard = Arc::clone(desk.heard());
        Self { topic, mailbox, heard, desk, of: BTreeMap::new() }
    }

    /// This partition is ours from now on, or goes on elsewhere.
    pub(super) fn begin(&mut self, partition: Partition, from: Position) {
        self.of.insert(partition, Place::at(from));
        self.mailbox.put(Ok(Delivery::Assigned { partition, from }));
    }

    /// Where each partition goes on.
    pub(super) fn list(&self) -> Result<TopicPartitionList, KafkaError> {
        list(&self.topic, self.of.iter().map(|(partition, place)| (*partition, place.next)))
    }

    /// Puts together what there is, beginning with `first`, and delivers it.
    pub(super) fn take<'a>(
        &mut self,
        first: Message<'a>,
        mut more: impl FnMut() -> Option<Message<'a>>,
    ) -> Result<(), Ended> {
        let mut gathered = Gathered::default();
        let (mut ended, mut next) = (Ok(()), Some(first));
        let mut full = false;
        while let Some(message) = next {
            match message {
                Ok(message) => {
                    if let Some(place) = self.of.get_mut(&record::partition(&message)) {
                        gathered.take(&mut place.next, &message);
                    }
                }
                Err(error) => ended = self.fail(&error),
            }
            full = gathered.count >= BATCH_LEN_MAX || gathered.size >= GATHERED_SIZE_MAX;
            next = if full || ended.is_err() { None } else { more() };
        }
        if full {
            // More may wait behind this, of any partition.
            self.of.values_mut().for_each(|place| place.since = Instant::now());
        }
        for (partition, records) in gathered.records {
            if let Some(last) = records.last() {
                self.heard.hear(partition, last.offset.position());
            }
            if let Some(place) = self.of.get_mut(&partition) {
                place.moves();
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

    /// Which partitions have stood still for too long although the log is further, and where to [begin](Self::begin_anew) them: first where
    /// they are, and if that did not help, where the log is.
    pub(super) fn stalled(&mut self) -> BTreeMap<Partition, Position> {
        let mut stalled = BTreeMap::new();
        for (partition, place) in &mut self.of {
            let heard = self.heard.of(*partition);
            if place.paused || heard <= place.next {
                place.moves();
            } else if place.since.elapsed() >= STALL_MAX {
                place.since = Instant::now();
                stalled.insert(*partition, if place.sought { heard } else { place.next });
            }
        }
        stalled
    }

    /// Begins partitions anew at these positions. What that leaves out is announced before the client goes there: nothing can come from
    /// behind it in between.
    pub(super) fn begin_anew<C: ConsumerContext>(
        &mut self,
        consumer: &impl Consumer<C>,
        partitions: BTreeMap<Partition, Position>,
    ) {
        let mut places = Vec::new();
        for (partition, to) in partitions {
            let Some(place) = self.of.get_mut(&partition) else { continue };
            // It may have moved meanwhile.
            places.push((partition, place.next.max(to)));
            place.sought = place.next == to;
            if place.next < to {
                tracing::warn!(%partition, place = %place.next, %to, "a partition stood still while the log moved on");
                self.begin(partition, to);
            }
        }
        if places.is_empty() {
            return;
        }
        // Without waiting until the client has done it.
        let sought =
            list(&self.topic, places).and_then(|list| consumer.seek_partitions(list, Duration::ZERO));
        if let Err(error) = sought {
            tracing::warn!(%error, "partitions stand still and could not be begun anew");
        }
    }
}

/// Leaves of partitions that stand still those whose leaders answer: the others have to wait for them anyway. Blocks.
pub(super) fn answering<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    mut stalled: BTreeMap<Partition, Position>,
) -> BTreeMap<Partition, Position> {
    let asked = stalled.len();
    let tails = native::tails(consumer.client(), topic, stalled.keys().copied(), ANSWER_TIMEOUT);
    let tails = tails.unwrap_or_default();
    stalled.retain(|partition, _| tails.contains_key(partition));
    let silent = asked - stalled.len();
    if silent > 0 {
        tracing::warn!(silent, "partitions stand still while their leaders do not answer");
    }
    stalled
}
