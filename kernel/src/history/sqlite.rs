//! The history in one `SQLite` file, for a node that needs no other server.
//!
//! ```text
//!   apply --> the one writer connection --> WAL, one fsync a batch
//!   reads --> a few reader connections  --> each within one read transaction
//! ```
//!
//! Invariant: a batch is one transaction, rows and progress together, and `apply` resolves when it is on disk. All
//! work is done on tokio's blocking threads, at most one writing and a few reading (`Readers`); whoever comes later
//! waits in line, not on a thread. The write-ahead log is kept short, also while the file is read without a pause (`Folding`). The tables are described in `sqlite/schema.rs`.
//!
//! What was begun ends even if its caller goes away: a batch whose `apply` is dropped may still be applied.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode};
use schemas::{ConversationId, EventId, Partition, UserId};
use tokio::sync::Semaphore;

use super::{
    Batch, Depth, Digest, Extent, Found, History, HistoryError, Listed, Message, Post, Progress, Snapshot,
    StoredEvent,
};
use crate::sqlite::{Folding, Readers};

mod digest;
mod read;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod write;

/// See the module. Clones share the file; it is closed when the last is gone and nothing is under way.
#[derive(Clone)]
pub struct SqliteHistory {
    file: Arc<File>,
    writing: Arc<Semaphore>,
}

struct File {
    path: PathBuf,
    // Dropped before the writer, whose connection is the last, so that it folds the write-ahead log into the file.
    readers: Arc<Readers>,
    /// Taken by whoever has the permit of `writing`, so it is never waited for.
    writer: Mutex<Writer>,
}

struct Writer {
    conn: Connection,
    folding: Folding,
}

/// Why the file cannot be used as a history. Trying again is useless, but for [`OpenError::Unusable`], whose cause
/// may go away.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OpenError {
    /// It cannot be opened or written.
    #[error("the history cannot be opened: {reason}")]
    Unusable {
        /// What is wrong, for the operator.
        reason: String,
    },
    /// It is a database, but no history.
    #[error("the file is a database, but not a history of Tidings; name another file")]
    NoHistory,
    /// Another version of Tidings wrote it.
    #[error(
        "the history has the format {found}, this version knows {known}: use the version that wrote it, or \
         delete the file and let it be rebuilt from the log"
    )]
    OtherFormat {
        /// What the file says.
        found: i64,
        /// What this build writes and reads.
        known: i64,
    },
}

/// What can go wrong within a transaction.
#[derive(Debug)]
enum Failure {
    Sql(rusqlite::Error),
    History(HistoryError),
}

impl fmt::Debug for SqliteHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteHistory").field("path", &self.file.path).finish_non_exhaustive()
    }
}

impl SqliteHistory {
    /// Opens the history in the file at `path`, and makes it if there is none. Blocks for a few file operations.
    ///
    /// Beside the file `SQLite` keeps two more, `-wal` and `-shm`; they belong together and are deleted together.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref().to_owned();
        let conn = Self::connection(&path)?;
        let writer = Mutex::new(Writer { conn, folding: Folding::of(&path) });
        let readers = Arc::new(Readers::of(&path, schema::open_reader));
        Ok(Self { file: Arc::new(File { path, readers, writer }), writing: Arc::new(Semaphore::new(1)) })
    }

    /// A connection that writes to the file at `path` as a history does, and makes the tables if there are none: also for what is
    /// measured beside one.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn connection(path: impl AsRef<Path>) -> Result<Connection, OpenError> {
        schema::open_writer(path.as_ref())
    }

    /// The fingerprint of everything it holds, progress included. Reads the whole file.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub async fn digest(&self) -> Result<Digest, HistoryError> {
        self.read(digest::digest).await
    }

    /// Forgets everything, progress included, so that the history can be built anew from the start of the log.
    /// Whoever asks meanwhile sees all or nothing. Deleting the files of a stopped server does the same.
    ///
    /// # Errors
    /// See [`HistoryError`]; nothing is forgotten then.
    pub async fn wipe(&self) -> Result<(), HistoryError> {
        self.write(write::wipe).await
    }

    /// Writes on a blocking thread and holds the permit to the end of the work, not of the caller.
    async fn write(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), HistoryError> {
        // It is never closed; were it, nothing could be done here any more.
        let permit = Arc::clone(&self.writing).acquire_owned().await.map_err(|error| unavailable(&error))?;
        let file = Arc::clone(&self.file);
        let task = tokio::task::spawn_blocking(move || {
            let Writer { conn, folding } = &mut *file.writer.lock();
            let answer = work(conn).map_err(HistoryError::from);
            folding.fold_if_long(conn);
            drop(permit);
            answer
        });
        task.await.map_err(|error| unavailable(&error))?
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, HistoryError> {
        let readers = Arc::clone(&self.file.readers);
        let answer = readers.run(|conn| work(&*conn.transaction()?)).await;
        answer.map_err(|error| unavailable(&error))?.map_err(HistoryError::from)
    }
}

#[async_trait]
impl History for SqliteHistory {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.write(move |conn| write::apply(conn, &batch)).await
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        self.read(move |conn| read::progress(conn, partition)).await
    }

    async fn snapshot(
        &self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        let conversation = conversation.clone();
        self.read(move |conn| read::snapshot(conn, partition, &conversation, depth)).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        let conversation = conversation.clone();
        self.read(move |conn| read::events(conn, &conversation, extent)).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError> {
        let conversation = conversation.clone();
        self.read(move |conn| read::messages(conn, &conversation, extent)).await
    }

    async fn posts(&self, conversation: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        let conversation = conversation.clone();
        self.read(move |conn| read::posts(conn, &conversation, extent)).await
    }

    async fn find_all(
        &self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        let (conversation, event_ids) = (conversation.clone(), event_ids.to_vec());
        self.read(move |conn| event_ids.iter().map(|id| read::find(conn, &conversation, id)).collect()).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        let (user, after) = (user.clone(), after.cloned());
        self.read(move |conn| read::conversations_of(conn, &user, after.as_ref(), limit)).await
    }

    async fn listed(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError> {
        let (user, conversation) = (user.clone(), conversation.clone());
        self.read(move |conn| read::listed(conn, &user, &conversation)).await
    }
}

fn unavailable(error: &dyn ToString) -> HistoryError {
    HistoryError::Unavailable { reason: error.to_string() }
}

impl Failure {
    /// What stands in `column` cannot be read.
    fn damaged(column: &str) -> Self {
        let reason = format!("the column {column} holds what it may not");
        Self::History(HistoryError::Damaged { reason })
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl From<Failure> for HistoryError {
    fn from(failure: Failure) -> Self {
        let error = match failure {
            Failure::History(error) => return error,
            Failure::Sql(error) => error,
        };
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged { reason },
            _ => Self::Unavailable { reason },
        }
    }
}
