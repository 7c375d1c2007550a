//! The log no longer begins at 0.

use std::sync::Arc;

use kernel::{
    event_log::{ReadError, Readership, SharedLog, kafka::testing::OnBroker},
    history::{SharedHistory, memory::MemoryHistory},
};
use rdkafka::{
    ClientConfig, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use schemas::{Partition, Position};
use store::{Projector, rebuild};
use tests::wait::until;

use crate::{
    brokers,
    drawn::{Brought, append, commit, open, soon, value},
};

/// Five records, of which the first three go as retention lets them go.
async fn shortened(subject: &OnBroker, log: &SharedLog) -> Partition {
    shortened_to(3, subject, log).await
}

/// Five records, of which so many go.
async fn shortened_to(start: i64, subject: &OnBroker, log: &SharedLog) -> Partition {
    let partition = append(log, "0").await.partition;
    for value in ["1", "2", "3", "4"] {
        append(log, value).await;
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", subject.settings().brokers()).create().unwrap();
    let mut before = TopicPartitionList::new();
    let topic = subject.settings().events_topic();
    before.add_partition_offset(&topic, partition.0.cast_signed(), Offset::Offset(start)).unwrap();
    let gone = soon(admin.delete_records(&before, &AdminOptions::new())).await.unwrap();
    assert!(gone.elements().iter().all(|element| element.error().is_ok()), "{gone:?}");
    partition
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_begins_with_the_first_record_there_is() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = subject.log();
    let partition = shortened(&subject, &log).await;
    let read = async |up_to, limit| {
        let read = log.read(partition, Position::START, Position::new(up_to), limit);
        soon(read).await.unwrap().iter().map(value).collect::<Vec<_>>()
    };
    assert_eq!(read(5, 100).await, ["3", "4"]);
    assert_eq!(read(4, 100).await, ["3"]);
    assert_eq!(read(5, 1).await, ["3"]);

    // The same consumer turns back and forth, as fast as it can: that once ended the process.
    for _ in 0..100 {
        assert!(read(2, 100).await.is_empty());
        assert_eq!(read(5, 100).await, ["3", "4"]);
    }

    let mut group = open(&log, Readership::Group("store")).await;
    let mut brought = Brought::default();
    brought.until(&mut *group, partition, |brought| brought.values.len() == 2).await;
    assert_eq!(
        (&brought.begun[..], &brought.values[..]),
        (&[Position::new(3)][..], &["3".into(), "4".into()][..])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_whose_next_record_is_gone_is_told_and_skips_nothing() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = subject.log();
    let partition = append(&log, "first").await.partition;
    let mut group = open(&log, Readership::Group("store")).await;
    let mut brought = Brought::default();
    brought.until(&mut *group, partition, |brought| !brought.values.is_empty()).await;
    commit(&mut *group, partition, Position::new(1)).await;
    drop(group);
    shortened(&subject, &log).await;
    let mut group = open(&log, Readership::Group("store")).await;
    let ended = async {
        loop {
            match group.next().await {
                Ok(kernel::event_log::Delivery::Records { records, .. }) => {
                    panic!("it skipped to {records:?}")
                }
                Err(error) if !error.retryable() => return error,
                Ok(_) | Err(_) => {}
            }
        }
    };
    let error = soon(ended).await;
    assert!(matches!(error, ReadError::Lost { .. }), "{error}");
}

/// Or whoever asks would wait for records that are gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_level_with_a_partition_whose_records_are_all_gone() {
    let Some(brokers) = brokers().await else { return };
    let subject = OnBroker::fresh(&brokers).await;
    let log = subject.log();
    let partition = shortened_to(5, &subject, &log).await;
    let level = async |history: &SharedHistory| {
        let progress = history.progress(partition).await.unwrap();
        progress.is_some_and(|progress| progress.position == Position::new(5))
    };
    let rebuilt: SharedHistory = Arc::new(MemoryHistory::new());
    soon(rebuild(SharedLog::clone(&log), SharedHistory::clone(&rebuilt), |_| ())).await.unwrap();
    assert!(level(&rebuilt).await);
    let kept: SharedHistory = Arc::new(MemoryHistory::new());
    let projector = Projector::start(SharedLog::clone(&log), SharedHistory::clone(&kept));
    until("the history to be level", async || Ok(level(&kept).await.then_some(()))).await.unwrap();
    soon(projector.stop()).await.unwrap();
}
