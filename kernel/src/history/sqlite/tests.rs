//! What is true of the file alone; the suite that all adapters share is run in `history/tests.rs`.

use schemas::{ConversationId, Position, Visibility};

use super::*;
use crate::history::conformance::{Scribe, body, event_id};

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("history.sqlite")
    }

    fn open(&self) -> Result<SqliteHistory, OpenError> {
        SqliteHistory::open(self.path())
    }

    /// Changes the file behind the adapter's back.
    fn execute(&self, sql: &str) {
        Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }
}

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

fn scribe() -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe.does("bob", "m", body::posted("the secret text"));
    scribe
}

#[test]
fn a_file_of_a_newer_format_is_a_clear_error() {
    let place = Place::new();
    drop(place.open().unwrap());
    place.execute("UPDATE meta SET value = value + 1");
    let error = place.open().unwrap_err();
    assert!(matches!(error, OpenError::OtherFormat { found: 2, known: 1 }), "{error:?}");
    assert!(error.to_string().contains("format 2, this version knows 1"), "{error}");
}

#[test]
fn another_database_is_refused_and_left_alone() {
    for sql in ["CREATE TABLE records (n)", "CREATE TABLE meta (key, value); CREATE TABLE records (n)"] {
        let place = Place::new();
        place.execute(sql);
        assert!(matches!(place.open(), Err(OpenError::NoHistory)), "{sql}");
        place.execute("INSERT INTO records VALUES (1)");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'events'";
        let made: i64 =
            Connection::open(place.path()).unwrap().query_row(tables, [], |row| row.get(0)).unwrap();
        assert_eq!(made, 0);
    }
}

#[test]
fn what_is_no_database_or_no_place_for_one_cannot_be_used() {
    let place = Place::new();
    std::fs::write(place.path(), "not a database, but long enough to be read as one".repeat(100)).unwrap();
    assert!(matches!(place.open(), Err(OpenError::Unusable { .. })));
    let nowhere = place.path().join("below/a/file");
    assert!(matches!(SqliteHistory::open(nowhere), Err(OpenError::Unusable { .. })));
}

#[test]
fn rows_are_on_disk_before_the_answer() {
    let place = Place::new();
    let history = place.open().unwrap();
    let writer = history.file.writer.lock();
    let pragma = |name: &str| {
        writer
            .conn
            .query_row(&format!("PRAGMA {name}"), [], |row| Ok(format!("{:?}", row.get_ref(0)?)))
            .unwrap()
    };
    assert_eq!(pragma("journal_mode"), format!("{:?}", rusqlite::types::ValueRef::Text(b"wal")));
    assert_eq!(pragma("synchronous"), "Integer(2)", "FULL");
}

#[tokio::test]
async fn a_wiped_history_is_rebuilt_to_the_same_rows() {
    let place = Place::new();
    let history = place.open().unwrap();
    let scribe = scribe();
    let empty = history.digest().await.unwrap();
    history.apply(scribe.whole()).await.unwrap();
    let full = history.digest().await.unwrap();
    assert_ne!(full, empty);
    history.wipe().await.unwrap();
    assert_eq!(history.digest().await.unwrap(), empty);
    assert_eq!(history.progress(scribe.partition).await.unwrap(), None);
    for to in 1..=2 {
        history.apply(scribe.batch(to - 1, to)).await.unwrap();
    }
    assert_eq!(history.digest().await.unwrap(), full);
}

#[tokio::test]
async fn a_wiped_history_takes_another_log() {
    let place = Place::new();
    let history = place.open().unwrap();
    history.apply(scribe().whole()).await.unwrap();
    let other = Batch { epoch: "second".parse().unwrap(), ..scribe().whole() };
    assert!(history.apply(other.clone()).await.is_err());
    history.wipe().await.unwrap();
    history.apply(other).await.unwrap();
}

#[tokio::test]
async fn damage_is_told_without_telling_what_was_written() {
    let place = Place::new();
    let history = place.open().unwrap();
    history.apply(scribe().whole()).await.unwrap();
    place.execute("UPDATE events SET value = x'07'; UPDATE messages SET style = 'the secret style'");
    let errors = [
        history.events(&tea(), Extent::ALL).await.unwrap_err(),
        history.messages(&tea(), Extent::ALL).await.unwrap_err(),
        history.snapshot(scribe().partition, &tea(), Depth::Fold).await.unwrap_err(),
    ];
    for (error, column) in errors.iter().zip(["value", "style", "value"]) {
        assert!(matches!(error, HistoryError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("column {column} ")), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(!error.retryable());
    }
    assert!(history.find(&tea(), &event_id("m")).await.unwrap().is_some(), "the rest can still be read");
    let seen = history.snapshot(scribe().partition, &tea(), Depth::Look).await.unwrap();
    assert!(seen.state.is_some(), "a look decodes no event");
}

#[tokio::test]
async fn a_batch_that_fails_in_the_middle_leaves_nothing() {
    let place = Place::new();
    let history = place.open().unwrap();
    place.execute("CREATE TRIGGER full BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'full'); END");
    let before = history.digest().await.unwrap();
    let error = history.apply(scribe().whole()).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert_eq!(history.digest().await.unwrap(), before);
    place.execute("DROP TRIGGER full");
    history.apply(scribe().whole()).await.unwrap();
    assert_eq!(
        history.progress(scribe().partition).await.unwrap().unwrap().position,
        Position::new(scribe().tail().get())
    );
}

#[tokio::test]
async fn a_long_write_ahead_log_is_folded_after_a_batch() {
    let place = Place::new();
    let history = place.open().unwrap();
    history.apply(scribe().batch(0, 1)).await.unwrap();
    let len = history.file.writer.lock().folding.len();
    assert!(len > 0);
    history.file.writer.lock().folding = Folding::with_len_max(&history.file.path, len);
    history.apply(scribe().whole()).await.unwrap();
    assert_eq!(history.file.writer.lock().folding.len(), 0);
    assert_eq!(history.messages(&tea(), Extent::ALL).await.unwrap().len(), 1, "nothing is lost");
}

#[tokio::test]
async fn what_a_reader_is_asked_can_never_write() {
    let place = Place::new();
    let history = place.open().unwrap();
    let error = history.read(|conn| Ok(conn.execute("DELETE FROM events", [])?)).await.unwrap_err();
    assert!(error.to_string().contains("readonly"), "{error}");
}
