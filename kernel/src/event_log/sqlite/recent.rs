//! The last records of each partition in memory: whoever follows closely need not ask the file, nor change threads for it.
//!
//! Invariant: what is kept of a partition has no holes, and all of it is committed. What is not kept is in the file.

use std::collections::VecDeque;

use parking_lot::Mutex;
use schemas::{Partition, Position};

use crate::event_log::Record;

/// How much is kept of a partition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Most records.
    pub(super) len_max: usize,
    /// Most bytes of keys and values.
    pub(super) bytes_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { len_max: 4_096, bytes_max: 1_024 * 1_024 }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Recent {
    bounds: Bounds,
    partitions: Vec<Mutex<Kept>>,
}

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new(bounds: Bounds, partitions: usize) -> Self {
        Self { bounds, partitions: (0..partitions).map(|_| Mutex::default()).collect() }
    }

    /// Keeps a record that is committed, and lets go of the oldest that are too many.
    pub(super) fn keep(&self, partition: Partition, record: Record) {
        let Some(kept) = self.partitions.get(partition.0 as usize) else { return };
        let mut kept = kept.lock();
        // Something between them was committed without our knowing, in a commit that seemed to fail.
        if kept.records.back().is_some_and(|last| last.offset.position().next() != record.offset) {
            *kept = Kept::default();
        }
        kept.bytes += size(&record);
        kept.records.push_back(record);
        while kept.records.len() > self.bounds.len_max || kept.bytes > self.bounds.bytes_max {
            let Some(oldest) = kept.records.pop_front() else { break };
            kept.bytes -= size(&oldest);
        }
    }

    /// At most `limit` records of a partition that stand in a stretch of it; `None`: its first is not kept.
    pub(super) fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Option<Vec<Record>> {
        let kept = self.partitions.get(partition.0 as usize)?.lock();
        let first = kept.records.front()?.offset.get();
        let start = usize::try_from(from.get().checked_sub(first)?).ok()?;
        if start >= kept.records.len() {
            return None;
        }
        let rest = kept.records.range(start..).take(limit);
        Some(rest.take_while(|record| up_to.covers(record.offset)).cloned().collect())
    }
}

fn size(record: &Record) -> usize {
    record.key.len() + record.value.len()
}

#[cfg(test)]
mod tests {
    use schemas::{Offset, Timestamp};

    use super::*;

    const P0: Partition = Partition(0);

    fn record(offset: u64, len: usize) -> Record {
        Record {
            offset: Offset::new(offset),
            recorded_at: Timestamp::from_millis(0),
            key: "tea".into(),
            value: vec![0; len].into(),
            headers: [].into(),
        }
    }

    /// The offsets in a stretch, if its first is kept.
    fn read(recent: &Recent, from: u64, up_to: u64, limit: usize) -> Option<Vec<u64>> {
        let records = recent.read(P0, Position::new(from), Position::new(up_to), limit)?;
        Some(records.iter().map(|record| record.offset.get()).collect())
    }

    #[test]
    fn a_stretch_is_read_if_its_first_record_is_kept() {
        let recent = Recent::new(Bounds { len_max: 3, bytes_max: 1_000 }, 1);
        assert_eq!(read(&recent, 0, 9, 9), None);
        (0..5).for_each(|offset| recent.keep(P0, record(offset, 1)));
        assert_eq!(read(&recent, 1, 9, 9), None, "let go");
        assert_eq!(read(&recent, 2, 9, 9), Some(vec![2, 3, 4]));
        assert_eq!(read(&recent, 3, 4, 9), Some(vec![3]));
        assert_eq!(read(&recent, 2, 9, 2), Some(vec![2, 3]));
        assert_eq!(read(&recent, 5, 9, 9), None, "not there yet");
        assert!(recent.read(Partition(1), Position::START, Position::new(9), 9).is_none());
    }

    #[test]
    fn no_more_bytes_are_kept_than_may_be() {
        let recent = Recent::new(Bounds { len_max: 10, bytes_max: 20 }, 1);
        recent.keep(P0, record(0, 7));
        recent.keep(P0, record(1, 7));
        assert_eq!(read(&recent, 0, 9, 9), Some(vec![0, 1]), "as many as may be");
        recent.keep(P0, record(2, 8));
        assert_eq!(read(&recent, 0, 9, 9), None);
        assert_eq!(read(&recent, 2, 9, 9), Some(vec![2]), "one more byte");
        recent.keep(P0, record(3, 18));
        assert_eq!(read(&recent, 3, 9, 9), None, "longer than all that may be kept");
    }

    #[test]
    fn there_is_never_a_hole_in_it() {
        let recent = Recent::new(Bounds::default(), 1);
        recent.keep(P0, record(0, 1));
        recent.keep(P0, record(2, 1));
        assert_eq!(read(&recent, 0, 9, 9), None);
        assert_eq!(read(&recent, 2, 9, 9), Some(vec![2]));
    }
}
