//! Who of a group reads which partition, for the adapters that live within this process.
//!
//! ```text
//!   readers in the order they joined:   a   b   c
//!   partition p belongs to number       p mod 3
//! ```
//!
//! Invariant: as long as a group has readers, each partition belongs to exactly one of them. There is
//! nothing here about checkpoints: those must outlive the process, memberships must not.

use std::collections::HashMap;

use parking_lot::Mutex;
use schemas::Partition;
use tokio::sync::watch;

/// Every group of one log.
#[derive(Debug, Default)]
pub(super) struct Groups {
    members: Mutex<Members>,
    /// Told whenever somebody joins or leaves, in whichever group.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Members {
    of: HashMap<&'static str, Vec<MemberId>>,
    joined: u64,
}

/// Names one reader of a group, for the life of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemberId(u64);

impl Groups {
    /// Adds a reader to a group; it takes over some of the partitions.
    pub(super) fn join(&self, group: &'static str) -> MemberId {
        let mut members = self.members.lock();
        members.joined += 1;
        let id = MemberId(members.joined);
        members.of.entry(group).or_default().push(id);
        drop(members);
        self.changes.send_replace(());
        id
    }

    /// Takes a reader out of its group; the others take over its partitions.
    pub(super) fn leave(&self, group: &'static str, id: MemberId) {
        if let Some(members) = self.members.lock().of.get_mut(group) {
            members.retain(|member| *member != id);
        }
        self.changes.send_replace(());
    }

    /// Whether a partition belongs to this reader now.
    pub(super) fn owns(&self, group: &'static str, id: MemberId, partition: Partition) -> bool {
        let members = self.members.lock();
        let Some(members) = members.of.get(group).filter(|members| !members.is_empty()) else { return false };
        let number = partition.0 as usize % members.len();
        members.get(number) == Some(&id)
    }

    /// Tells of every joining and leaving from here on.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(groups: &Groups, id: MemberId) -> Vec<u32> {
        (0..5).filter(|partition| groups.owns("store", id, Partition(*partition))).collect()
    }

    #[test]
    fn every_partition_has_one_reader_whoever_comes_and_goes() {
        let groups = Groups::default();
        let first = groups.join("store");
        assert_eq!(owned(&groups, first), [0, 1, 2, 3, 4]);
        let second = groups.join("store");
        assert_eq!((owned(&groups, first), owned(&groups, second)), (vec![0, 2, 4], vec![1, 3]));
        groups.leave("store", first);
        assert_eq!((owned(&groups, first), owned(&groups, second)), (vec![], vec![0, 1, 2, 3, 4]));
    }

    #[test]
    fn groups_do_not_share_with_each_other() {
        let groups = Groups::default();
        let ours = groups.join("store");
        let _theirs = groups.join("audit");
        assert_eq!(owned(&groups, ours), [0, 1, 2, 3, 4]);
    }
}
