//! A few connections that only read, used from the runtime's blocking threads.
//!
//! Invariant: at most [`READERS_MAX`] reads run at once, also when their callers went away; a connection
//! whose read failed is not used again.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::schema;
use crate::event_log::ReadError;

/// Most reads at once, and so most connections.
const READERS_MAX: usize = 4;

/// The pool.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// An empty pool for the file at `path`, which is a log.
    pub(super) fn of(path: &Path) -> Self {
        let permits = Arc::new(Semaphore::new(READERS_MAX));
        Self { path: path.to_owned(), idle: Mutex::default(), permits }
    }

    /// Reads, and waits for its turn to do so.
    pub(super) async fn run<T: Send + 'static>(
        self: Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let unavailable = |error: &dyn ToString| ReadError::Unavailable { reason: error.to_string() };
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|error| unavailable(&error))?;
        let done = spawn_blocking(move || {
            let idle = self.idle.lock().pop();
            let connection = idle.map_or_else(|| schema::open_for_reading(&self.path), Ok)?;
            let found = read(&connection)?;
            self.idle.lock().push(connection);
            // Held until here, so that a caller who went away does not make room too early.
            drop(permit);
            Ok::<_, rusqlite::Error>(found)
        });
        done.await.map_err(|error| unavailable(&error))?.map_err(|error| unavailable(&error))
    }
}
