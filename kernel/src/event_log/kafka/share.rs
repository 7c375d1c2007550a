//! A reader's share of the partitions of its group, as Kafka's protocol hands it out.
//!
//! Kafka tells of it in a callback within `poll`. A revocation is carried out there and then: the client may be closing, and
//! waits for that. An assignment is only noted, because where it begins has to be asked of the cluster first, which
//! may take several attempts; the thread that polls carries it out ([`Share::take_changes`]).
//!
//! Invariant: a partition is [owned](Share::owns) from the announcement of its assignment until its revocation, and
//! not a moment longer: what is committed by a reader that lost it could undo the work of the next.

use std::{collections::BTreeSet, mem};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::KafkaError,
    types::RDKafkaRespErr,
};
use schemas::Partition;

use super::context::Told;

/// What Kafka told in callbacks.
#[derive(Debug)]
pub(super) struct Share {
    told: Told,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    changes: Vec<Change>,
    owned: BTreeSet<Partition>,
}

/// A change to be carried out, or to be told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// To be carried out.
    Assigned(Vec<Partition>),
    /// It is done.
    Revoked(Vec<Partition>),
}

impl Share {
    pub(super) fn of(role: &'static str) -> Self {
        Self { told: Told::of(role), state: Mutex::new(State::default()) }
    }

    /// What has changed since it was last asked, in order.
    pub(super) fn take_changes(&self) -> Vec<Change> {
        mem::take(&mut self.state.lock().changes)
    }

    /// This partition is ours from now on.
    pub(super) fn own(&self, partition: Partition) {
        self.state.lock().owned.insert(partition);
    }

    /// Whether a partition is ours.
    pub(super) fn owns(&self, partition: Partition) -> bool {
        self.state.lock().owned.contains(&partition)
    }

    fn revoke(&self, partitions: Vec<Partition>) {
        let mut state = self.state.lock();
        state.owned.retain(|partition| !partitions.contains(partition));
        state.changes.push(Change::Revoked(partitions));
    }
}

impl ClientContext for Share {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.told.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.told.error(error, reason);
    }
}

impl ConsumerContext for Share {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let partitions: Vec<_> =
            list.elements().iter().map(|e| Partition(e.partition().cast_unsigned())).collect();
        if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if !partitions.is_empty() {
                self.state.lock().changes.push(Change::Assigned(partitions));
            } else if let Err(error) = consumer.incremental_assign(list) {
                // "Nothing new for you" has to be agreed to as well.
                tracing::warn!(%error, "the group's decision could not be followed");
            }
            return;
        }
        self.revoke(partitions);
        // If the share was lost, because the group gave this reader up, the protocol is gone too.
        let done = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "partitions could not be given up");
        }
    }
}
