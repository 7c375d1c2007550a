//! Where the log ends, and whether it is still the same: one thread asks the cluster for everybody.
//!
//! ```text
//!   tail(3) ─┐
//!   tail(7) ─┼─► one request per broker for all who wait; who comes meanwhile waits for the next one
//!   tail(3) ─┘   every `CHECK_INTERVAL`, and on suspicion: is the topic's id still the one that we opened?
//! ```
//!
//! Invariants: a tail was asked for after the call for it began, so it covers every append that was acknowledged before;
//! once the log is known to be another, nobody here gets an answer from it any more.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset as At, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
};
use schemas::{Partition, Position};
use tokio::sync::{oneshot, watch};

use super::{
    context::Told,
    native::{self, Described},
};
use crate::event_log::ReadError;

/// Most who wait for a tail at one time; more are turned away.
const ASKED_MAX: usize = 16_384;
/// How long the cluster may take to say where the log ends.
const TAIL_TIMEOUT: Duration = Duration::from_secs(2);
/// How often it is looked whether the topic is still the same.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The same on suspicion, at most.
const SUSPICION_PAUSE: Duration = Duration::from_millis(100);

/// The furthest positions of the partitions that this node has heard of. Told by all who hear something, so that a reader
/// that stands still while the log moves on can notice it.
#[derive(Debug)]
pub(super) struct Heard(Vec<AtomicU64>);

impl Heard {
    pub(super) fn nothing(partitions: u32) -> Self {
        Self((0..partitions).map(|_| AtomicU64::new(0)).collect())
    }

    /// The furthest heard so far.
    pub(super) fn of(&self, partition: Partition) -> Position {
        let number = self.0.get(partition.0 as usize).map_or(0, |heard| heard.load(Ordering::Relaxed));
        Position::new(number)
    }

    /// Hears of a position; gives back the furthest heard before.
    pub(super) fn hear(&self, partition: Partition, position: Position) -> Position {
        let heard = self.0.get(partition.0 as usize);
        Position::new(heard.map_or(0, |heard| heard.fetch_max(position.get(), Ordering::Relaxed)))
    }
}

/// The asking side.
#[derive(Debug)]
pub(super) struct Desk {
    asked: mpsc::SyncSender<Asked>,
    replaced: watch::Receiver<Option<ReadError>>,
    heard: Arc<Heard>,
}

enum Asked {
    Tail { partition: Partition, answer: oneshot::Sender<Result<Position, ReadError>> },
    Check,
}

impl Desk {
    /// Starts the thread, for the topic as it was described. It ends with the last handle.
    pub(super) fn start(consumer: BaseConsumer<Told>, topic: String, opened: Described) -> io::Result<Self> {
        let (asked, questions) = mpsc::sync_channel(ASKED_MAX);
        let (told, replaced) = watch::channel(None);
        let heard = Arc::new(Heard::nothing(opened.partitions));
        let clerk = Clerk { consumer, topic, opened, told, checked: Instant::now() };
        thread::Builder::new().name("log-desk".to_owned()).spawn(move || clerk.run(&questions))?;
        Ok(Self { asked, replaced, heard })
    }

    /// How many partitions the log has.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.heard.0.len()).unwrap_or(u32::MAX)
    }

    /// The furthest positions heard of.
    pub(super) fn heard(&self) -> &Arc<Heard> {
        &self.heard
    }

    /// Whether the log is still the one that was opened, as far as is known.
    ///
    /// # Errors
    /// [`ReadError::Replaced`].
    pub(super) fn check(&self) -> Result<(), ReadError> {
        self.replaced.borrow().clone().map_or(Ok(()), Err)
    }

    /// Resolves when the log is no longer the one that was opened.
    pub(super) async fn replaced(&self) -> ReadError {
        let mut replaced = self.replaced.clone();
        let seen = replaced.wait_for(Option::is_some).await.ok().and_then(|replaced| replaced.clone());
        match seen {
            Some(error) => error,
            // The thread is gone, and with it the only one who could tell.
            None => std::future::pending().await,
        }
    }

    /// Something looks as if the topic were another: have a look soon.
    pub(super) fn suspect(&self) {
        // If so much is asked, the next look is near.
        let _ = self.asked.try_send(Asked::Check);
    }

    /// Where a partition, which exists, ends now.
    pub(super) async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        self.check()?;
        let heard = self.heard.of(partition);
        let (answer, answered) = oneshot::channel();
        let unavailable = |reason: &str| ReadError::Unavailable { reason: reason.to_owned() };
        self.asked
            .try_send(Asked::Tail { partition, answer })
            .map_err(|_| unavailable("too many ask where the log ends"))?;
        let tail = answered.await.map_err(|_| unavailable("the log is closed"))??;
        self.heard.hear(partition, tail);
        if tail < heard {
            // What was heard of before this was asked is gone.
            self.suspect();
        }
        Ok(tail)
    }
}

