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
    /// Takes a message, if it is the next of a partition that is ours.
    pub(super) fn take(&mut self, places: &mut BTreeMap<Partition, Position>, message: &BorrowedMessage<'_>) {
        let partition = record::partition(message);
        let Some(place) = places.get_mut(&partition) else { return };
        let record = record::record(message);
        if place.covers(record.offset) {
            return;
        }
        *place = record.offset.position();
        self.count += 1;
        self.size += record::size(&record);
        self.records.entry(partition).or_default().push(record);
    }
}
