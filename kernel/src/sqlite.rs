//! What the log and the history in a `SQLite` file have in common: how many read at once, and how the write-ahead log
//! stays short meanwhile.
//!
//! Deliberately not here: tables and transactions, which are each adapter's own.

use rusqlite::{Connection, config::DbConfig};

mod folding;
mod readers;

pub(crate) use folding::Folding;
pub(crate) use readers::Readers;

/// Prepared statements stay prepared. Without it a build of `SQLite` with `STAT4`, as ours is, plans a statement anew when other values are
/// bound to it, which took a tenth of all processor time here.
pub(crate) fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_planned_once_whatever_is_bound_to_it() {
        let connection = Connection::open_in_memory().unwrap();
        keep_plans(&connection).unwrap();
        connection.execute_batch("CREATE TABLE t (a INTEGER, b TEXT); CREATE INDEX t_a ON t (a)").unwrap();
        let mut statement = connection.prepare("SELECT b FROM t WHERE a >= ?1 AND b LIKE ?2").unwrap();
        for number in 0..10 {
            let mut rows = statement.query((number, format!("{number}%"))).unwrap();
            assert!(rows.next().unwrap().is_none());
        }
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
