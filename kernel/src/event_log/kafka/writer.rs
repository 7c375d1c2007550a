//! The writing side: batches into librdkafka's queue, delivery reports out of it.
//!
//! ```text
//!   append ──► room (bytes, in turn) ──► one loop under one lock ──► librdkafka ──► brokers
//!                                                                        │ reports, one per record
//!      answer ◄── the last report of a batch ◄── thread that polls ◄─────┘
//! ```
//!
//! Invariants:
//! - a batch goes into the queue as a whole, under one lock, with nothing awaited: so its records keep their order in
//!   each partition, and no other batch comes between. What waits for room waits before that, in turn;
//! - a record is reported exactly once, and a batch answered when the last of its records is: with places only if all have one;
//! - readers at this node are handed a record when it is acknowledged, before its batch is answered;
//! - "nothing was written" is said only if librdkafka knows it of every record.
//!
//! librdkafka repeats what a broker did not acknowledge, under sequence numbers by which the broker tells repetitions
//! (idempotence). If that chain breaks for good, the client refuses everything from then on; it is replaced.

use std::{
    io, mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, ClientContext, Message, Timestamp as KafkaTimestamp,
    config::{FromClientConfigAndContext, RDKafkaLogLevel},
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header as KafkaHeader, OwnedHeaders},
    producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext},
};
use schemas::{Offset, Partition, Timestamp, caps::APPEND_DEADLINE_MS};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, timeout_at},
};

use super::{
    context::Told,
    desk::{Desk, Heard},
    mailbox::Mailbox,
    native,
};
use crate::event_log::{AppendError, Header, NewRecord, Place, Record, partition_of};

/// Most bytes that wait to be acknowledged; a batch that is larger by itself goes alone.
const ROOM: u32 = 64 * 1_024 * 1_024;
/// What a record weighs at least, in bytes, so that small ones are bounded in number too.
const RECORD_WEIGHT_MIN: usize = 1_024;
/// How long the thread waits for reports before it looks whether it is to end.
const POLL_MAX: Duration = Duration::from_millis(100);
/// How long records that nobody waits for any more may go on when the log is closed.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// The writer of one topic.
#[derive(Debug)]
pub(super) struct Writer {
    topic: String,
    partitions: u32,
    config: ClientConfig,
    desk: Arc<Desk>,
    readers: Arc<Readers>,
    room: Arc<Semaphore>,
    line: Mutex<Line>,
}

/// Readers of this log at this node that take what was written here without waiting until the brokers give it back.
#[derive(Debug, Default)]
struct Readers(Mutex<Vec<Weak<Mailbox>>>);

/// A client, and the end of its thread.
struct Line {
    /// How many clients there were before it, all broken.
    number: u32,
    producer: Arc<BaseProducer<Reports>>,
    closed: Arc<AtomicBool>,
}

/// Takes the delivery reports.
struct Reports {
    told: Told,
    desk: Arc<Desk>,
    readers: Arc<Readers>,
    /// Where the records of this client came to stand, which can only rise.
    reported: Heard,
}

/// One record of a batch, as the report names it.
struct Slot {
    batch: Arc<Mutex<Handed>>,
    index: usize,
    key: Bytes,
    value: Bytes,
    headers: Vec<Header>,
}

/// A batch in the queue.
struct Handed {
    places: Vec<Option<Place>>,
    unreported: usize,
    failure: Option<Failure>,
    answer: Option<oneshot::Sender<Result<Vec<Place>, AppendError>>>,
    _room: OwnedSemaphorePermit,
}

/// What is known of the records that failed, taken together.
struct Failure {
    reason: String,
    /// None of them is in the log, nor will be.
    certain: bool,
    /// Trying again is useless.
    refused: bool,
}

impl Writer {
    pub(super) fn start(
        config: ClientConfig,
        topic: String,
        partitions: u32,
        desk: Arc<Desk>,
    ) -> Result<Self, KafkaError> {
        let readers = Arc::default();
        let line = Mutex::new(Line::start(0, &config, &desk, &readers)?);
        let room = Arc::new(Semaphore::new(ROOM as usize));
        Ok(Self { topic, partitions, config, desk, readers, room, line })
    }

    /// From now on the reader of this mailbox is told of each record as it is acknowledged, until it is gone.
    pub(super) fn tell(&self, mailbox: &Arc<Mailbox>) {
        let mut readers = self.readers.0.lock();
        readers.retain(|reader| reader.strong_count() > 0);
        readers.push(Arc::downgrade(mailbox));
    }

