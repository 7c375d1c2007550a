//! Reading a stretch of a partition: a few consumers, used again and again.
//!
//! Invariants:
//! - nothing is asked of the brokers that is known to be empty, and nothing waited for that may never come: a stretch
//!   ends at the tail, and the end of a partition is told by the broker;
//! - positions without a record (marks of somebody's transactions) are passed over, but only when the broker has shown
//!   that it knows of all before `up_to`: a leader that lags right after an election does not make records vanish.
//!
//! A consumer that stopped within the partition stays where it is for a moment, because the next page is likely to be asked
//! for; what it fetches ahead meanwhile is bounded by its settings.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rdkafka::{
    ClientConfig, Offset as At, TopicPartitionList,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::{Partition, Position};
use tokio::{sync::Semaphore, task::spawn_blocking, time::sleep};

use super::{context::Told, record, unavailable};
use crate::event_log::{ReadError, Record};

/// Most reads at the same time; more wait for their turn.
const READS_MAX: usize = 4;
/// Most bytes of one read: what is over comes with the next.
const READ_SIZE_MAX: usize = 8 * 1_024 * 1_024;
/// How long a consumer stays where it stopped, for the next page to be asked for.
const KEPT_FOR: Duration = Duration::from_millis(200);
/// How long one read may take.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// The consumers.
#[derive(Debug)]
pub(super) struct Pool {
    config: ClientConfig,
    topic: String,
    turns: Arc<Semaphore>,
    idle: Mutex<Vec<Lens>>,
}

/// One stretch to be read; `limit` is at least 1, and all before `up_to` was in the log when this was asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) partition: Partition,
    pub(super) from: Position,
    pub(super) up_to: Position,
    pub(super) limit: usize,
}

/// One consumer.
struct Lens {
    consumer: BaseConsumer<Told>,
    /// What it would read next.
    at: Option<(Partition, Position)>,
}

impl Pool {
    /// A pool for a topic; `config` is to report the end of a partition.
    pub(super) fn new(config: ClientConfig, topic: String) -> Self {
        let turns = Arc::new(Semaphore::new(READS_MAX));
        Self { config, topic, turns, idle: Mutex::new(Vec::new()) }
    }

    /// Reads a stretch, at most [`READ_SIZE_MAX`] bytes of it, but at least one record if there is one.
    pub(super) async fn read(self: Arc<Self>, stretch: Stretch) -> Result<Vec<Record>, ReadError> {
        let unavailable = |reason: String| ReadError::Unavailable { reason };
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|error| unavailable(error.to_string()))?;
        let read = spawn_blocking(move || {
            let mut lens = self.take(stretch)?;
            let records = lens.read(&self.topic, stretch)?;
            let kept = lens.at;
            self.idle.lock().push(lens);
            drop(turn);
            Ok((records, kept, self))
        });
        let (records, kept, pool) = read.await.unwrap_or_else(|error| Err(unavailable(error.to_string())))?;
        if let Some(at) = kept {
            // In a task of its own: nobody waits for it, and it ends by itself.
            tokio::spawn(async move {
                sleep(KEPT_FOR).await;
                let _ = spawn_blocking(move || pool.rest(at)).await;
            });
        }
        Ok(records)
    }

    /// Lets a consumer look away that nobody came back to.
    fn rest(&self, at: (Partition, Position)) {
        let mut idle = self.idle.lock();
        let Some(there) = idle.iter().position(|lens| lens.at == Some(at)) else { return };
        let mut lens = idle.swap_remove(there);
        drop(idle);
        if lens.rest().is_ok() {
            self.idle.lock().push(lens);
        }
    }

    /// The consumer that is there already, else any, else a new one. One that fails is not given back.
    fn take(&self, stretch: Stretch) -> Result<Lens, ReadError> {
        let mut idle = self.idle.lock();
        let there = idle.iter().position(|lens| lens.at == Some((stretch.partition, stretch.from)));
        let idle = match there {
            Some(there) => Some(idle.swap_remove(there)),
            None => idle.pop(),
        };
        idle.map_or_else(|| Lens::new(&self.config), Ok)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(self.idle.get_mut());
        super::drop_elsewhere(idle);
    }
}

