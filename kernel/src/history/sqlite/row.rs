//! A row, column by column, as our own types. What does not fit them is damage.

use std::str::FromStr;

use bytes::Bytes;
use rusqlite::{Row, types::ValueRef};
use schemas::Timestamp;

use super::{super::words::Word, Failure};

pub(super) struct Columns<'a>(pub(super) &'a Row<'a>);

impl Columns<'_> {
    /// A name or text, checked again as it was when it was made.
    pub(super) fn parsed<T: FromStr>(&self, index: usize) -> Result<T, Failure> {
        self.text(index)?.parse().map_err(|_| self.damaged(index))
    }

    pub(super) fn word<T: Word>(&self, index: usize) -> Result<T, Failure> {
        T::of_word(self.text(index)?).ok_or_else(|| self.damaged(index))
    }

    pub(super) fn place<T: TryFrom<i64>>(&self, index: usize) -> Result<T, Failure> {
        T::try_from(self.number(index)?).map_err(|_| self.damaged(index))
    }

    pub(super) fn time(&self, index: usize) -> Result<Timestamp, Failure> {
        Ok(Timestamp::from_millis(self.number(index)?))
    }

    pub(super) fn flag(&self, index: usize) -> Result<bool, Failure> {
        Ok(self.number(index)? != 0)
    }

    pub(super) fn text(&self, index: usize) -> Result<&str, Failure> {
        self.0.get_ref(index)?.as_str().map_err(|_| self.damaged(index))
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Bytes, Failure> {
        let bytes = self.0.get_ref(index)?.as_blob().map_err(|_| self.damaged(index))?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    /// `None` for NULL.
    pub(super) fn optional<T>(
        &self,
        index: usize,
        read: impl FnOnce(&Self, usize) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        match self.0.get_ref(index)? {
            ValueRef::Null => Ok(None),
            _ => read(self, index).map(Some),
        }
    }

    fn number(&self, index: usize) -> Result<i64, Failure> {
        self.0.get_ref(index)?.as_i64().map_err(|_| self.damaged(index))
    }

    /// Names the column, never what stands in it.
    fn damaged(&self, index: usize) -> Failure {
        Failure::damaged(self.0.as_ref().column_name(index).unwrap_or("?"))
    }
}