    /// How many clients broke for good and were replaced.
    #[cfg(test)]
    pub(super) fn replaced(&self) -> u32 {
        self.line.lock().number
    }

    /// Appends a batch that was checked. If the future is dropped while it waits for room, nothing is written.
    pub(super) async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        let unavailable = |reason: String| AppendError::Unavailable { reason };
        self.desk.check().map_err(|error| unavailable(error.to_string()))?;
        let deadline = Instant::now() + Duration::from_millis(APPEND_DEADLINE_MS);
        let room = Arc::clone(&self.room).acquire_many_owned(weight(&batch));
        let Ok(Ok(room)) = timeout_at(deadline, room).await else {
            return Err(unavailable("too much waits to be acknowledged by the brokers".to_owned()));
        };
        let answered = self.hand_over(batch, room).map_err(|error| unavailable(error.to_string()))?;
        match timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(AppendError::Unknown { reason: "the log is closed".to_owned() }),
            Err(_) => Err(AppendError::Unknown { reason: "the brokers do not acknowledge".to_owned() }),
        }
    }

    /// Puts a batch into the queue. On an error nothing of it is there.
    fn hand_over(
        &self,
        batch: Vec<NewRecord>,
        room: OwnedSemaphorePermit,
    ) -> Result<oneshot::Receiver<Result<Vec<Place>, AppendError>>, KafkaError> {
        let (answer, answered) = oneshot::channel();
        let handed = Arc::new(Mutex::new(Handed {
            places: vec![None; batch.len()],
            unreported: batch.len(),
            failure: None,
            answer: Some(answer),
            _room: room,
        }));
        let mut line = self.line.lock();
        if let Some((code, reason)) = line.producer.client().fatal_error() {
            tracing::warn!(%code, reason, "the kafka client that writes is broken and is replaced");
            *line = Line::start(line.number.saturating_add(1), &self.config, &self.desk, &self.readers)?;
        }
        for (index, record) in batch.into_iter().enumerate() {
            let partition = partition_of(&record.key, self.partitions);
            let native = native_headers(&record.headers);
            let NewRecord { key, value, headers } = record;
            let key = Bytes::copy_from_slice(key.as_str().as_bytes());
            let batch = Arc::clone(&handed);
            let slot = Slot { batch, index, key: key.clone(), value: value.clone(), headers };
            let outgoing = BaseRecord::with_opaque_to(&self.topic, Box::new(slot))
                .partition(partition.0.cast_signed())
                .key(&*key)
                .payload(&*value)
                .headers(native);
            if let Err((error, outgoing)) = line.producer.send(outgoing) {
                outgoing.delivery_opaque.report(Err(Failure::before_sending(&error)));
            }
        }
        Ok(answered)
    }
}

impl Line {
    fn start(
        number: u32,
        config: &ClientConfig,
        desk: &Arc<Desk>,
        readers: &Arc<Readers>,
    ) -> Result<Self, KafkaError> {
        let (desk, readers) = (Arc::clone(desk), Arc::clone(readers));
        let reported = Heard::nothing(desk.partitions());
        let reports = Reports { told: Told::of("writer"), desk, readers, reported };
        let producer = Arc::new(BaseProducer::from_config_and_context(config, reports)?);
        let closed = Arc::new(AtomicBool::new(false));
        let (ours, end) = (Arc::clone(&producer), Arc::clone(&closed));
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || poll(&ours, &end))
            .map_err(|error: io::Error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { number, producer, closed })
    }
}

/// Takes reports until the line is closed, and then those of what is still under way.
fn poll(producer: &BaseProducer<Reports>, closed: &AtomicBool) {
    while !closed.load(Ordering::Acquire) {
        producer.poll(POLL_MAX);
    }
    if let Err(error) = producer.flush(FLUSH_MAX) {
        tracing::warn!(%error, "records were still under way when the log was closed");
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // The thread holds the client too, and so it is the thread that waits for the client's end.
        self.closed.store(true, Ordering::Release);
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line")
            .field("number", &self.number)
            .field("under_way", &self.producer.in_flight_count())
            .finish_non_exhaustive()
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Slot>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, mut slot: Box<Slot>) {
        let outcome = match delivered {
            Ok(message) => place(message),
            Err((error, message)) => Err(Failure {
                reason: error.to_string(),
                certain: native::is_certainly_not_written(message),
                refused: is_refusal(error),
            }),
        };
        if let Ok(place) = &outcome {
            let position = place.offset.position();
            self.desk.heard().hear(place.partition, position);
            if self.reported.hear(place.partition, position) >= position {
                // So it is in a topic that was made anew.
                self.desk.suspect();
            } else {
                // Before the answer: who waits for it goes on to wait for the reader.
                self.readers.tell(place.partition, &slot.record(*place));
            }
        }
        slot.report(outcome);
    }
}

