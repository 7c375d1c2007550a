//! The log in one file: for a single machine, with no server to install.
//!
//! ```text
//!   append ──► bounded queue ──► writer thread: one transaction, one fsync, for all that waits
//!                                   │ committed
//!                                   ├─► recent records, in memory
//!                                   ├─► tails (watch) ──► readers wake, and read those, or older ones through a pool
//!                                   └─► answers to the callers
//! ```
//!
//! Invariants:
//! - nobody is answered and no tail moves before `COMMIT` has returned, and that includes the fsync (write-ahead
//!   log, `synchronous=FULL`);
//! - the offsets of a partition have no holes, whatever failed in between;
//! - one process has the file: it holds a lock on `<file>.lock`, which is freed however the process ends.
//!
//! Beside the file stand its `-wal` and `-shm`, which are part of it. There is no retention: records stay
//! until the file is deleted.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rusqlite::Connection;
use schemas::{Epoch, Partition, Position};
use tokio::sync::watch;

use self::{
    recent::{Bounds, Recent},
    schema::Meta,
    writer::{Published, Writer},
};
use super::{
    AppendError, BATCH_LEN_MAX, EventLog, EventReader, NewRecord, Place, ReadError, Readership, Record,
    check_batch,
    follower::{Followed, Follower},
    groups::Groups,
};
use crate::{
    clock::Clock,
    sqlite::{Folding, Readers},
};

mod headers;
mod recent;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

/// A log in one file. A clone is the same log.
///
/// An append that nobody waits for any more when its turn comes is not written. Dropping the last clone and the last
/// reader closes the file; that blocks the thread for as long as the last group takes.
#[derive(Debug, Clone)]
pub struct SqliteLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    meta: Meta,
    tails: Arc<watch::Sender<Vec<Position>>>,
    recent: Arc<Recent>,
    groups: Groups,
    // Dropped in this order: the writer's connection is the last, so that it folds the write-ahead log
    // into the file; then the file is free for others.
    readers: Arc<Readers>,
    writer: Writer,
    _lock: File,
}

/// Why the file could not be opened as a log. Trying again is useless until somebody has acted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open, or this one has, elsewhere.
    #[error("the log {} is in use by another process", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// It was made with another number of partitions. Keys would move, so that cannot be changed.
    #[error("the log {} has {found} partitions, not {asked}; that is fixed for its life", path.display())]
    OtherPartitions {
        /// The file.
        path: PathBuf,
        /// What it has.
        found: u32,
        /// What was asked for.
        asked: u32,
    },
    /// A newer version of this program wrote it.
    #[error("the log {} has format {found}, but only formats up to {known} are known here; use a newer version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest known here.
        known: u32,
    },
    /// The file is something else, or damaged.
    #[error("the file {} is not a log: {reason}", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// It could not be opened, made or read.
    #[error("the log {} cannot be opened: {reason}", path.display())]
    Storage {
        /// The file.
        path: PathBuf,
        /// What is wrong, for the operator.
        reason: String,
    },
}

impl SqliteLog {
    /// Opens the log in the file at `path`, or makes it, with so many partitions (at least 1).
    ///
    /// Blocks while it reads; that is short, however long the log is.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>, partitions: u32, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_keeping(Bounds::default(), path.as_ref(), partitions, clock)
    }

    /// The same, with so much of it in memory.
    fn open_keeping(
        bounds: Bounds,
        path: &Path,
        partitions: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let lock = lock(path)?;
        let (connection, meta) = schema::open(path, partitions.max(1))?;
        let storage =
            |error: &dyn ToString| OpenError::Storage { path: path.to_owned(), reason: error.to_string() };
        let heads = schema::heads(&connection, meta.partitions).map_err(|error| storage(&error))?;
        let tails = Arc::new(watch::Sender::new(heads.iter().map(|head| head.tail).collect()));
        let recent = Arc::new(Recent::new(bounds, heads.len()));
        let published = Published { recent: Arc::clone(&recent), tails: Arc::clone(&tails) };
        let writer = Writer::start(connection, Folding::of(path), heads, published, clock);
        Ok(Self(Arc::new(Shared {
            meta,
            tails,
            recent,
            groups: Groups::default(),
            readers: Arc::new(Readers::of(path, schema::open_for_reading)),
            writer: writer.map_err(|error| storage(&error))?,
            _lock: lock,
        })))
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    fn partitions(&self) -> u32 {
        self.0.meta.partitions
    }

    fn epoch(&self) -> Epoch {
        self.0.meta.epoch.clone()
    }

    async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        check_batch(&batch)?;
        self.0.writer.append(batch).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        self.0.records(partition, from, up_to, limit).await
    }

    async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        self.0.tail(partition)
    }

    async fn open(&self, readership: Readership) -> Result<Box<dyn EventReader>, ReadError> {
        Ok(Box::new(Follower::open(Arc::clone(&self.0), &readership)))
    }
}

impl Shared {
    fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        let tail = self.tails.borrow().get(partition.0 as usize).copied();
        tail.ok_or(ReadError::NoPartition { partition })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let unavailable = |error: &dyn ToString| ReadError::Unavailable { reason: error.to_string() };
        let answer = Arc::clone(&self.readers).run(move |connection| read(connection)).await;
        answer.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
    }
}

#[async_trait]
impl Followed for Shared {
    fn tails(&self) -> &watch::Sender<Vec<Position>> {
        &self.tails
    }

    fn groups(&self) -> &Groups {
        &self.groups
    }

    async fn records(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        // Nothing past the published tail, whatever the file may show already.
        let up_to = up_to.min(self.tail(partition)?);
        if from >= up_to {
            return Ok(Vec::new());
        }
        let limit = limit.clamp(1, BATCH_LEN_MAX);
        if let Some(records) = self.recent.read(partition, from, up_to, limit) {
            return Ok(records);
        }
        self.read(move |connection| schema::records(connection, partition, from, up_to, limit)).await
    }

    async fn checkpoint(&self, group: &'static str, partition: Partition) -> Result<Position, ReadError> {
        self.read(move |connection| schema::checkpoint(connection, group, partition)).await
    }

    async fn set_checkpoint(
        &self,
        group: &'static str,
        partition: Partition,
        position: Position,
    ) -> Result<(), ReadError> {
        self.writer.set_checkpoint(group, partition, position).await
    }
}

/// Locks out everybody else until the file is dropped. The lock file stays: deleting it would let a third
/// process lock a new one while a second still waits for the old.
fn lock(path: &Path) -> Result<File, OpenError> {
    let beside = PathBuf::from({
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        name
    });
    let storage = |error: io::Error| OpenError::Storage {
        path: path.to_owned(),
        reason: format!("{}: {error}", beside.display()),
    };
    let file = OpenOptions::new().create(true).write(true).truncate(false).open(&beside).map_err(storage)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(storage(error)),
    }
}