/// The side of the thread.
struct Clerk {
    consumer: BaseConsumer<Told>,
    topic: String,
    opened: Described,
    told: watch::Sender<Option<ReadError>>,
    checked: Instant,
}

type Waiting = BTreeMap<Partition, Vec<oneshot::Sender<Result<Position, ReadError>>>>;

impl Clerk {
    fn run(mut self, questions: &mpsc::Receiver<Asked>) {
        loop {
            let first = match questions.recv_timeout(CHECK_INTERVAL.saturating_sub(self.checked.elapsed())) {
                Ok(first) => Some(first),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut waiting, mut suspicion) = (Waiting::new(), false);
            for asked in first.into_iter().chain(questions.try_iter().take(ASKED_MAX)) {
                match asked {
                    Asked::Tail { partition, answer } => waiting.entry(partition).or_default().push(answer),
                    Asked::Check => suspicion = true,
                }
            }
            if !waiting.is_empty() {
                self.answer(waiting);
            }
            let pause = if suspicion { SUSPICION_PAUSE } else { CHECK_INTERVAL };
            if self.checked.elapsed() >= pause {
                self.look();
            }
            // Nothing is assigned: this only brings what the client has to say.
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    fn answer(&self, waiting: Waiting) {
        let partitions = waiting.keys().copied();
        let tails = tails(&self.consumer, &self.topic, partitions, TAIL_TIMEOUT);
        for (partition, askers) in waiting {
            let tail = match &tails {
                Ok(tails) => {
                    tails.get(&partition).copied().ok_or("the log does not say where it ends".to_owned())
                }
                Err(error) => Err(error.to_string()),
            };
            for asker in askers {
                let tail = tail.clone().map_err(|reason| ReadError::Unavailable { reason });
                // Who went away does not want to know.
                let _ = asker.send(tail);
            }
        }
    }

    /// Looks whether the topic is still the one that was opened. That it cannot be seen now means nothing.
    fn look(&mut self) {
        self.checked = Instant::now();
        let found = native::describe(self.consumer.client(), &self.topic, TAIL_TIMEOUT);
        let Ok(found) = found else { return };
        if found != self.opened && self.told.borrow().is_none() {
            let error = ReadError::Replaced { reason: difference(&self.topic, &self.opened, &found) };
            tracing::error!(%error, "the log was replaced under this node");
            self.told.send_replace(Some(error));
        }
    }
}

fn difference(topic: &str, opened: &Described, found: &Described) -> String {
    if found.topic_id == opened.topic_id {
        let (now, then) = (found.partitions, opened.partitions);
        format!("the topic {topic} has {now} partitions now, and had {then}: conversations have moved")
    } else {
        format!("the topic {topic} is another one now: {}, not {}", found.topic_id, opened.topic_id)
    }
}

/// Where partitions end now, asked in one request per broker. Blocks. A partition whose leader does not answer is left
/// out.
pub(crate) fn tails<C: ConsumerContext>(
    consumer: &impl Consumer<C>,
    topic: &str,
    partitions: impl Iterator<Item = Partition>,
    timeout: Duration,
) -> Result<BTreeMap<Partition, Position>, KafkaError> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        // Asked "since when", the cluster answers "the end" with the end.
        list.add_partition_offset(topic, partition.0.cast_signed(), At::End)?;
    }
    let found = consumer.offsets_for_times(list, timeout)?;
    let tail = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        let At::Offset(tail) = element.offset() else { return None };
        element.error().ok()?;
        Some((Partition(element.partition().cast_unsigned()), Position::try_from(tail).ok()?))
    };
    Ok(found.elements().iter().filter_map(tail).collect())
}
