//! The fingerprint of the file: every table, by key, in one read transaction.

use rusqlite::{Connection, types::ValueRef};

use super::{Failure, schema};
use crate::history::digest::{Cell, Digest, TableDigest};

pub(super) fn digest(conn: &Connection) -> Result<Digest, Failure> {
    let tables = schema::TABLES.into_iter().map(|(table, key)| of_table(conn, table, key));
    Ok(Digest { tables: tables.collect::<Result<_, _>>()? })
}

fn of_table(conn: &Connection, table: &'static str, key: &str) -> Result<TableDigest, Failure> {
    let mut digest = TableDigest::new(table);
    let mut statement = conn.prepare(&format!("SELECT * FROM {table} ORDER BY {key}"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let cells = (0..columns).map(|column| cell(row.get_ref(column)?));
        digest.row(cells.collect::<Result<Vec<_>, Failure>>()?);
    }
    Ok(digest)
}

fn cell(value: ValueRef<'_>) -> Result<Cell<'_>, Failure> {
    Ok(match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Number(number),
        ValueRef::Text(_) => Cell::Text(value.as_str().map_err(|_| Failure::damaged("text"))?),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes),
        ValueRef::Real(_) => return Err(Failure::damaged("number")),
    })
}
