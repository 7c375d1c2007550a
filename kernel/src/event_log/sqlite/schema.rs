//! What stands in the file, and the statements on it.
//!
//! Invariant: a file carries our application id exactly if its tables and its `meta` row are whole, for
//! they are made in one transaction.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, types::Type};
use schemas::{Epoch, Offset, Partition, Position, Timestamp};

use super::{OpenError, headers};
use crate::{
    event_log::{NewRecord, Place, Record},
    sqlite::keep_plans,
};

/// The format that is written here.
pub(super) const FORMAT: u32 = 1;
/// "TiLg": marks a file as one of our logs.
const APPLICATION_ID: i32 = 0x5469_4c67;
/// How long to wait for somebody who has the file locked: an operator's shell, a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const TABLES: &str = "
    CREATE TABLE meta (
        one        INTEGER PRIMARY KEY CHECK (one = 1),
        format     INTEGER NOT NULL,
        epoch      TEXT NOT NULL,
        partitions INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE record (
        partition   INTEGER NOT NULL,
        offset      INTEGER NOT NULL,
        recorded_at INTEGER NOT NULL,
        key         BLOB NOT NULL,
        value       BLOB NOT NULL,
        headers     BLOB NOT NULL,
        PRIMARY KEY (partition, offset)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE checkpoint (
        consumer  TEXT NOT NULL,
        partition INTEGER NOT NULL,
        position  INTEGER NOT NULL,
        PRIMARY KEY (consumer, partition)
    ) STRICT, WITHOUT ROWID;
";

/// What is fixed for the life of a log.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    /// Which incarnation it is.
    pub(super) epoch: Epoch,
    /// How many partitions it has.
    pub(super) partitions: u32,
}

/// Where a partition ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The position after its last record.
    pub(super) tail: Position,
    /// When the log took that one; long ago if there is none.
    pub(super) recorded_at: Timestamp,
}

impl Head {
    /// The place of the next record, which becomes the last one.
    pub(super) fn take(&mut self, partition: Partition, now: Timestamp) -> Place {
        let offset = self.tail.next();
        let recorded_at = self.recorded_at.max(now);
        *self = Self { tail: offset.position(), recorded_at };
        Place { partition, offset, recorded_at }
    }
}

/// Opens the file for writing, makes it a log if it is new, and checks what it is.
pub(super) fn open(path: &Path, partitions: u32) -> Result<(Connection, Meta), OpenError> {
    let failed = |error: rusqlite::Error| {
        let (path, reason) = (path.to_owned(), error.to_string());
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => OpenError::NotALog { path, reason },
            _ => OpenError::Storage { path, reason },
        }
    };
    let mut connection = Connection::open(path).map_err(failed)?;
    // Before anything is written: a file of somebody else must stay as it is.
    let application_id: i32 = pragma(&connection, "application_id").map_err(failed)?;
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    let new = application_id == 0 && tables == 0;
    if !new && application_id != APPLICATION_ID {
        let reason = "it is the database of another program".to_owned();
        return Err(OpenError::NotALog { path: path.to_owned(), reason });
    }
    set_up(&connection).map_err(failed)?;
    if new {
        create(&mut connection, partitions).map_err(failed)?;
    }
    let found = connection.query_row("SELECT format FROM meta", [], |row| row.get(0)).map_err(failed)?;
    if found > FORMAT {
        return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT });
    }
    let meta = meta(&connection).map_err(failed)?;
    if meta.partitions != partitions {
        let (path, found) = (path.to_owned(), meta.partitions);
        return Err(OpenError::OtherPartitions { path, found, asked: partitions });
    }
    Ok((connection, meta))
}

/// Opens the file, which is a log, for reading only.
pub(super) fn open_for_reading(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(&connection)?;
    Ok(connection)
}

/// Where each partition ends.
pub(super) fn heads(connection: &Connection, partitions: u32) -> rusqlite::Result<Vec<Head>> {
    let mut last = connection.prepare_cached(
        "SELECT offset, recorded_at FROM record WHERE partition = ?1 ORDER BY offset DESC LIMIT 1",
    )?;
    let mut head = |partition: u32| {
        let found = last.query_row([partition], |row| {
            Ok(Head { tail: offset(row, 0)?.position(), recorded_at: time(row, 1)? })
        });
        let empty = Head { tail: Position::START, recorded_at: Timestamp::from_millis(i64::MIN) };
        Ok(found.optional()?.unwrap_or(empty))
    };
    (0..partitions).map(&mut head).collect()
}