impl Readers {
    fn tell(&self, partition: Partition, record: &Record) {
        for reader in self.0.lock().iter().filter_map(Weak::upgrade) {
            reader.put_own(partition, record);
        }
    }
}

/// Where a record came to stand, as its report says.
fn place(message: &impl Message) -> Result<Place, Failure> {
    let partition = Partition(message.partition().cast_unsigned());
    let time = match message.timestamp() {
        KafkaTimestamp::LogAppendTime(ms) | KafkaTimestamp::CreateTime(ms) => {
            Some(Timestamp::from_millis(ms))
        }
        KafkaTimestamp::NotAvailable => None,
    };
    if let (Ok(offset), Some(recorded_at)) = (Offset::try_from(message.offset()), time) {
        return Ok(Place { partition, offset, recorded_at });
    }
    // A repetition of something so old that the broker does not know any more where it stands.
    let reason = "the broker took the record and does not say where it stands".to_owned();
    Err(Failure { reason, certain: false, refused: false })
}

impl Failure {
    fn before_sending(error: &KafkaError) -> Self {
        Self { reason: error.to_string(), certain: true, refused: is_refusal(error) }
    }

    /// What is known of two records that failed.
    fn and(self, other: &Self) -> Self {
        Self {
            reason: self.reason,
            certain: self.certain && other.certain,
            refused: self.refused && other.refused,
        }
    }
}

impl Slot {
    /// The record as readers see it.
    fn record(&mut self, place: Place) -> Record {
        Record {
            offset: place.offset,
            recorded_at: place.recorded_at,
            key: mem::take(&mut self.key),
            value: mem::take(&mut self.value),
            headers: mem::take(&mut self.headers).into(),
        }
    }

    fn report(self, outcome: Result<Place, Failure>) {
        let mut batch = self.batch.lock();
        match outcome {
            Ok(place) => {
                if let Some(slot) = batch.places.get_mut(self.index) {
                    *slot = Some(place);
                }
            }
            Err(failure) => {
                batch.failure = Some(match batch.failure.take() {
                    Some(known) => known.and(&failure),
                    None => failure,
                });
            }
        }
        batch.unreported = batch.unreported.saturating_sub(1);
        if batch.unreported == 0
            && let Some(answer) = batch.answer.take()
        {
            // Who went away does not want to know.
            let _ = answer.send(batch.verdict());
        }
    }
}

impl Handed {
    fn verdict(&mut self) -> Result<Vec<Place>, AppendError> {
        let places: Vec<Place> = self.places.iter().copied().flatten().collect();
        let Some(Failure { reason, certain, refused }) = self.failure.take() else { return Ok(places) };
        Err(match (places.is_empty() && certain, refused) {
            (true, true) => AppendError::Refused { reason },
            (true, false) => AppendError::Unavailable { reason },
            (false, _) => AppendError::Unknown { reason },
        })
    }
}

/// Whether the record itself is what the broker or the client does not take.
fn is_refusal(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{InvalidMessageSize, InvalidRecord, MessageSizeTooLarge};
    matches!(error.rdkafka_error_code(), Some(MessageSizeTooLarge | InvalidMessageSize | InvalidRecord))
}

fn native_headers(headers: &[Header]) -> OwnedHeaders {
    let none = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(none, |headers, header| {
        headers.insert(KafkaHeader { key: &header.name, value: Some(&*header.value) })
    })
}

/// How much room a batch takes, at most all there is.
fn weight(batch: &[NewRecord]) -> u32 {
    let header = |header: &Header| header.name.len() + header.value.len();
    let record = |record: &NewRecord| {
        let headers: usize = record.headers.iter().map(header).sum();
        (record.key.as_str().len() + record.value.len() + headers).max(RECORD_WEIGHT_MIN)
    };
    let weight: usize = batch.iter().map(record).sum();
    u32::try_from(weight).unwrap_or(ROOM).min(ROOM)
}
