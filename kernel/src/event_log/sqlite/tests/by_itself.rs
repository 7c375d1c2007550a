//! What only this adapter promises: the file, its guards, and what happens when a commit fails.

use std::path::PathBuf;

use futures_util::{FutureExt, future::join_all};
use rusqlite::Connection;
use schemas::{Offset, Timestamp};
use tempfile::TempDir;

use super::super::*;
use crate::clock::{ManualClock, SystemClock};

struct Site {
    directory: TempDir,
}

impl Site {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("log.db")
    }

    fn open(&self) -> SqliteLog {
        SqliteLog::open(self.path(), 1, Arc::new(SystemClock)).unwrap()
    }

    /// Somebody else's connection to the file.
    fn meddler(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }
}

fn record(value: &str) -> NewRecord {
    NewRecord { key: "tea".parse().unwrap(), value: value.to_owned().into(), headers: vec![] }
}

async fn values(log: &SqliteLog) -> Vec<(u64, String)> {
    let all = log.read(Partition(0), Position::START, Position::new(u64::MAX), 1_000).await.unwrap();
    let value = |record: Record| (record.offset.get(), String::from_utf8(record.value.to_vec()).unwrap());
    all.into_iter().map(value).collect()
}

#[test]
fn a_commit_means_the_disk_has_it() {
    let site = Site::new();
    let (connection, _) = schema::open(&site.path(), 1).unwrap();
    let text = |name| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0)).unwrap();
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((text("journal_mode").as_str(), number("synchronous")), ("wal", 2));
}

#[test]
fn a_file_in_use_is_named_and_free_again_afterwards() {
    let site = Site::new();
    let log = site.open();
    let error = SqliteLog::open(site.path(), 1, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { path } if *path == site.path()), "{error}");
    assert!(error.to_string().contains("log.db"), "{error}");
    drop(log);
    site.open();
}

