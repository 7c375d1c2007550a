//! What the log and the history in a `SQLite` file have in common: how many read at once, and how the write-ahead log
//! stays short meanwhile.
//!
//! Deliberately not here: tables and transactions, which are each adapter's own.

mod folding;
mod readers;

pub(crate) use folding::Folding;
pub(crate) use readers::Readers;
