//! The projector: follows the log as a reader of the group `tidings-store` and brings what it reads into the history.
//!
//! ```text
//!   deliveries -> fold -> rows durable in the history -> next deliveries
//!                                    └── once a while: checkpoint committed
//! ```
//!
//! What is there goes in one round, one batch with records of several partitions. A round begins at once after a quiet time or if enough is
//! there, but not right behind another: records that come in share the cost of a round, which is nearly the same for one and for hundreds.
//!
//! Invariant: the checkpoint is never ahead of the rows. The history's own progress says where to go on; the
//! checkpoint only says where reading starts. So a history that was wiped is filled again from the log, and a
//! delivery that comes twice changes nothing.

use std::{collections::HashMap, future::pending, time::Duration};

use kernel::{
    event_log::{BATCH_LEN_MAX, Delivery, EventReader, ReadError, Readership, Record, SharedLog},
    history::SharedHistory,
};
use schemas::{Partition, Position};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};

use crate::{fold::ProjectError, folds::Folds};

/// The consumer group of all projectors of one history.
pub const GROUP: &str = "tidings-store";
/// How long to wait after the first failure; twice as long after each further one.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest wait between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Most partitions that are brought in at the same time.
const TOGETHER_MAX: usize = 8;
/// Most records of one partition in a round; a single delivery may have more. So many, of however many partitions, wait for no more.
const ROUND_LEN_MAX: usize = 4 * BATCH_LEN_MAX;
/// From the beginning of a round to that of the next: at least, at most, and as many times as long as the round took, so that
/// rounds keep the servers of the history busy for a small part of the time, however slow they are.
const ROUND_INTERVAL: Duration = Duration::from_millis(50);
const ROUND_INTERVAL_MAX: Duration = Duration::from_millis(250);
const ROUND_SHARE: u32 = 20;
/// From when a checkpoint could be committed until it is. One that is behind costs a restart that much reading.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);

/// Brings the log into the history, as long as it runs.
#[derive(Debug)]
pub struct Projector {
    log: SharedLog,
    reader: Option<Box<dyn EventReader>>,
    /// The partitions that are ours.
    folds: Folds,
    /// Their checkpoints.
    committed: HashMap<Partition, Position>,
    /// What was delivered and is not done: one delivery, or records of several partitions, of each one delivery.
    at_hand: Vec<Delivery>,
    /// What came next and has to wait until that is done.
    next: Option<Delivery>,
    /// When the next round may begin.
    round: Instant,
    /// When checkpoints are to be committed; `None`: they are where the rows are.
    commit: Option<Instant>,
    stop: watch::Receiver<bool>,
}

/// What there is to do.
enum Task {
    /// This was delivered.
    Delivery(Delivery),
    /// Checkpoints are due.
    Commit,
    /// It was stopped.
    Stop,
}

/// Holds a running projector. Dropping it ends the projector at once; what is at hand is done again next time.
#[derive(Debug)]
pub struct ProjectorHandle {
    stop: watch::Sender<bool>,
    failure: watch::Receiver<Option<ProjectError>>,
    task: JoinHandle<()>,
}

impl Projector {
    /// Starts one. It waits by itself until log and history can be used.
    pub fn start(log: SharedLog, history: SharedHistory) -> ProjectorHandle {
        let (stop, stopped) = watch::channel(false);
        let (failed, failure) = watch::channel(None);
        let projector = Self {
            folds: Folds::new(SharedLog::clone(&log), history),
            log,
            reader: None,
            committed: HashMap::new(),
            at_hand: Vec::new(),
            next: None,
            round: Instant::now(),
            commit: None,
            stop: stopped,
        };
        let task = tokio::spawn(async move {
            if let Err(error) = projector.run().await {
                tracing::error!(%error, "the history is not kept up to date any more");
                failed.send_replace(Some(error));
            }
        });
        ProjectorHandle { stop, failure, task }
    }

