use tempfile::TempDir;

use super::*;
use crate::{
    clock::SystemClock,
    event_log::{
        SharedLog,
        conformance::{PARTITIONS, Subject},
        faulty::{Faults, FaultyLog},
    },
};

/// A log in a directory of its own.
struct Embedded {
    log: Option<SqliteLog>,
    directory: TempDir,
}

impl Embedded {
    fn reopened(directory: &TempDir) -> SqliteLog {
        SqliteLog::open(directory.path().join("log.db"), PARTITIONS, Arc::new(SystemClock)).unwrap()
    }
}

#[async_trait]
impl Subject for Embedded {
    const DENSE: bool = true;

    async fn fresh() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { log: Some(Self::reopened(&directory)), directory }
    }

    fn log(&self) -> SharedLog {
        Arc::new(self.log.clone().unwrap())
    }

    async fn reopen(&mut self) {
        self.log = None;
        self.log = Some(Self::reopened(&self.directory));
    }
}

/// The same behind a wrapper with no fault switched on.
struct Wrapped(Embedded);

#[async_trait]
impl Subject for Wrapped {
    const DENSE: bool = true;

    async fn fresh() -> Self {
        Self(Embedded::fresh().await)
    }

    fn log(&self) -> SharedLog {
        Arc::new(FaultyLog::new(self.0.log(), &Faults::default()))
    }

    async fn reopen(&mut self) {
        self.0.reopen().await;
    }
}

/// The same with nothing in memory: all is read from the file.
struct FromTheFile(Embedded);

impl FromTheFile {
    fn open(directory: &TempDir) -> SqliteLog {
        let (bounds, path) = (Bounds { len_max: 0, bytes_max: 0 }, directory.path().join("log.db"));
        SqliteLog::open_keeping(bounds, &path, PARTITIONS, Arc::new(SystemClock)).unwrap()
    }
}

#[async_trait]
impl Subject for FromTheFile {
    const DENSE: bool = true;

    async fn fresh() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self(Embedded { log: Some(Self::open(&directory)), directory })
    }

    fn log(&self) -> SharedLog {
        self.0.log()
    }

    async fn reopen(&mut self) {
        self.0.log = None;
        self.0.log = Some(Self::open(&self.0.directory));
    }
}

mod embedded {
    crate::event_log_conformance!(super::Embedded);
}

mod from_the_file {
    crate::event_log_conformance!(super::FromTheFile);
}

mod wrapped {
    crate::event_log_conformance!(super::Wrapped);
}

mod by_itself;