impl std::fmt::Debug for Lens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lens").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Lens {
    fn new(config: &ClientConfig) -> Result<Self, ReadError> {
        let consumer =
            BaseConsumer::from_config_and_context(config, Told::of("lookup")).map_err(unavailable)?;
        Ok(Self { consumer, at: None })
    }

    /// Turns to a place.
    fn turn(&mut self, topic: &str, partition: Partition, position: Position) -> Result<(), ReadError> {
        let mut list = TopicPartitionList::new();
        let at = At::Offset(position.into());
        list.add_partition_offset(topic, partition.0.cast_signed(), at).map_err(unavailable)?;
        self.consumer.assign(&list).map_err(unavailable)?;
        self.settle()?;
        self.at = Some((partition, position));
        Ok(())
    }

    /// Looks away, so that nothing is fetched any more.
    fn rest(&mut self) -> Result<(), ReadError> {
        self.at = None;
        self.consumer.unassign().map_err(unavailable)?;
        self.settle()
    }

    /// Waits until the client has done what a change of its assignment led to.
    ///
    /// A second change that comes before the first has stopped its partition makes librdkafka stop it twice, and an assertion ends
    /// the process (its issue 5573; 2.15 still has it). The client's thread does one thing after the other: the stop comes before the
    /// first question, and its report, at the latest, before the second.
    fn settle(&self) -> Result<(), ReadError> {
        for _ in 0..2 {
            self.consumer.assignment().map_err(unavailable)?;
        }
        Ok(())
    }

    /// Blocks until the stretch is read.
    fn read(&mut self, topic: &str, stretch: Stretch) -> Result<Vec<Record>, ReadError> {
        let deadline = Instant::now() + READ_TIMEOUT;
        let mut reading =
            Reading { stretch, next: stretch.from, records: Vec::new(), size: 0, complete: false };
        if self.at != Some((stretch.partition, stretch.from)) {
            self.turn(topic, stretch.partition, stretch.from)?;
        }
        let mut trouble = "the brokers do not answer".to_owned();
        while !reading.is_done() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // With what is there somebody can go on.
                let none = reading.records.is_empty();
                self.rest()?;
                return if none {
                    Err(ReadError::Unavailable { reason: trouble })
                } else {
                    Ok(reading.records)
                };
            }
            match self.consumer.poll(left) {
                None => {}
                Some(Ok(message)) => reading.take(record::partition(&message), || record::record(&message)),
                Some(Err(KafkaError::PartitionEOF(at))) if at.cast_unsigned() == stretch.partition.0 => {
                    if reading.complete {
                        // It showed all it has, and it has all there was.
                        break;
                    }
                    let (_, high) = self.extent(topic, stretch.partition, left)?;
                    if high < stretch.up_to {
                        return Err(ReadError::Unavailable { reason: format!("the log ends at {high} now") });
                    }
                    reading.complete = true;
                    self.turn(topic, stretch.partition, reading.next)?;
                }
                Some(Err(error)) if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) => {
                    // Retention took what lay there, or the log is another.
                    let (low, _) = self.extent(topic, stretch.partition, left)?;
                    if low <= reading.next {
                        return Err(ReadError::Unavailable { reason: error.to_string() });
                    }
                    reading.next = low;
                    self.turn(topic, stretch.partition, low)?;
                }
                Some(Err(error)) => trouble = error.to_string(),
            }
        }
        if reading.next < stretch.up_to && !reading.complete {
            self.at = Some((stretch.partition, reading.next));
        } else {
            self.rest()?;
        }
        Ok(reading.records)
    }

    /// From where to where the partition goes now.
    fn extent(
        &self,
        topic: &str,
        partition: Partition,
        timeout: Duration,
    ) -> Result<(Position, Position), ReadError> {
        let found = self.consumer.fetch_watermarks(topic, partition.0.cast_signed(), timeout);
        let (low, high) = found.map_err(unavailable)?;
        let position = |number: i64| Position::try_from(number).unwrap_or_default();
        Ok((position(low), position(high)))
    }
}

/// What was read so far.
struct Reading {
    stretch: Stretch,
    next: Position,
    records: Vec<Record>,
    size: usize,
    /// The broker knows of all before the end of the stretch.
    complete: bool,
}

impl Reading {
    fn is_done(&self) -> bool {
        self.next >= self.stretch.up_to
            || self.records.len() >= self.stretch.limit
            || self.size >= READ_SIZE_MAX
    }

    /// Takes a record, if it is the next.
    fn take(&mut self, partition: Partition, record: impl FnOnce() -> Record) {
        if partition != self.stretch.partition {
            return;
        }
        let record = record();
        if self.next.covers(record.offset) {
            return;
        }
        self.next = record.offset.position();
        if !self.stretch.up_to.covers(record.offset) {
            return;
        }
        self.size += record::size(&record);
        self.records.push(record);
    }
}
