//! The thread that writes: it takes all that waits, writes it in one transaction, then answers.
//!
//! There is no lingering: a lone append is committed at once, and while one commit waits for the disk the
//! next group gathers by itself.
//!
//! Invariant: `heads` is what the last commit left, or it is unknown and read anew before the next
//! group. So a failed commit costs the records of its group and nothing else.
//!
//! A batch whose caller is gone when its turn comes is not written: so the time that a record gets lies within the
//! wait of its caller, and how long an append may take is bounded by how long callers wait.

use std::{
    io, mem,
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use schemas::{Partition, Position, Timestamp};
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    recent::Recent,
    schema::{self, Head},
};
use crate::{
    clock::Clock,
    event_log::{AppendError, NewRecord, Place, ReadError, partition_of},
    sqlite::Folding,
};

/// Most jobs that wait; who comes later waits for a place in the queue.
const QUEUE_LEN: usize = 1_024;
/// A group that has reached one of these is closed; so it exceeds it by less than one batch.
const GROUP_RECORDS_MAX: usize = 4_096;
/// See [`GROUP_RECORDS_MAX`]; in bytes of values.
const GROUP_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Why nobody answers.
const GONE: &str = "the log's writer has ended";

type Answer<T, E> = oneshot::Sender<Result<T, E>>;

/// Hands work to the thread. Dropping it waits until the thread is done with all that was handed over.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Job {
    Append {
        batch: Vec<NewRecord>,
        answer: Answer<Vec<Place>, AppendError>,
    },
    Checkpoint {
        group: &'static str,
        partition: Partition,
        position: Position,
        answer: Answer<(), ReadError>,
    },
}

impl Writer {
    /// Starts the thread on a connection that may write, and where the partitions end in it.
    pub(super) fn start(
        connection: Connection,
        folding: Folding,
        heads: Vec<Head>,
        published: Published,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_LEN);
        let partitions = u32::try_from(heads.len()).unwrap_or(u32::MAX);
        let work = Work { connection, folding, heads: Some(heads), partitions, published, clock };
        let thread = Builder::new().name("log-writer".to_owned()).spawn(move || work.run(jobs))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Appends a batch that was checked; resolves after the commit.
    pub(super) async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        let (answer, answered) = oneshot::channel();
        if !self.hand_over(Job::Append { batch, answer }).await {
            return Err(AppendError::Unavailable { reason: GONE.to_owned() });
        }
        let lost = |_| Err(AppendError::Unknown { reason: GONE.to_owned() });
        answered.await.unwrap_or_else(lost)
    }

    /// Moves a checkpoint; resolves after the commit.
    pub(super) async fn set_checkpoint(
        &self,
        group: &'static str,
        partition: Partition,
        position: Position,
    ) -> Result<(), ReadError> {
        let gone = || ReadError::Unavailable { reason: GONE.to_owned() };
        let (answer, answered) = oneshot::channel();
        if !self.hand_over(Job::Checkpoint { group, partition, position, answer }).await {
            return Err(gone());
        }
        answered.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn hand_over(&self, job: Job) -> bool {
        match &self.queue {
            Some(queue) => queue.send(job).await.is_ok(),
            None => false,
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the log's writer thread panicked");
        }
    }
}

/// What the thread works with.
struct Work {
    connection: Connection,
    folding: Folding,
    /// `None` after a failure, until they are read again.
    heads: Option<Vec<Head>>,
    partitions: u32,
    published: Published,
    clock: Arc<dyn Clock>,
}

/// Where readers find what was committed.
pub(super) struct Published {
    pub(super) recent: Arc<Recent>,
    pub(super) tails: Arc<watch::Sender<Vec<Position>>>,
}

/// What a committed group left: where each job's records stand, and where the partitions end now.
struct Committed {
    places: Vec<Vec<Place>>,
    heads: Vec<Head>,
}

/// Why a group failed, and so how much is known of what became of it.
enum Failure {
    /// Before the commit: nothing of it is in the log.
    Before(rusqlite::Error),
    /// In the commit: if the machine stops now, it may be found whole afterwards.
    Within(rusqlite::Error),
}