    /// Goes on until it is stopped, or something fails that trying again does not help.
    async fn run(mut self) -> Result<(), ProjectError> {
        let (mut failures, mut told) = (0, String::new());
        loop {
            match self.step().await {
                Ok(true) => break,
                Ok(false) if failures > 0 => {
                    tracing::info!(failures, "the history is kept up to date again");
                    (failures, told) = (0, String::new());
                }
                Ok(false) => {}
                Err(error) if !error.retryable() => return Err(error),
                Err(error) => {
                    // Once for each reason, not for each try.
                    let reason = error.to_string();
                    if reason != told {
                        tracing::error!(reason, "the history cannot be kept up to date now; trying again");
                        told = reason;
                    }
                    let pause = PAUSE_MIN.saturating_mul(1 << failures.min(16)).min(PAUSE_MAX);
                    failures += 1;
                    tokio::select! { () = stopped(&mut self.stop) => break, () = sleep(pause) => {} }
                }
            }
        }
        self.commit_all().await
    }

    /// Does what is at hand, or waits for something to do. `true`: it was stopped and nothing is at hand. After a
    /// retryable error the next step tries the same again.
    async fn step(&mut self) -> Result<bool, ProjectError> {
        if self.at_hand.is_empty() {
            match self.receive().await? {
                Task::Delivery(delivery) => self.at_hand.push(delivery),
                Task::Commit => {
                    self.commit_all().await?;
                    return Ok(false);
                }
                Task::Stop => return Ok(true),
            }
            if matches!(self.at_hand.first(), Some(Delivery::Records { .. })) {
                self.gather().await?;
            }
        }
        match self.at_hand.first() {
            Some(Delivery::Assigned { partition, from }) => {
                let (partition, from) = (*partition, *from);
                self.begin(partition, from).await?;
            }
            Some(Delivery::Revoked { partition }) => {
                self.folds.end(*partition);
                self.committed.remove(partition);
            }
            Some(Delivery::Records { .. }) => self.take().await?,
            None => {}
        }
        self.at_hand.clear();
        Ok(false)
    }

