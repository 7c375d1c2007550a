//! A fingerprint of a whole history, by which two can be proved equal: the rebuilt one and the one before.
//!
//! It is taken over every column of every row, stamps included, in the order of the keys. The columns are those of the
//! adapter in `SQLite`; another adapter that wants to be compared writes its rows in the same form.

use std::fmt;

/// The fingerprint: one line a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Table by table, in a fixed order.
    pub tables: Vec<TableDigest>,
}

/// The fingerprint of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableDigest {
    /// Its name.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// FNV-1a over the rows, 128 bits: proof against accidents, not against forgery.
    pub hash: u128,
}

/// One column of one row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cell<'a> {
    Null,
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| writeln!(f, "{table}"))
    }
}

impl fmt::Display for TableDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<14} {:032x} {} rows", self.table, self.hash, self.rows)
    }
}

impl TableDigest {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    /// Of an empty table.
    pub(super) fn new(table: &'static str) -> Self {
        Self { table, rows: 0, hash: Self::BASIS }
    }

    /// Of the table with one more row.
    pub(super) fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        self.rows += 1;
        for cell in cells {
            match cell {
                Cell::Null => self.bytes(b"n"),
                Cell::Number(number) => {
                    self.bytes(b"i");
                    self.bytes(&number.to_be_bytes());
                }
                Cell::Text(text) => self.counted(b"t", text.as_bytes()),
                Cell::Bytes(bytes) => self.counted(b"b", bytes),
            }
        }
        self.bytes(b"\n");
    }

    /// Length first, so that no two rows are written alike.
    fn counted(&mut self, kind: &[u8], bytes: &[u8]) {
        self.bytes(kind);
        self.bytes(&(bytes.len() as u64).to_be_bytes());
        self.bytes(bytes);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[&[Cell<'_>]]) -> TableDigest {
        let mut digest = TableDigest::new("table");
        for row in rows {
            digest.row(row.iter().copied());
        }
        digest
    }

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut digest = TableDigest::new("table");
        digest.bytes(b"a");
        assert_eq!(digest.hash, 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn rows_that_differ_anywhere_have_other_digests() {
        use Cell::{Bytes, Null, Number, Text};
        let rows: [&[&[Cell<'_>]]; 9] = [
            &[],
            &[&[Null]],
            &[&[Null], &[Null]],
            &[&[Null, Null]],
            &[&[Number(0)]],
            &[&[Text("")]],
            &[&[Bytes(b"")]],
            &[&[Text("ab"), Text("c")]],
            &[&[Text("a"), Text("bc")]],
        ];
        for (i, one) in rows.iter().enumerate() {
            for (j, other) in rows.iter().enumerate() {
                assert_eq!(of(one) == of(other), i == j, "{i} {j}");
            }
        }
    }
}
