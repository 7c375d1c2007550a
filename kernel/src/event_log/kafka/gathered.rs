//! Records that were fetched together and go out together.

use std::collections::BTreeMap;

use rdkafka::message::BorrowedMessage;
use schemas::{Partition, Position};

use super::record;
use crate::event_log::Record;

/// What goes out together.
#[derive(Default)]
pub(super) struct Gathered {
    /// By partition, in order.
    pub(super) records: BTreeMap<Partition, Vec<Record>>,
    /// How many in all.
    pub(super) count: usize,
    /// Their bytes in all.
    pub(super) size: usize,
}

impl Gathered {
    /// Takes a message, unless it came already; `next` is where its partition goes on.
    pub(super) fn take(&mut self, next: &mut Position, message: &BorrowedMessage<'_>) {
        let record = record::record(message);
        if next.covers(record.offset) {
            return;
        }
        *next = record.offset.position();
        self.count += 1;
        self.size += record::size(&record);
        self.records.entry(record::partition(message)).or_default().push(record);
    }
}
