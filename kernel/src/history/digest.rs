//! A fingerprint of a whole history, by which two can be proved equal: the rebuilt one and the one before.
//!
//! It is taken over every column of every row, stamps included. The columns are those of the adapter in `SQLite`; an adapter
//! that keeps its rows otherwise brings them into the same form. The order of the rows does not count, so that an adapter may read
//! its tables in whatever order they lie, without sorting them. Each row counts, also one that is there twice: the hashes are added, and
//! the rows are counted.

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
    /// The sum of the hashes of the rows, each FNV-1a of 128 bits, mixed: proof against accidents, not against forgery.
    pub hash: u128,
}

/// One column of one row.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// Nothing was written.
    Null,
    /// A number, a place, a time in milliseconds, or 0 and 1 for a flag.
    Number(i64),
    /// A name, a word or a text.
    Text(&'a str),
    /// The value of a record.
    Bytes(&'a [u8]),
}

/// The hash of one row while it is taken.
struct RowHash(u128);

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
    /// Of an empty table.
    pub fn new(table: &'static str) -> Self {
        Self { table, rows: 0, hash: 0 }
    }

    /// Of the table with one more row.
    pub fn row<'a>(&mut self, cells: impl IntoIterator<Item = Cell<'a>>) {
        let mut row = RowHash::BASIS;
        cells.into_iter().for_each(|cell| row.cell(cell));
        self.rows += 1;
        self.hash = self.hash.wrapping_add(row.mixed());
    }
}

impl RowHash {
    const BASIS: Self = Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    /// Odd, and its bits are in no order: the golden ratio.
    const SPREAD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

    fn cell(&mut self, cell: Cell<'_>) {
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

    /// Length first, so that no two rows are written alike.
    fn counted(&mut self, kind: &[u8], bytes: &[u8]) {
        self.bytes(kind);
        self.bytes(&(bytes.len() as u64).to_be_bytes());
        self.bytes(bytes);
    }

    /// FNV-1a ends with a multiplication, which a sum passes through: two rows whose last bytes were exchanged would often have the
    /// same sum as before. So each bit is spread over all, in steps that have an inverse.
    fn mixed(self) -> u128 {
        let spread = |hash: u128, shift: u32| (hash ^ (hash >> shift)).wrapping_mul(Self::SPREAD);
        [64, 61, 59].into_iter().fold(self.0, spread)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
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
        let mut row = RowHash::BASIS;
        row.bytes(b"a");
        assert_eq!(row.0, 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }

    #[test]
    fn the_order_of_the_rows_does_not_count_and_their_number_does() {
        let (one, other): (&[Cell<'_>], &[Cell<'_>]) = (&[Cell::Number(1)], &[Cell::Text("x")]);
        assert_eq!(of(&[one, other, one]), of(&[one, one, other]));
        assert_ne!(of(&[one, other]), of(&[one, other, one]));
        assert_ne!(of(&[one, one]).hash, of(&[other, other]).hash);
    }

    #[test]
    fn rows_that_exchange_a_cell_have_another_digest() {
        for number in 0..=255 {
            for other in 0..number {
                let (a, b) = (Cell::Text("a"), Cell::Text("b"));
                let (number, other) = (Cell::Number(number), Cell::Number(other));
                assert_ne!(of(&[&[a, number], &[b, other]]), of(&[&[a, other], &[b, number]]));
                assert_ne!(of(&[&[number, a], &[other, b]]), of(&[&[other, a], &[number, b]]));
            }
        }
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
