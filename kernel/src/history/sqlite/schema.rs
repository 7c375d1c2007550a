//! The tables of the history in `SQLite`, in one place.
//!
//! A *stamp* is the offset of the event that wrote the columns before it; they give way only to a later one. A column
//! group whose stamp is NULL was not written yet. So the rows are a function of the set of changes applied, whatever
//! their order. Times are milliseconds since 1970.
//!
//! | table | key | holds |
//! |---|---|---|
//! | `events` | conversation, offset | every event as it stands on the topic; `void` is 0 or 1 |
//! | `event_ids` | conversation, `event_id` | where the first valid event with the id stands (the smallest offset wins) |
//! | `messages` | conversation, `message_id` | three groups: the post (the smallest offset wins, as for ids), the last edit (`edit_stamp`), the last redaction (`redaction_stamp`); a row without `offset` is no message yet |
//! | `reactions` | conversation, `message_id`, emoji, user | whether the reaction is `present` |
//! | `conversations` | conversation | founding (`created_stamp`), title, archived, and the last valid event other than a read marker |
//! | `standings` | conversation, user | how somebody stands towards it |
//! | `read_markers` | conversation, user | all before `up_to` is read |
//! | `progress` | partition | all before `position` is projected, from the log `epoch`; never falls |
//! | `meta` | key | `history_format`: [`FORMAT`] |

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::OpenError;
use crate::sqlite::keep_plans;

/// The format that this build writes and reads. Another one needs a rebuild: delete the file.
pub(super) const FORMAT: i64 = 1;

/// The tables of a history, and their keys, in which order digests read them. `meta` is not part of what is told.
pub(super) const TABLES: [(&str, &str); 8] = [
    ("events", "conversation, offset"),
    ("event_ids", "conversation, event_id"),
    ("messages", "conversation, message_id"),
    ("reactions", "conversation, message_id, emoji, user"),
    ("conversations", "conversation"),
    ("standings", "conversation, user"),
    ("read_markers", "conversation, user"),
    ("progress", "partition"),
];

const CREATE: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    conversation TEXT NOT NULL,
    offset       INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    event_id     TEXT NOT NULL,
    type         TEXT NOT NULL,
    void         INTEGER NOT NULL,
    value        BLOB NOT NULL,
    PRIMARY KEY (conversation, offset)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_ids (
    conversation TEXT NOT NULL,
    event_id     TEXT NOT NULL,
    offset       INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    actor        TEXT NOT NULL,
    type         TEXT NOT NULL,
    PRIMARY KEY (conversation, event_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE messages (
    conversation    TEXT NOT NULL,
    message_id      TEXT NOT NULL,
    author          TEXT,
    text            TEXT,
    style           TEXT,
    reply_to        TEXT,
    occurred_at     INTEGER,
    offset          INTEGER,
    edited_text     TEXT,
    edited_at       INTEGER,
    edit_stamp      INTEGER,
    redacted_by     TEXT,
    redacted_at     INTEGER,
    redaction_stamp INTEGER,
    PRIMARY KEY (conversation, message_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_offset ON messages (conversation, offset) WHERE offset IS NOT NULL;

CREATE TABLE reactions (
    conversation TEXT NOT NULL,
    message_id   TEXT NOT NULL,
    emoji        TEXT NOT NULL,
    user         TEXT NOT NULL,
    present      INTEGER NOT NULL,
    stamp        INTEGER NOT NULL,
    PRIMARY KEY (conversation, message_id, emoji, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    conversation   TEXT PRIMARY KEY,
    visibility     TEXT,
    creator        TEXT,
    created_at     INTEGER,
    created_stamp  INTEGER,
    title          TEXT,
    title_stamp    INTEGER,
    archived       INTEGER,
    archived_stamp INTEGER,
    last_at        INTEGER,
    last_offset    INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE standings (
    conversation TEXT NOT NULL,
    user         TEXT NOT NULL,
    standing     TEXT NOT NULL,
    stamp        INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
) STRICT, WITHOUT ROWID;
CREATE INDEX standings_by_user ON standings (user, conversation);

CREATE TABLE read_markers (
    conversation TEXT NOT NULL,
    user         TEXT NOT NULL,
    up_to        INTEGER NOT NULL,
    stamp        INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
) STRICT, WITHOUT ROWID;

CREATE TABLE progress (
    partition INTEGER PRIMARY KEY,
    epoch     TEXT NOT NULL,
    position  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// How long a connection waits for another process that writes to the same file.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared: more than there are.
const STATEMENTS_LEN_MAX: usize = 64;

/// Memory for pages that the writer has in hand, in KiB: a batch that touches hundreds of conversations must find them there, or each
/// page is written and read again within one transaction.
const WRITER_CACHE_KIB: i64 = 16 * 1_024;
/// Pages of the write-ahead log until they are folded into the file. Conversations in use write to the same pages again and again,
/// and each is folded once.
const FOLD_PAGES: i64 = 4_000;

/// Opens the file to write, and makes the tables if it is new.
pub(super) fn open_writer(path: &Path) -> Result<Connection, OpenError> {
    let mut conn = in_order(|| {
        let conn = connect(path)?;
        conn.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        conn.pragma_update(None, "wal_autocheckpoint", FOLD_PAGES)?;
        Ok(conn)
    })?;
    let made = || -> Result<Option<OpenError>, rusqlite::Error> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let wrong = match found_in(&tx)? {
            Found::Nothing => {
                tx.execute_batch(CREATE)?;
                tx.execute("INSERT INTO meta VALUES ('history_format', ?1)", [FORMAT])?;
                None
            }
            Found::History(FORMAT) => None,
            Found::History(found) => Some(OpenError::OtherFormat { found, known: FORMAT }),
            Found::Other => Some(OpenError::NoHistory),
        };
        tx.commit()?;
        Ok(wrong)
    };
    let wrong = in_order(made)?;
    wrong.map_or(Ok(conn), Err)
}

/// Opens the file, which [`open_writer`] has made, to read.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let conn = connect(path)?;
    conn.pragma_update(None, "query_only", true)?;
    Ok(conn)
}

enum Found {
    Nothing,
    History(i64),
    Other,
}

fn found_in(conn: &Connection) -> Result<Found, rusqlite::Error> {
    let table = |name: &str| {
        conn.query_row("SELECT count(*) FROM sqlite_schema WHERE name LIKE ?1", [name], |row| {
            row.get::<_, i64>(0)
        })
    };
    if table("%")? == 0 {
        return Ok(Found::Nothing);
    }
    if table("meta")? == 0 {
        return Ok(Found::Other);
    }
    let format = "SELECT value FROM meta WHERE key = 'history_format'";
    let format = conn.query_row(format, [], |row| row.get(0)).optional()?;
    Ok(format.map_or(Found::Other, Found::History))
}

/// `synchronous=FULL`: the checkpoint is committed to the log only after the rows are durable, so they must be.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(BUSY_WAIT)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    keep_plans(&conn)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS_LEN_MAX);
    Ok(conn)
}

fn in_order<T>(work: impl FnOnce() -> Result<T, rusqlite::Error>) -> Result<T, OpenError> {
    work().map_err(|error| OpenError::Unusable { reason: error.to_string() })
}
