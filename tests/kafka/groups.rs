//! Members of a group that were slow, or that lost their share.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use kernel::event_log::{
    Delivery, NewRecord, Readership, SharedLog,
    kafka::{KafkaLog, testing::OnBroker},
};
use schemas::{Partition, Position};

use crate::{
    brokers,
    drawn::{Brought, commit, open, record, soon},
};

/// For how long a member may not poll before the group gives it up, in milliseconds. The broker allows no less.
const POLL_INTERVAL_MS: u64 = 6_000;

/// The log with members that are given up soon.
async fn impatient(subject: &OnBroker) -> SharedLog {
    let properties = [
        ("session.timeout.ms", POLL_INTERVAL_MS),
        ("max.poll.interval.ms", POLL_INTERVAL_MS),
        ("heartbeat.interval.ms", 500),
    ];
    let properties: BTreeMap<_, _> =
        properties.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
    let settings = subject.settings().clone().with_properties(properties).unwrap();
    Arc::new(KafkaLog::open(settings).await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_owner_is_busy_stays_in_the_group_and_loses_nothing() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = impatient(&subject).await;
    let mut group = open(&log, Readership::Group("store")).await;
    let (count, batch) = (60, 500);
    let mut partition = Partition(0);
    for number in 0..count {
        let places = soon(log.append(vec![record(number.to_string()); batch])).await.unwrap();
        partition = places[0].partition;
    }
    // Twice what the group allows to those who do not poll.
    tokio::time::sleep(Duration::from_millis(2 * POLL_INTERVAL_MS)).await;
    let mut brought = Brought::default();
    brought.until(&mut *group, partition, |brought| brought.values.len() >= count * batch).await;
    let expected: Vec<_> =
        (0..count).flat_map(|number| std::iter::repeat_n(number.to_string(), batch)).collect();
    assert!(brought.values == expected, "records are missing, doubled or out of order");
    assert!(!brought.revoked, "the group gave it up");
    assert_eq!(brought.begun, [Position::START]);
    soon(group.commit(partition, Position::new((count * batch) as u64))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_a_partition_does_not_move_its_checkpoint() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = subject.log();
    let store = || Readership::Group("store");
    // Some in every partition.
    let keys = (0..50).map(|number| NewRecord { key: format!("k{number}").parse().unwrap(), ..record("x") });
    soon(log.append(keys.collect())).await.unwrap();
    let mut first = open(&log, store()).await;
    soon(first.next()).await.unwrap();

    // The first is not asked any more, and hears nothing of what it loses to the second.
    let mut second = open(&log, store()).await;
    let partition = loop {
        if let Ok(Delivery::Assigned { partition, .. }) = soon(second.next()).await {
            break partition;
        }
    };
    commit(&mut *second, partition, Position::new(2)).await;
    let error = soon(first.commit(partition, Position::new(1))).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    drop((first, second));

    let mut next = open(&log, store()).await;
    let mut brought = Brought::default();
    brought.until(&mut *next, partition, |brought| !brought.begun.is_empty()).await;
    assert_eq!(brought.begun, [Position::new(2)]);
}