#[test]
fn another_number_of_partitions_is_refused() {
    let site = Site::new();
    drop(site.open());
    let error = SqliteLog::open(site.path(), 2, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(error, OpenError::OtherPartitions { found: 1, asked: 2, .. }), "{error}");
    site.open();
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let site = Site::new();
    drop(site.open());
    let set = |format: u32| site.meddler().execute("UPDATE meta SET format = ?1", [format]).unwrap();
    set(schema::FORMAT + 1);
    let error = SqliteLog::open(site.path(), 1, Arc::new(SystemClock)).unwrap_err();
    let newer = schema::FORMAT + 1;
    assert!(matches!(error, OpenError::Newer { found, .. } if found == newer), "{error}");
    set(schema::FORMAT);
    site.open();
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let site = Site::new();
    site.meddler().execute_batch("CREATE TABLE recipe (name TEXT)").unwrap();
    let before = std::fs::read(site.path()).unwrap();
    let error = SqliteLog::open(site.path(), 1, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
    assert_eq!(std::fs::read(site.path()).unwrap(), before);

    std::fs::write(site.path(), "not a database at all, and longer than a header ".repeat(50)).unwrap();
    let error = SqliteLog::open(site.path(), 1, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(error, OpenError::NotALog { .. }), "{error}");
}

#[test]
fn a_file_that_cannot_be_made_is_an_error() {
    let site = Site::new();
    let path = site.directory.path().join("missing").join("log.db");
    let error = SqliteLog::open(path, 1, Arc::new(SystemClock)).unwrap_err();
    assert!(matches!(error, OpenError::Storage { .. }), "{error}");
}

#[tokio::test]
async fn a_write_that_fails_is_unavailable_and_leaves_no_hole() {
    let site = Site::new();
    let log = site.open();
    log.append(vec![record("before")]).await.unwrap();
    // As if the disk were full, from the second record of a batch on.
    let full = "CREATE TRIGGER full BEFORE INSERT ON record WHEN NEW.value = CAST('too much' AS BLOB)
                BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    site.meddler().execute_batch(full).unwrap();
    let appends = join_all((0..8).map(|_| log.append(vec![record("fits"), record("too much")]))).await;
    for outcome in appends {
        let error = outcome.unwrap_err();
        assert!(
            matches!(&error, AppendError::Unavailable { reason } if reason.contains("disk full")),
            "{error}"
        );
    }
    assert_eq!(log.tail(Partition(0)).await.unwrap(), Position::new(1));
    site.meddler().execute_batch("DROP TRIGGER full").unwrap();
    let after = log.append(vec![record("after")]).await.unwrap();
    assert_eq!(after[0].offset, Offset::new(1));
    assert_eq!(values(&log).await, [(0, "before".to_owned()), (1, "after".to_owned())]);
}

#[tokio::test]
async fn a_commit_that_fails_is_unknown_and_leaves_no_hole() {
    let site = Site::new();
    let log = site.open();
    log.append(vec![record("before")]).await.unwrap();
    // A debt that is only called in at the commit.
    let debt = "CREATE TABLE lender (id INTEGER PRIMARY KEY);
                CREATE TABLE debt (lender REFERENCES lender (id) DEFERRABLE INITIALLY DEFERRED);
                CREATE TRIGGER borrow AFTER INSERT ON record BEGIN INSERT INTO debt VALUES (1); END";
    site.meddler().execute_batch(debt).unwrap();
    let error = log.append(vec![record("lost")]).await.unwrap_err();
    assert!(matches!(&error, AppendError::Unknown { reason } if reason.contains("FOREIGN KEY")), "{error}");
    assert_eq!(log.tail(Partition(0)).await.unwrap(), Position::new(1));
    site.meddler().execute_batch("DROP TRIGGER borrow").unwrap();
    log.append(vec![record("after")]).await.unwrap();
    assert_eq!(values(&log).await, [(0, "before".to_owned()), (1, "after".to_owned())]);
}

#[tokio::test]
async fn an_append_whose_caller_is_gone_when_its_turn_comes_is_not_written() {
    let site = Site::new();
    let log = site.open();
    // The writer waits for the meddler, so that nobody's turn comes before the callers are gone.
    let mut meddler = site.meddler();
    let held = meddler.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    let mut kept = Vec::new();
    for number in 0..20 {
        let (log, value) = (log.clone(), number.to_string());
        let mut append = Box::pin(async move { log.append(vec![record(&value), record("more")]).await });
        assert!((&mut append).now_or_never().is_none());
        if number % 5 == 4 {
            kept.push(append);
        }
    }
    held.rollback().unwrap();
    let places: Vec<_> = join_all(kept).await.into_iter().flat_map(|places| places.unwrap()).collect();
    assert_eq!(places.iter().map(|place| place.offset.get()).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
    drop(log);
    let values = values(&site.open()).await.into_iter().map(|(_, value)| value);
    assert_eq!(values.collect::<Vec<_>>(), ["4", "more", "9", "more", "14", "more", "19", "more"]);
}

#[tokio::test]
async fn times_do_not_fall_when_the_clock_goes_back_not_even_over_a_restart() {
    let site = Site::new();
    let clock = ManualClock::at(Timestamp::from_millis(1_000));
    let mut times = Vec::new();
    for step in [0, -500, 499, 2] {
        let log = SqliteLog::open(site.path(), 1, Arc::new(clock.clone())).unwrap();
        clock.advance(step);
        for _ in 0..2 {
            times.push(log.append(vec![record("x")]).await.unwrap()[0].recorded_at.as_millis());
        }
    }
    assert_eq!(times, [1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_001, 1_001]);
}

#[tokio::test]
async fn readers_see_nothing_past_the_published_tail() {
    let site = Site::new();
    let log = site.open();
    log.append(vec![record("ours")]).await.unwrap();
    let add = "INSERT INTO record VALUES (0, 1, 0, X'', X'', X'')";
    site.meddler().execute_batch(add).unwrap();
    assert_eq!(values(&log).await, [(0, "ours".to_owned())]);
}

#[tokio::test]
async fn more_reads_than_connections_all_get_their_turn() {
    let site = Site::new();
    let log = site.open();
    log.append(vec![record("x")]).await.unwrap();
    let reads = join_all((0..50).map(|_| values(&log))).await;
    assert!(reads.iter().all(|read| read.len() == 1));
}

#[tokio::test]
async fn a_commit_never_takes_work_back() {
    let site = Site::new();
    let log = site.open();
    let mut reader = log.open(Readership::Group("store")).await.unwrap();
    for position in [1, 3, 2] {
        reader.commit(Partition(0), Position::new(position)).await.unwrap();
    }
    assert_eq!(log.0.checkpoint("store", Partition(0)).await.unwrap(), Position::new(3));
}
