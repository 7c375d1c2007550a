//! Columns as our own types. What does not fit them is damage; the column is named, never what stands in it.

use std::{str::FromStr, sync::Arc};

use bytes::Bytes;
use kernel::history::{HistoryError, StoredEvent, Word};
use schemas::{Timestamp, codec::Codec};
use scylla::value::CqlTimestamp;

/// An event of either kind: `offset`, `recorded_at`, `void`, `value`.
pub(super) type EventRow = (i64, Option<CqlTimestamp>, Option<bool>, Option<Vec<u8>>);

pub(super) fn damaged(column: &str) -> HistoryError {
    HistoryError::Damaged { reason: format!("the column {column} holds what it may not") }
}

/// A name or text, checked again as it was when it was made.
pub(super) fn parsed<T: FromStr>(column: &str, text: &str) -> Result<T, HistoryError> {
    text.parse().map_err(|_| damaged(column))
}

pub(super) fn word<T: Word>(column: &str, text: &str) -> Result<T, HistoryError> {
    T::of_word(text).ok_or_else(|| damaged(column))
}

pub(super) fn place<T: TryFrom<i64>>(column: &str, number: i64) -> Result<T, HistoryError> {
    T::try_from(number).map_err(|_| damaged(column))
}

pub(super) fn time(CqlTimestamp(millis): CqlTimestamp) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// What must be there whenever the row is.
pub(super) fn there<T>(column: &str, value: Option<T>) -> Result<T, HistoryError> {
    value.ok_or_else(|| damaged(column))
}

/// The title, where an empty text stands for none.
pub(super) fn title(text: Option<&str>) -> Result<Option<schemas::Title>, HistoryError> {
    text.filter(|text| !text.is_empty()).map(|text| parsed("title", text)).transpose()
}

pub(super) fn event(row: EventRow, codec: &Codec) -> Result<StoredEvent, HistoryError> {
    let (offset, recorded_at, void, value) = row;
    let value = Bytes::from(there("value", value)?);
    let event = codec.decode(&value).map_err(|_| damaged("value"))?;
    Ok(StoredEvent {
        offset: place("offset", offset)?,
        recorded_at: time(there("recorded_at", recorded_at)?),
        value,
        event: Arc::new(event),
        void: void.unwrap_or(false),
    })
}
