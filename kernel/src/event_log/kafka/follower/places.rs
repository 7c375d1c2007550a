//! Where a reader is in each of its partitions, and what it makes of what the brokers say.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
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
        record,
    },
    list,
};
use crate::event_log::{BATCH_LEN_MAX, Delivery, ReadError};

/// Most bytes that are put together before they go out.
const GATHERED_SIZE_MAX: usize = 4 * 1_024 * 1_024;
/// How long a reader may stand still while the log is known to be further.
const STALL_MAX: Duration = Duration::from_secs(3);

/// See the module.
pub(super) struct Places {
    pub(super) topic: String,
    pub(super) mailbox: Arc<Mailbox>,
    heard: Arc<Heard>,
    desk: Arc<Desk>,
    /// Of each partition that is ours.
    pub(super) of: BTreeMap<Partition, Place>,
    /// When a record came last, or there was nothing to come.
    pub(super) moved: Instant,
    /// What stands still was begun anew where it was, in vain so far.
    sought: bool,
}

/// Where a reader is in one partition.
pub(super) struct Place {
    /// Where to go on.
    pub(super) next: Position,
    /// Fetching is paused.
    pub(super) paused: bool,
}

/// Nothing more will come.
pub(super) struct Ended;

type Message<'a> = Result<BorrowedMessage<'a>, KafkaError>;

impl Places {
    pub(super) fn new(topic: String, mailbox: Arc<Mailbox>, desk: Arc<Desk>) -> Self {
        let heard = Arc::clone(desk.heard());
        Self { topic, mailbox, heard, desk, of: BTreeMap::new(), moved: Instant::now(), sought: false }
    }

    /// This partition is ours from now on, or goes on elsewhere.
    pub(super) fn begin(&mut self, partition: Partition, from: Position) {
        self.of.insert(partition, Place { next: from, paused: false });
        self.mailbox.put(Ok(Delivery::Assigned { partition, from }));
    }

    /// Puts together what there is, beginning with `first`, and delivers it.
    pub(super) fn take<'a>(
        &mut self,
        first: Message<'a>,
        mut more: impl FnMut() -> Option<Message<'a>>,
    ) -> Result<(), Ended> {
        let mut gathered = Gathered::default();
        let (mut ended, mut next) = (Ok(()), Some(first));
        while let Some(message) = next {
            match message {
                Ok(message) => {
                    if let Some(place) = self.of.get_mut(&record::partition(&message)) {
                        gathered.take(&mut place.next, &message);
                    }
                }
                Err(error) => ended = self.fail(&error),
            }
            let full = gathered.count >= BATCH_LEN_MAX || gathered.size >= GATHERED_SIZE_MAX;
            next = if full || ended.is_err() { None } else { more() };
        }
        if gathered.count > 0 {
            (self.moved, self.sought) = (Instant::now(), false);
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

    /// Whether partitions have stood still for too long although the log is further: then [`Self::mend`] them.
    pub(super) fn stand_still(&mut self) -> bool {
        if self.of.iter().all(|(partition, place)| self.heard.of(*partition) <= place.next) {
            (self.moved, self.sought) = (Instant::now(), false);
        }
        self.moved.elapsed() >= STALL_MAX
    }

    /// Begins partitions anew that stand still although the log is further and its leaders answer: first where they are, and
    /// if that does not help, where the log is. Blocks.
    pub(super) fn mend<C: ConsumerContext>(&mut self, consumer: &impl Consumer<C>) {
        self.moved = Instant::now();
        let ahead = |(partition, place): (&Partition, &Place)| {
            let heard = self.heard.of(*partition);
            (heard > place.next).then_some((*partition, (place.next, heard)))
        };
        let stalled: BTreeMap<_, _> = self.of.iter().filter_map(ahead).collect();
        let leader = |partition: &Partition| {
            consumer.fetch_watermarks(&self.topic, partition.0.cast_signed(), STALL_MAX)
        };
        let skip = self.sought;
        let places = stalled
            .iter()
            .map(|(partition, (place, heard))| (*partition, if skip { *heard } else { *place }));
        let sought = stalled
            .keys()
            .try_for_each(|partition| leader(partition).map(drop))
            .and_then(|()| list(&self.topic, places))
            .and_then(|list| consumer.seek_partitions(list, STALL_MAX));
        if let Err(error) = sought {
            tracing::warn!(%error, "partitions stand still while their leaders do not answer");
            return;
        }
        self.sought = !skip;
        for (partition, (place, heard)) in stalled.into_iter().filter(|_| skip) {
            tracing::warn!(%partition, %place, to = %heard, "a partition stood still while the log moved on");
            self.begin(partition, heard);
        }
    }
}
