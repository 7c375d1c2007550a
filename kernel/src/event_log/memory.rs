//! The log in memory: for tests, simulations and trying things out.
//!
//! It keeps every promise of the port but one: it ends with its last clone. So a simulation that
//! restarts a node keeps a clone, as a machine keeps its disk.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::Mutex;
use schemas::{Epoch, Offset, Partition, Position, Timestamp};
use tokio::sync::watch;

use super::{
    AppendError, BATCH_LEN_MAX, EventLog, EventReader, NewRecord, Place, ReadError, Readership, Record,
    check_batch,
    follower::{Followed, Follower},
    groups::Groups,
    partition_of,
};
use crate::clock::Clock;

/// A log in memory. A clone is the same log.
#[derive(Debug, Clone)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    epoch: Epoch,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    tails: watch::Sender<Vec<Position>>,
    groups: Groups,
}

#[derive(Debug)]
struct State {
    /// By number; the index of a record is its offset.
    partitions: Vec<Vec<Record>>,
    checkpoints: HashMap<(&'static str, Partition), Position>,
}

impl MemoryLog {
    /// An empty log with so many partitions (at least 1), under a fresh epoch.
    pub fn new(partitions: u32, clock: Arc<dyn Clock>) -> Self {
        let partitions = vec![Vec::new(); partitions.max(1) as usize];
        let tails = vec![Position::START; partitions.len()];
        Self(Arc::new(Shared {
            epoch: crate::random::epoch(),
            clock,
            state: Mutex::new(State { partitions, checkpoints: HashMap::new() }),
            tails: watch::Sender::new(tails),
            groups: Groups::default(),
        }))
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    fn partitions(&self) -> u32 {
        u32::try_from(self.0.tails.borrow().len()).unwrap_or(u32::MAX)
    }

    fn epoch(&self) -> Epoch {
        self.0.epoch.clone()
    }

    async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        check_batch(&batch)?;
        let count = self.partitions();
        let mut state = self.0.state.lock();
        // Read under the lock, so that times are given in the order of the offsets.
        let now = self.0.clock.now();
        let place = |record: NewRecord| state.add(partition_of(&record.key, count), record, now);
        let places = batch.into_iter().filter_map(place).collect();
        let tails = state.partitions.iter().map(|records| Position::new(records.len() as u64)).collect();
        self.0.tails.send_replace(tails);
        Ok(places)
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        self.0.records(partition, from, up_to, limit).await
    }

    async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        let tail = self.0.tails.borrow().get(partition.0 as usize).copied();
        tail.ok_or(ReadError::NoPartition { partition })
    }

    async fn open(&self, readership: Readership) -> Result<Box<dyn EventReader>, ReadError> {
        Ok(Box::new(Follower::open(Arc::clone(&self.0), &readership)))
    }
}

impl State {
    /// Adds a record to a partition, which exists.
    fn add(&mut self, partition: Partition, record: NewRecord, now: Timestamp) -> Option<Place> {
        let records = self.partitions.get_mut(partition.0 as usize)?;
        let offset = Offset::new(records.len() as u64);
        let recorded_at = records.last().map_or(now, |last| last.recorded_at.max(now));
        records.push(record.at(offset, recorded_at));
        Some(Place { partition, offset, recorded_at })
    }
}

#[async_trait]
impl Followed for Shared {
    fn tails(&self) -> &watch::Sender<Vec<Position>> {
        &self.tails
    }

    fn groups(&self) -> &Groups {
        &self.groups
    }

    async fn records(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let state = self.state.lock();
        let records =
            state.partitions.get(partition.0 as usize).ok_or(ReadError::NoPartition { partition })?;
        let index = |position: Position| usize::try_from(position.get()).unwrap_or(usize::MAX);
        let end = index(up_to).min(records.len());
        let found = records.get(index(from)..end).unwrap_or_default();
        Ok(found.iter().take(limit.clamp(1, BATCH_LEN_MAX)).cloned().collect())
    }

    async fn checkpoint(&self, group: &'static str, partition: Partition) -> Result<Position, ReadError> {
        Ok(self.state.lock().checkpoints.get(&(group, partition)).copied().unwrap_or_default())
    }

    async fn set_checkpoint(
        &self,
        group: &'static str,
        partition: Partition,
        position: Position,
    ) -> Result<(), ReadError> {
        let mut state = self.state.lock();
        let checkpoint = state.checkpoints.entry((group, partition)).or_default();
        *checkpoint = position.max(*checkpoint);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{ManualClock, SystemClock},
        event_log::{SharedLog, conformance},
    };

    struct Memory(MemoryLog);

    #[async_trait]
    impl conformance::Subject for Memory {
        const DENSE: bool = true;

        async fn fresh() -> Self {
            Self(MemoryLog::new(conformance::PARTITIONS, Arc::new(SystemClock)))
        }

        fn log(&self) -> SharedLog {
            Arc::new(self.0.clone())
        }

        async fn reopen(&mut self) {
            let last = Arc::strong_count(&self.0.0) == 1;
            assert!(last, "the case has dropped its logs and readers");
        }
    }

    crate::event_log_conformance!(Memory);

    #[tokio::test]
    async fn times_stand_still_while_the_clock_goes_back() {
        let clock = ManualClock::at(Timestamp::from_millis(1_000));
        let log = MemoryLog::new(1, Arc::new(clock.clone()));
        let record = NewRecord { key: "tea".parse().unwrap(), value: "x".into(), headers: vec![] };
        let mut times = Vec::new();
        for step in [0, -500, 499, 2] {
            clock.advance(step);
            times.push(log.append(vec![record.clone()]).await.unwrap()[0].recorded_at.as_millis());
        }
        assert_eq!(times, [1_000, 1_000, 1_000, 1_001]);
    }
}
