//! Keeps the write-ahead log short, also while the file is read without a pause.
//!
//! Every so many pages the write-ahead log is folded into the file, but it begins anew only in a moment when
//! nobody reads from it. With enough readers that moment never comes, so past a length we wait for it: reads
//! are short, and new ones do not come in between.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// How long it may become, in bytes, before we wait for the readers.
const LEN_MAX: u64 = 32 * 1_024 * 1_024;

/// When to fold next.
#[derive(Debug)]
pub(crate) struct Folding {
    path: PathBuf,
    len_max: u64,
    /// Folded above this length. More than `len_max` while somebody is in the way, so that we do not wait for
    /// them at every commit.
    above: u64,
}

impl Folding {
    /// For the file at `path`.
    pub(crate) fn of(path: &Path) -> Self {
        Self::with_len_max(path, LEN_MAX)
    }

    /// The same with another length.
    pub(crate) fn with_len_max(path: &Path, len_max: u64) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        Self { path: name.into(), len_max, above: len_max }
    }

    /// Waits for the readers, if it has become too long, and begins the write-ahead log anew.
    pub(crate) fn fold_if_long(&mut self, connection: &Connection) {
        let len = self.len();
        if len <= self.above {
            return;
        }
        let folded = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        self.above = self.len_max;
        if !matches!(folded, Ok(false)) {
            self.above += len;
            let error = folded.err();
            let path = self.path.display();
            tracing::warn!(%path, len, ?error, "the write-ahead log cannot be folded: somebody reads for long");
        }
    }

    /// How long it is now, in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.path.metadata().map_or(0, |metadata| metadata.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_long_one_is_folded_and_one_in_use_is_left_until_it_has_grown_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("some.db");
        let writer = Connection::open(&path).unwrap();
        writer.pragma_update(None, "journal_mode", "WAL").unwrap();
        writer.busy_timeout(Duration::ZERO).unwrap();
        writer.execute_batch("CREATE TABLE filler (bytes BLOB)").unwrap();
        let grow = || writer.execute("INSERT INTO filler VALUES (zeroblob(50000))", []).unwrap();
        let mut folding = Folding::with_len_max(&path, 100_000);

        grow();
        let short = folding.len();
        assert!((50_000..100_000).contains(&short), "{short}");
        folding.fold_if_long(&writer);
        assert_eq!(folding.len(), short, "left alone");

        let mut other = Connection::open(&path).unwrap();
        let reading = other.transaction().unwrap();
        reading.query_row("SELECT count(*) FROM filler", [], |_| Ok(())).unwrap();
        grow();
        let long = folding.len();
        folding.fold_if_long(&writer);
        assert_eq!((folding.len(), folding.above), (long, long + 100_000), "somebody reads");

        drop(reading);
        folding.fold_if_long(&writer);
        assert_eq!(folding.len(), long, "not before it has grown again");
        grow();
        grow();
        assert!(folding.len() > folding.above);
        folding.fold_if_long(&writer);
        assert_eq!((folding.len(), folding.above), (0, 100_000));
    }
}