/// Writes a record at a place.
pub(super) fn add(transaction: &Transaction<'_>, place: Place, record: &NewRecord) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached("INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    let (offset, key) = (i64::from(place.offset), record.key.as_str().as_bytes());
    let headers = headers::encode(&record.headers);
    let time = place.recorded_at.as_millis();
    insert.execute((place.partition.0, offset, time, key, &*record.value, headers))?;
    Ok(())
}

/// The records of a stretch, ascending.
pub(super) fn records(
    connection: &Connection,
    partition: Partition,
    from: Position,
    up_to: Position,
    limit: usize,
) -> rusqlite::Result<Vec<Record>> {
    let mut select = connection.prepare_cached(
        "SELECT offset, recorded_at, key, value, headers FROM record
         WHERE partition = ?1 AND offset >= ?2 AND offset < ?3 ORDER BY offset LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = select.query_map((partition.0, i64::from(from), i64::from(up_to), limit), record)?;
    found.collect()
}

/// Where a group goes on; the start if it never committed.
pub(super) fn checkpoint(
    connection: &Connection,
    group: &str,
    partition: Partition,
) -> rusqlite::Result<Position> {
    let mut select = connection
        .prepare_cached("SELECT position FROM checkpoint WHERE consumer = ?1 AND partition = ?2")?;
    let found = select.query_row((group, partition.0), |row| place(row, 0)).optional()?;
    Ok(found.unwrap_or_default())
}

/// Moves that place forward, never back.
pub(super) fn set_checkpoint(
    transaction: &Transaction<'_>,
    group: &str,
    partition: Partition,
    position: Position,
) -> rusqlite::Result<()> {
    let mut upsert = transaction.prepare_cached(
        "INSERT INTO checkpoint VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET position = max(position, excluded.position)",
    )?;
    upsert.execute((group, partition.0, i64::from(position)))?;
    Ok(())
}

/// What a connection that writes needs: readers undisturbed, and a commit that means it.
fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    keep_plans(connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let (mode, synchronous) =
        (pragma::<String>(connection, "journal_mode")?, pragma::<u32>(connection, "synchronous")?);
    // SQLite keeps silent when it cannot: on a file system without shared memory, for one.
    if (mode.as_str(), synchronous) != ("wal", 2) {
        return Err(damaged(
            0,
            format!("journal mode {mode}, synchronous {synchronous}; wal and 2 are needed"),
        ));
    }
    Ok(())
}

fn create(connection: &mut Connection, partitions: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute(
        "INSERT INTO meta VALUES (1, ?1, ?2, ?3)",
        (FORMAT, crate::random::epoch().as_str(), partitions),
    )?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.commit()
}

fn meta(connection: &Connection) -> rusqlite::Result<Meta> {
    connection.query_row("SELECT epoch, partitions FROM meta", [], |row| {
        let epoch = row.get::<_, String>(0)?;
        let epoch = epoch.parse().map_err(|_| damaged(0, format!("{epoch:?} is no epoch")))?;
        Ok(Meta { epoch, partitions: row.get(1)? })
    })
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    connection.pragma_query_value(None, name, |row| row.get(0))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let headers = row.get_ref(4)?.as_blob()?;
    Ok(Record {
        offset: offset(row, 0)?,
        recorded_at: time(row, 1)?,
        key: row.get::<_, Vec<u8>>(2)?.into(),
        value: row.get::<_, Vec<u8>>(3)?.into(),
        headers: headers::decode(headers).ok_or_else(|| damaged(4, "the headers are cut".to_owned()))?.into(),
    })
}

fn place<P: TryFrom<i64>>(row: &Row<'_>, column: usize) -> rusqlite::Result<P> {
    let number: i64 = row.get(column)?;
    P::try_from(number).map_err(|_| damaged(column, format!("{number} is no place")))
}

fn offset(row: &Row<'_>, column: usize) -> rusqlite::Result<Offset> {
    place(row, column)
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Ok(Timestamp::from_millis(row.get(column)?))
}

fn damaged(column: usize, reason: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Null, reason.into())
}