    /// Adds to the records at hand what else comes until they may be brought in, unless it is stopped.
    async fn gather(&mut self) -> Result<(), ReadError> {
        let Some(reader) = &mut self.reader else { return Ok(()) };
        while self.next.is_none() && len(&self.at_hand) < ROUND_LEN_MAX {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => break,
                delivery = reader.next() => self.next = join(&mut self.at_hand, delivery?),
                () = sleep_until(self.round) => break,
            }
        }
        Ok(())
    }

    /// Brings the records at hand into the history.
    async fn take(&mut self) -> Result<(), ProjectError> {
        let begun = Instant::now();
        let records = self.at_hand.iter().filter_map(records_of).collect();
        let outcome = self.folds.take(&records).await;
        self.round = begun + interval(begun.elapsed());
        self.commit.get_or_insert_with(|| Instant::now() + COMMIT_INTERVAL);
        outcome
    }

    /// What comes next.
    async fn receive(&mut self) -> Result<Task, ReadError> {
        if *self.stop.borrow() {
            return Ok(Task::Stop);
        }
        if self.commit.is_some_and(|due| due <= Instant::now()) {
            return Ok(Task::Commit);
        }
        if let Some(next) = self.next.take() {
            return Ok(Task::Delivery(next));
        }
        let due = async {
            match self.commit {
                Some(due) => sleep_until(due).await,
                None => pending().await,
            }
        };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.log.open(Readership::Group(GROUP)).await?),
        };
        tokio::select! {
            biased;
            () = stopped(&mut self.stop) => Ok(Task::Stop),
            () = due => Ok(Task::Commit),
            delivery = reader.next() => delivery.map(Task::Delivery),
        }
    }

    /// Takes a partition over. What lies between the history's place and the checkpoint is read from the log: there is
    /// such a stretch if the history was wiped since.
    async fn begin(&mut self, partition: Partition, from: Position) -> Result<(), ProjectError> {
        if !self.committed.contains_key(&partition) {
            let place = self.folds.begin(partition).await?;
            if place < from {
                tracing::info!(%partition, %place, to = %from, "filling the history from the log");
            }
            self.committed.insert(partition, from);
        }
        self.folds.bridge(partition, from, |_| ()).await?;
        self.commit(partition).await.map(drop)
    }

    /// Moves all checkpoints to where the rows are, up to the first that the log does not take now: it would not take the others either, and
    /// each takes its time to fail.
    async fn commit_all(&mut self) -> Result<(), ProjectError> {
        self.commit = None;
        let partitions: Vec<_> = self.committed.keys().copied().collect();
        for partition in partitions {
            if !self.commit(partition).await? {
                break;
            }
        }
        Ok(())
    }

    /// Moves the checkpoint to where the rows are; `false`: not now.
    async fn commit(&mut self, partition: Partition) -> Result<bool, ProjectError> {
        let place = self.folds.place(partition);
        let (Some(place), Some(committed), Some(reader)) =
            (place, self.committed.get_mut(&partition), &mut self.reader)
        else {
            return Ok(true);
        };
        if place <= *committed {
            return Ok(true);
        }
        match reader.commit(partition, place).await {
            Ok(()) => {
                *committed = place;
                Ok(true)
            }
            Err(error) if error.retryable() => {
                // Nothing is lost: the next commit covers this one, and what is read again changes nothing.
                tracing::warn!(%partition, %error, "a checkpoint was not committed");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// How long from the beginning of a round, which took so long, to that of the next.
fn interval(took: Duration) -> Duration {
    (took * ROUND_SHARE).clamp(ROUND_INTERVAL, ROUND_INTERVAL_MAX)
}

/// Resolves when it was stopped, or nobody can stop it any more.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Adds a delivery to records that go in one round; gives it back if it has to wait for the next.
fn join(round: &mut Vec<Delivery>, delivery: Delivery) -> Option<Delivery> {
    let Delivery::Records { partition, records } = delivery else { return Some(delivery) };
    let full = round.len() >= TOGETHER_MAX;
    let known = round.iter_mut().find_map(|known| match known {
        Delivery::Records { partition: of, records } if *of == partition => Some(records),
        _ => None,
    });
    match known {
        Some(known) if known.len() + records.len() <= ROUND_LEN_MAX => known.extend(records),
        None if !full => round.push(Delivery::Records { partition, records }),
        _ => return Some(Delivery::Records { partition, records }),
    }
    None
}

/// How many records there are.
fn len(deliveries: &[Delivery]) -> usize {
    deliveries.iter().filter_map(records_of).map(|(_, records)| records.len()).sum()
}

fn records_of(delivery: &Delivery) -> Option<(Partition, &[Record])> {
    match delivery {
        Delivery::Records { partition, records } => Some((*partition, records)),
        Delivery::Assigned { .. } | Delivery::Revoked { .. } => None,
    }
}

impl ProjectorHandle {
    /// Ends the projector when the batch at hand is done, or at once if log or history do not take part now.
    ///
    /// # Errors
    /// What had ended it before.
    pub async fn stop(mut self) -> Result<(), ProjectError> {
        self.stop.send_replace(true);
        let ended = (&mut self.task).await;
        let failure = self.failure.borrow().clone();
        failure.map_or(ended.map_err(|_| ProjectError::Panicked), Err)
    }

    /// Tells why the projector cannot go on, once it cannot.
    pub fn failure(&self) -> watch::Receiver<Option<ProjectError>> {
        self.failure.clone()
    }

    /// Resolves when the projector cannot go on, with the reason. Dropping the future loses nothing.
    pub async fn failed(&self) -> ProjectError {
        let mut failure = self.failure.clone();
        let failure = failure.wait_for(Option::is_some).await.map(|failure| failure.clone());
        // It ends without a reason only if it was stopped, and then nobody has this handle.
        failure.ok().flatten().unwrap_or(ProjectError::Panicked)
    }
}

impl Drop for ProjectorHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests;
