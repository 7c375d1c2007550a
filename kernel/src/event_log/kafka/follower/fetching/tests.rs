//! What the thread does, without the thread.

use std::time::Instant;

use rdkafka::{config::FromClientConfigAndContext, consumer::BaseConsumer};

use super::*;
use crate::event_log::{
    EventLog,
    conformance::{PARTITIONS, PATIENCE, Subject},
    kafka::{
        share::Share,
        tests::{Mocked, to_each},
    },
};

/// The work of a reader of the group "store".
fn work(subject: &Mocked) -> Work {
    let log = &subject.log.as_ref().unwrap().0;
    let config = subject.settings.group_consumer("store");
    let consumer = BaseConsumer::from_config_and_context(&config, Share::of("store")).unwrap();
    consumer.subscribe(&[&log.topic]).unwrap();
    Work::new(consumer, Places::new(log.topic.clone(), Arc::default(), Arc::clone(&log.desk)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_when_the_thread_panics() {
    let subject = Mocked::fresh().await;
    let work = work(&subject);
    let mailbox = Arc::clone(&work.places.mailbox);
    let panicked = thread::spawn(move || {
        let _work = work;
        panic!("a defect, for the test");
    });
    panicked.join().unwrap_err();
    assert!(matches!(mailbox.pop(), Some(Err(ReadError::Ended))));
}

/// A reader of the group "store" whose steps the test takes, and what came to it.
struct Stepped {
    work: Work,
    /// Behind the last record that came of each partition.
    came: BTreeMap<Partition, Position>,
}

impl Stepped {
    /// Takes steps until it is so.
    fn until(&mut self, what: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !what(self) {
            assert!(began.elapsed() < PATIENCE, "it comes within the patience of the suite");
            assert!(self.work.step().is_ok());
        }
    }

    fn has(&self, partitions: impl Fn(u32) -> bool) -> bool {
        self.work.unbegun.is_empty() && partitions(u32::try_from(self.work.places.of.len()).unwrap())
    }

    /// Leaves what comes in the mailbox until that is full and fetching has paused.
    async fn fill(&mut self, log: &impl EventLog) {
        let began = Instant::now();
        while !self.work.places.of.values().all(|place| place.paused) {
            assert!(began.elapsed() < PATIENCE, "the mailbox is full within the patience of the suite");
            append_to_each(log).await;
            assert!(self.work.step().is_ok());
        }
    }

    /// Takes what comes until the last record of each of its partitions has come.
    async fn take_all(&mut self, log: &impl EventLog) {
        let ends = append_to_each(log).await;
        let began = Instant::now();
        while !self.work.places.of.keys().all(|partition| self.came.get(partition) == ends.get(partition)) {
            assert!(began.elapsed() < PATIENCE, "{:?} of {ends:?}", self.came);
            while let Some(delivery) = self.work.places.mailbox.pop() {
                let Delivery::Records { partition, records } = delivery.unwrap() else { continue };
                self.came.insert(partition, records.last().unwrap().offset.position());
            }
            assert!(self.work.step().is_ok());
        }
    }
}

/// Appends a record to each partition, and gives the places behind them.
async fn append_to_each(log: &impl EventLog) -> BTreeMap<Partition, Position> {
    let places = log.append(to_each(1)).await.unwrap();
    places.into_iter().map(|place| (place.partition, place.offset.position())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_paused_goes_on_whatever_the_group_decides_meanwhile() {
    let subject = Mocked::fresh().await;
    let log = subject.log.clone().unwrap();
    let mut ours = Stepped { work: work(&subject), came: BTreeMap::new() };
    ours.until(|ours| ours.has(|partitions| partitions == PARTITIONS));

    // Others come to those that are paused.
    let theirs = log.0.join("store").unwrap();
    ours.until(|ours| ours.has(|partitions| partitions < PARTITIONS));
    ours.fill(&log).await;
    drop(theirs);
    ours.until(|ours| ours.has(|partitions| partitions == PARTITIONS));
    ours.take_all(&log).await;

    // Some go while they are paused, and come back.
    ours.fill(&log).await;
    let theirs = log.0.join("store").unwrap();
    ours.until(|ours| ours.has(|partitions| partitions < PARTITIONS));
    ours.take_all(&log).await;
    drop(theirs);
    ours.until(|ours| ours.has(|partitions| partitions == PARTITIONS));
    ours.take_all(&log).await;
}
