//! A message of librdkafka's as a record of ours: copied, because a message holds on to the whole fetch that it came with.

use bytes::Bytes;
use rdkafka::{
    Message, Timestamp as KafkaTimestamp,
    message::{BorrowedMessage, Headers},
};
use schemas::{Offset, Partition, Timestamp};

use crate::event_log::{Header, Record};

/// The partition of a message.
pub(super) fn partition(message: &BorrowedMessage<'_>) -> Partition {
    Partition(message.partition().cast_unsigned())
}

/// A message as a record. Somebody else's may lack key, value or time; it is a record like any other.
pub(super) fn record(message: &BorrowedMessage<'_>) -> Record {
    let bytes = |bytes: Option<&[u8]>| bytes.map(Bytes::copy_from_slice).unwrap_or_default();
    let recorded_at = match message.timestamp() {
        KafkaTimestamp::LogAppendTime(ms) | KafkaTimestamp::CreateTime(ms) => ms,
        KafkaTimestamp::NotAvailable => 0,
    };
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    Record {
        // An offset is never negative.
        offset: Offset::try_from(message.offset()).unwrap_or_default(),
        recorded_at: Timestamp::from_millis(recorded_at),
        key: bytes(message.key()),
        value: bytes(message.payload()),
        headers: headers.map(|h| Header { name: h.key.to_owned(), value: bytes(h.value) }).collect(),
    }
}

/// How many bytes a record holds.
pub(super) fn size(record: &Record) -> usize {
    let headers: usize = record.headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    record.key.len() + record.value.len() + headers
}
