//! Where the log ends, and whether it is still the same: one thread each asks the cluster for everybody.
//!
//! ```text
//!   tail(3) ─┐
//!   tail(7) ─┼─► one request per broker for all who wait; who comes meanwhile waits for the next one
//!   tail(3) ─┘
//!   suspicion ─► or every `CHECK_INTERVAL`: is the topic's id still the one that we opened?
//! ```
//!
//! Where one broker does not answer, the others' partitions wait for it once; from then on its own are asked for after theirs, and for
//! less long.
//!
//! Invariants: a tail was asked for after the call for it began, so it covers every append that was acknowledged before;
//! once the log is known to be another, nobody here gets an answer from it any more.

use std::{
    collections::{BTreeMap, BTreeSet},
    io, iter,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use rdkafka::consumer::{BaseConsumer, Consumer};
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
/// The same for partitions of which it did not say when it was asked last.
const SILENT_TIMEOUT: Duration = Duration::from_millis(500);
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
    suspicion: mpsc::SyncSender<()>,
    replaced: watch::Receiver<Option<ReadError>>,
    heard: Arc<Heard>,
}

struct Asked {
    partition: Partition,
    answer: oneshot::Sender<Result<Position, ReadError>>,
}

impl Desk {
    /// Starts the threads, for the topic as it was described. They end with the last handle.
    pub(super) fn start(consumer: BaseConsumer<Told>, topic: String, opened: Described) -> io::Result<Self> {
        let (asked, questions) = mpsc::sync_channel(ASKED_MAX);
        let (suspicion, suspicions) = mpsc::sync_channel(1);
        let (told, replaced) = watch::channel(None);
        let heard = Arc::new(Heard::nothing(opened.partitions));
        let consumer = Arc::new(consumer);
        let clerk = Clerk { consumer: Arc::clone(&consumer), topic: topic.clone(), silent: BTreeSet::new() };
        let guard = Guard { consumer, topic, opened, told };
        thread::Builder::new().name("log-desk".to_owned()).spawn(move || clerk.run(&questions))?;
        thread::Builder::new().name("log-guard".to_owned()).spawn(move || guard.run(&suspicions))?;
        Ok(Self { asked, suspicion, replaced, heard })
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
        // If there is a suspicion already, the next look is near.
        let _ = self.suspicion.try_send(());
    }

    /// Where a partition, which exists, ends now.
    pub(super) async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        self.check()?;
        let heard = self.heard.of(partition);
        let (answer, answered) = oneshot::channel();
        let unavailable = |reason: &str| ReadError::Unavailable { reason: reason.to_owned() };
        self.asked
            .try_send(Asked { partition, answer })
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

/// Says where the log ends.
struct Clerk {
    consumer: Arc<BaseConsumer<Told>>,
    topic: String,
    /// Of these nobody said where they end when that was asked last.
    silent: BTreeSet<Partition>,
}

/// Looks whether it is still the same.
struct Guard {
    consumer: Arc<BaseConsumer<Told>>,
    topic: String,
    opened: Described,
    told: watch::Sender<Option<ReadError>>,
}

type Waiting = BTreeMap<Partition, Vec<oneshot::Sender<Result<Position, ReadError>>>>;

impl Clerk {
    fn run(mut self, questions: &mpsc::Receiver<Asked>) {
        while let Ok(first) = questions.recv() {
            let mut waiting = Waiting::new();
            for Asked { partition, answer } in iter::once(first).chain(questions.try_iter().take(ASKED_MAX)) {
                waiting.entry(partition).or_default().push(answer);
            }
            self.answer(waiting);
        }
    }

    fn answer(&mut self, waiting: Waiting) {
        let (mut silent, others): (Waiting, Waiting) =
            waiting.into_iter().partition(|(partition, _)| self.silent.contains(partition));
        // A connection that breaks fails what was asked over it: that is asked once more.
        silent.extend(self.ask(others, TAIL_TIMEOUT).0);
        let (unanswered, reason) = self.ask(silent, SILENT_TIMEOUT);
        for (partition, askers) in unanswered {
            self.silent.insert(partition);
            for asker in askers {
                // Who went away does not want to know.
                let _ = asker.send(Err(ReadError::Unavailable { reason: reason.clone() }));
            }
        }
    }

    /// Tells those who wait; gives back those of whose partitions nobody said where they end, and why not.
    fn ask(&mut self, waiting: Waiting, timeout: Duration) -> (Waiting, String) {
        if waiting.is_empty() {
            return Default::default();
        }
        let tails = native::tails(self.consumer.client(), &self.topic, waiting.keys().copied(), timeout);
        let reason = match &tails {
            Ok(_) => "its leader does not say where it ends".to_owned(),
            Err(code) => code.to_string(),
        };
        let tails = tails.unwrap_or_default();
        let mut unanswered = Waiting::new();
        for (partition, askers) in waiting {
            let Some(tail) = tails.get(&partition) else {
                unanswered.insert(partition, askers);
                continue;
            };
            self.silent.remove(&partition);
            for asker in askers {
                let _ = asker.send(Ok(*tail));
            }
        }
        (unanswered, reason)
    }
}

impl Guard {
    fn run(self, suspicions: &mpsc::Receiver<()>) {
        let mut looked = Instant::now();
        loop {
            match suspicions.recv_timeout(CHECK_INTERVAL.saturating_sub(looked.elapsed())) {
                Ok(()) if looked.elapsed() < SUSPICION_PAUSE => continue,
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.look();
            looked = Instant::now();
            // Nothing is assigned: this only brings what the client has to say.
            let _ = self.consumer.poll(Duration::ZERO);
        }
    }

    /// Looks whether the topic is still the one that was opened. That it cannot be seen now means nothing.
    fn look(&self) {
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
