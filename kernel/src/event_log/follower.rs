//! The reader of the adapters that live within this process: it follows the tails that they publish.
//!
//! Invariant: a cursor moves only in the same step in which its records are handed out, after the last
//! await. So a dropped [`EventReader::next`] loses nothing and doubles nothing. No polling: it sleeps
//! until a tail moves or the group changes.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use async_trait::async_trait;
use schemas::{Partition, Position};
use tokio::sync::watch;

use super::{
    BATCH_LEN_MAX, Delivery, EventReader, ReadError, Readership, Record,
    groups::{Groups, MemberId},
};

/// What a log must offer to be followed. Its partitions have no holes.
#[async_trait]
pub(super) trait Followed: Send + Sync + fmt::Debug + 'static {
    /// The position after the last durable record of every partition, by number; told when one moves.
    fn tails(&self) -> &watch::Sender<Vec<Position>>;

    /// The readers that share partitions.
    fn groups(&self) -> &Groups;

    /// See [`super::EventLog::read`].
    async fn records(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError>;

    /// Where the group goes on in a partition; the start if it never committed.
    async fn checkpoint(&self, group: &'static str, partition: Partition) -> Result<Position, ReadError>;

    /// Moves that place forward; resolves when it is durable. A smaller position than before changes nothing.
    async fn set_checkpoint(
        &self,
        group: &'static str,
        partition: Partition,
        position: Position,
    ) -> Result<(), ReadError>;
}

/// Follows a log.
#[derive(Debug)]
pub(super) struct Follower<L: Followed> {
    log: Arc<L>,
    tails: watch::Receiver<Vec<Position>>,
    /// For a reader of a group.
    membership: Option<Membership>,
    /// Where to go on, for each partition that is ours.
    cursors: BTreeMap<Partition, Position>,
    /// To be told before any further records.
    announcements: VecDeque<Delivery>,
    /// The partition that was served last; the others come before it.
    served: Partition,
}

#[derive(Debug)]
struct Membership {
    group: &'static str,
    id: MemberId,
    changes: watch::Receiver<()>,
    /// Whether `cursors` are those of the group as we last saw it.
    settled: bool,
}

impl<L: Followed> Follower<L> {
    /// A reader that begins as its readership says.
    pub(super) fn open(log: Arc<L>, readership: &Readership) -> Self {
        let tails = log.tails().subscribe();
        let mut follower = Self {
            tails,
            membership: None,
            cursors: BTreeMap::new(),
            announcements: VecDeque::new(),
            served: Partition(u32::MAX),
            log,
        };
        match readership {
            Readership::Broadcast => {
                let tails = follower.tails.borrow().clone();
                for (partition, tail) in (0..).map(Partition).zip(tails) {
                    follower.assign(partition, tail);
                }
            }
            Readership::Group(group) => {
                let changes = follower.log.groups().changes();
                let id = follower.log.groups().join(group);
                follower.membership = Some(Membership { group, id, changes, settled: false });
            }
        }
        follower
    }

    fn assign(&mut self, partition: Partition, from: Position) {
        self.cursors.insert(partition, from);
        self.announcements.push_back(Delivery::Assigned { partition, from });
    }

    /// Brings `cursors` in line with the group. Each step leaves them whole, so it may be cut off anywhere.
    async fn settle(&mut self) -> Result<(), ReadError> {
        let Some(membership) = &mut self.membership else { return Ok(()) };
        if membership.settled && !membership.changes.has_changed().unwrap_or(false) {
            return Ok(());
        }
        membership.settled = false;
        membership.changes.mark_unchanged();
        let (group, id) = (membership.group, membership.id);
        let partitions = self.tails.borrow().len();
        for partition in (0..).map(Partition).take(partitions) {
            let ours = self.log.groups().owns(group, id, partition);
            if ours && !self.cursors.contains_key(&partition) {
                let from = self.log.checkpoint(group, partition).await?;
                self.assign(partition, from);
            } else if !ours && self.cursors.remove(&partition).is_some() {
                self.announcements.push_back(Delivery::Revoked { partition });
            }
        }
        if let Some(membership) = &mut self.membership {
            membership.settled = true;
        }
        Ok(())
    }

    /// A partition with unread records, where they begin and where they end; each gets its turn.
    fn unread(&mut self) -> Option<(Partition, Position, Position)> {
        let tails = self.tails.borrow_and_update();
        let after = self.cursors.range((Excluded(self.served), Unbounded));
        after.chain(self.cursors.range(..=self.served)).find_map(|(partition, from)| {
            let tail = *tails.get(partition.0 as usize)?;
            (*from < tail).then_some((*partition, *from, tail))
        })
    }

    async fn fetch(&mut self) -> Result<Option<Delivery>, ReadError> {
        let Some((partition, from, tail)) = self.unread() else { return Ok(None) };
        let records = self.log.records(partition, from, tail, BATCH_LEN_MAX).await?;
        let Some(last) = records.last() else {
            let reason = format!("partition {partition} has a hole at {from}");
            return Err(ReadError::Unavailable { reason });
        };
        self.cursors.insert(partition, last.offset.position());
        self.served = partition;
        Ok(Some(Delivery::Records { partition, records }))
    }

    /// Sleeps until there may be something to do.
    async fn changed(&mut self) {
        // The log holds the other ends of both channels, and we hold the log: they cannot be closed.
        match &mut self.membership {
            None => drop(self.tails.changed().await),
            Some(membership) => tokio::select! {
                _ = self.tails.changed() => {}
                // To be seen by `settle` as well, even if this future is dropped.
                _ = membership.changes.changed() => membership.settled = false,
            },
        }
    }
}

#[async_trait]
impl<L: Followed> EventReader for Follower<L> {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        loop {
            self.settle().await?;
            if let Some(announcement) = self.announcements.pop_front() {
                return Ok(announcement);
            }
            if let Some(delivery) = self.fetch().await? {
                return Ok(delivery);
            }
            self.changed().await;
        }
    }

    async fn commit(&mut self, partition: Partition, position: Position) -> Result<(), ReadError> {
        if partition.0 as usize >= self.tails.borrow().len() {
            return Err(ReadError::NoPartition { partition });
        }
        let Some(Membership { group, id, .. }) = self.membership else { return Ok(()) };
        if !self.log.groups().owns(group, id, partition) {
            let reason = format!("partition {partition} belongs to another reader of the group now");
            return Err(ReadError::Unavailable { reason });
        }
        self.log.set_checkpoint(group, partition, position).await
    }
}