impl Work {
    /// Works until nobody can hand over anything more, and the queue is empty.
    fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let group = gather(first, &mut jobs);
            match self.commit(&group) {
                Ok(committed) => self.succeed(group, committed),
                Err(failure) => group.into_iter().for_each(|job| job.fail(&failure)),
            }
            // After the answers: nobody waits for it but the next group.
            self.folding.fold_if_long(&self.connection);
        }
    }

    /// Writes a group and commits it.
    fn commit(&mut self, group: &[Job]) -> Result<Committed, Failure> {
        // Taken out: only a commit that succeeds puts them back.
        let mut heads = match self.heads.take() {
            Some(heads) => heads,
            None => schema::heads(&self.connection, self.partitions).map_err(Failure::Before)?,
        };
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(Failure::Before)?;
        // Not before: beginning may have had to wait. And before it is seen whose callers still wait.
        let now = self.clock.now();
        let places = group.iter().map(|job| job.write(&transaction, &mut heads, now));
        let places = places.collect::<Result<_, _>>().map_err(Failure::Before)?;
        transaction.commit().map_err(Failure::Within)?;
        Ok(Committed { places, heads })
    }

    /// Tells the readers, then the callers: who was answered finds the tail where it should be.
    fn succeed(&mut self, mut group: Vec<Job>, Committed { places, heads }: Committed) {
        let Published { recent, tails } = &self.published;
        for (record, place) in group.iter_mut().zip(&places).flat_map(|(job, places)| job.take(places)) {
            recent.keep(place.partition, record.at(place.offset, place.recorded_at));
        }
        tails.send_if_modified(|tails| {
            let moved = tails.iter().zip(&heads).any(|(tail, head)| *tail != head.tail);
            *tails = heads.iter().map(|head| head.tail).collect();
            moved
        });
        self.heads = Some(heads);
        for (job, places) in group.into_iter().zip(places) {
            job.succeed(places);
        }
    }
}

impl Job {
    /// Writes the job, unless its caller is gone; `heads` move with the records.
    fn write(
        &self,
        transaction: &Transaction<'_>,
        heads: &mut [Head],
        now: Timestamp,
    ) -> rusqlite::Result<Vec<Place>> {
        match self {
            Self::Append { answer, .. } if answer.is_closed() => Ok(Vec::new()),
            Self::Append { batch, .. } => {
                let partitions = u32::try_from(heads.len()).unwrap_or(u32::MAX);
                let mut add = |record: &NewRecord| {
                    let partition = partition_of(&record.key, partitions);
                    let head = heads.get_mut(partition.0 as usize);
                    let head = head.ok_or(rusqlite::Error::InvalidQuery)?;
                    let place = head.take(partition, now);
                    schema::add(transaction, place, record)?;
                    Ok(place)
                };
                batch.iter().map(&mut add).collect()
            }
            Self::Checkpoint { group, partition, position, .. } => {
                schema::set_checkpoint(transaction, group, *partition, *position)?;
                Ok(Vec::new())
            }
        }
    }

    /// Its records that were written, and where.
    fn take<'a>(&mut self, places: &'a [Place]) -> impl Iterator<Item = (NewRecord, &'a Place)> {
        let batch = match self {
            // One that was not written has no places.
            Self::Append { batch, .. } => mem::take(batch),
            Self::Checkpoint { .. } => Vec::new(),
        };
        batch.into_iter().zip(places)
    }

    fn succeed(self, places: Vec<Place>) {
        // Who went away does not want to know.
        match self {
            Self::Append { answer, .. } => drop(answer.send(Ok(places))),
            Self::Checkpoint { answer, .. } => drop(answer.send(Ok(()))),
        }
    }

    fn fail(self, failure: &Failure) {
        let (Failure::Before(error) | Failure::Within(error)) = failure;
        let reason = error.to_string();
        match (self, failure) {
            (Self::Append { answer, .. }, Failure::Before(_)) => {
                drop(answer.send(Err(AppendError::Unavailable { reason })));
            }
            (Self::Append { answer, .. }, Failure::Within(_)) => {
                drop(answer.send(Err(AppendError::Unknown { reason })));
            }
            (Self::Checkpoint { answer, .. }, _) => {
                drop(answer.send(Err(ReadError::Unavailable { reason })));
            }
        }
    }

    /// How many records it has, and how many bytes they hold.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Append { batch, .. } => (batch.len(), batch.iter().map(|record| record.value.len()).sum()),
            Self::Checkpoint { .. } => (1, 0),
        }
    }
}

/// The first job and all that waits behind it, up to the size of a group.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let (mut records, mut bytes) = first.size();
    let mut group = vec![first];
    while records < GROUP_RECORDS_MAX
        && bytes < GROUP_BYTES_MAX
        && let Ok(job) = jobs.try_recv()
    {
        let size = job.size();
        (records, bytes) = (records + size.0, bytes + size.1);
        group.push(job);
    }
    group
}
