//! A message of librdkafka's as a record of ours: copied, because a message holds on to the whole fetch that it came with.

use bytes::Bytes;
use rdkafka::{Message, Timestamp as KafkaTimestamp, message::BorrowedMessage};
use schemas::{Offset, Partition, Timestamp};

use super::native;
use crate::event_log::Record;

/// The partition of a message.
pub(super) fn partition(message: &BorrowedMessage<'_>) -> Partition {
    Partition(message.partition().cast_unsigned())
}

/// A message as a record. Somebody else's may lack key, value or time, and bear any header; it is a record like any other.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
    let recorded_at = match message.timestamp() {
        KafkaTimestamp::LogAppendTime(ms) | KafkaTimestamp::CreateTime(ms) => ms,
        KafkaTimestamp::NotAvailable => 0,
    };
    Record {
        // An offset is never negative.
        offset: Offset::try_from(message.offset()).unwrap_or_default(),
        recorded_at: Timestamp::from_millis(recorded_at),
        key: bytes(message.key()),
        value: bytes(message.payload()),
        headers: native::headers(message).into(),
    }
}

/// How many bytes a record holds.
pub(super) fn size(record: &Record) -> usize {
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    record.key.len() + record.value.len() + headers
}
