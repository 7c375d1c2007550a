//! A few connections that only read, used from the runtime's blocking threads.
//!
//! Invariant: at most [`READERS_MAX`] reads run at once, also when their callers went away; whoever comes later waits in
//! line, not on a thread. A connection whose read failed is not used again.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// Most reads at once, and so most connections.
pub(crate) const READERS_MAX: usize = 4;

/// Opens one more connection to a file.
type Open = fn(&Path) -> rusqlite::Result<Connection>;

/// The pool.
pub(crate) struct Readers {
    path: PathBuf,
    open: Open,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

/// There was no connection to read with, or the read was cut short. Trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unread(String);

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Readers {
    /// An empty pool for the file at `path`.
    pub(crate) fn of(path: &Path, open: Open) -> Self {
        let permits = Arc::new(Semaphore::new(READERS_MAX));
        Self { path: path.to_owned(), open, idle: Mutex::default(), permits }
    }

    /// Reads, and waits for its turn to do so. What `read` answers comes back as it is.
    pub(crate) async fn run<T: Send + 'static, E: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&mut Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Unread> {
        let unread = |error: &dyn ToString| Unread(error.to_string());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|error| unread(&error))?;
        let done = spawn_blocking(move || {
            let idle = self.idle.lock().pop();
            let mut connection = idle.map_or_else(|| (self.open)(&self.path), Ok)?;
            let answer = read(&mut connection);
            if answer.is_ok() {
                self.idle.lock().push(connection);
            }
            // Held until here, so that a caller who went away does not make room too early.
            drop(permit);
            Ok::<_, rusqlite::Error>(answer)
        });
        done.await.map_err(|error| unread(&error))?.map_err(|error| unread(&error))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;

    use super::*;

    fn pool() -> Arc<Readers> {
        Arc::new(Readers::of(Path::new(":memory:"), |path| Connection::open(path)))
    }

    #[tokio::test]
    async fn more_reads_than_connections_all_get_their_turn() {
        let pool = pool();
        let reads = (0..10 * READERS_MAX).map(|number| {
            let pool = Arc::clone(&pool);
            pool.run(move |_| Ok::<_, rusqlite::Error>(number))
        });
        let answers: Vec<_> = join_all(reads).await.into_iter().map(|read| read.unwrap().unwrap()).collect();
        assert_eq!(answers, (0..10 * READERS_MAX).collect::<Vec<_>>());
        assert!((1..=READERS_MAX).contains(&pool.idle.lock().len()), "they came back");
    }

    #[tokio::test]
    async fn a_connection_whose_read_failed_or_panicked_is_replaced() {
        let pool = pool();
        for _ in 0..READERS_MAX {
            let failed = Arc::clone(&pool).run(|connection| connection.execute("nonsense", [])).await;
            assert!(failed.unwrap().is_err());
            let read = |_: &mut Connection| -> Result<(), ()> { panic!("a defect") };
            Arc::clone(&pool).run(read).await.unwrap_err();
            assert!(pool.idle.lock().is_empty());
        }
        let answer = Arc::clone(&pool).run(|connection| connection.execute_batch("SELECT 1")).await;
        assert!(answer.unwrap().is_ok());
    }
}