impl<L: Followed> Drop for Follower<L> {
    fn drop(&mut self) {
        if let Some(Membership { group, id, .. }) = self.membership {
            self.log.groups().leave(group, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        event_log::{EventLog, NewRecord, memory::MemoryLog, partition_of},
    };

    const STORE: Readership = Readership::Group("store");

    fn log() -> MemoryLog {
        MemoryLog::new(2, Arc::new(SystemClock))
    }

    async fn append(log: &MemoryLog, key: &str, count: usize) {
        let record = NewRecord { key: key.parse().unwrap(), value: "x".into(), headers: vec![] };
        log.append(vec![record; count]).await.unwrap();
    }

    async fn assigned(reader: &mut dyn EventReader) -> (Partition, Position) {
        match reader.next().await.unwrap() {
            Delivery::Assigned { partition, from } => (partition, from),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn who_lost_a_partition_cannot_commit_it() {
        let log = log();
        let mut first = log.open(STORE).await.unwrap();
        let kept = Position::new(1);
        first.commit(Partition(1), kept).await.unwrap();
        let mut second = log.open(STORE).await.unwrap();
        let error = first.commit(Partition(1), Position::new(9)).await.unwrap_err();
        assert!(error.retryable(), "{error}");
        first.commit(Partition(0), kept).await.unwrap();
        assert_eq!(assigned(&mut *second).await, (Partition(1), kept));
    }

    #[tokio::test]
    async fn a_commit_never_takes_work_back() {
        let log = log();
        let mut reader = log.open(STORE).await.unwrap();
        for position in [2, 1] {
            reader.commit(Partition(0), Position::new(position)).await.unwrap();
        }
        assert_eq!(assigned(&mut *reader).await, (Partition(0), Position::new(2)));
    }

    #[tokio::test]
    async fn a_commit_of_an_unknown_partition_is_an_error() {
        let mut reader = log().open(STORE).await.unwrap();
        let error = reader.commit(Partition(2), Position::START).await.unwrap_err();
        assert!(matches!(error, ReadError::NoPartition { partition: Partition(2) }), "{error}");
    }

    #[tokio::test]
    async fn a_busy_partition_does_not_keep_others_waiting() {
        let log = log();
        let mut reader = log.open(Readership::Broadcast).await.unwrap();
        for _ in 0..2 {
            assigned(&mut *reader).await;
        }
        // The busy one comes first by number.
        let [busy, other] = [0, 1].map(|partition| {
            let mut keys = (0..).map(|n| format!("c{n}"));
            keys.find(|key| partition_of(&key.parse().unwrap(), 2) == Partition(partition)).unwrap()
        });
        append(&log, &busy, BATCH_LEN_MAX).await;
        append(&log, &busy, BATCH_LEN_MAX).await;
        append(&log, &other, 1).await;
        let mut served = Vec::new();
        for _ in 0..3 {
            let Delivery::Records { partition, .. } = reader.next().await.unwrap() else { panic!() };
            served.push(partition.0);
        }
        assert_eq!(served, [0, 1, 0]);
    }
}
