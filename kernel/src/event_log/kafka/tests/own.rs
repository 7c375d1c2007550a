//! What a node wrote itself comes to its readers with the acknowledgement.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::interval;

use super::{
    faults::{append, record, soon, values},
    settings::Pace,
    *,
};
use crate::event_log::Delivery;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_record_is_there_even_while_nothing_can_be_fetched() {
    let subject = Mocked::on(1).await;
    let log = subject.log();
    let mut reader = log.open(Readership::Broadcast).await.unwrap();
    // After each of them a reader pauses: they last longer than anybody here waits.
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR; 1_000];
    subject.mock.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Fetch, &refused)).await;
    for value in ["one", "two", "three"] {
        append(&log, value).await;
    }
    assert_eq!(values(&mut *reader, 3).await, ["one", "two", "three"]);
}

/// The records of a delivery, each of which has to be the next of its partition.
fn in_order(delivery: Delivery, ends: &mut BTreeMap<Partition, Position>) -> Vec<Record> {
    let Delivery::Records { partition, records } = delivery else { return Vec::new() };
    let end = ends.entry(partition).or_insert(Position::START);
    for record in &records {
        assert_eq!(record.offset, end.next());
        *end = record.offset.position();
    }
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_nodes_write_at_once_comes_to_each_once_and_in_one_order() {
    const EACH: usize = 500;
    let subject = Mocked::on(1).await;
    let logs = [subject.log(), Arc::new(KafkaLog::open(subject.settings.clone()).await.unwrap())];
    let mut readers = Vec::new();
    for log in &logs {
        readers.push(log.open(Readership::Broadcast).await.unwrap());
    }
    let writing = logs.into_iter().enumerate().map(|(number, log)| {
        tokio::spawn(async move {
            for index in 0..EACH {
                append(&log, &format!("{number}-{index}")).await;
            }
        })
    });
    let writing: Vec<_> = writing.collect();
    let mut orders = Vec::new();
    for mut reader in readers {
        let (mut order, mut ends) = (Vec::new(), BTreeMap::new());
        while order.len() < 2 * EACH {
            let records = in_order(soon(reader.next()).await.unwrap(), &mut ends);
            order.extend(records.into_iter().map(|record| record.value));
        }
        orders.push(order);
    }
    for task in writing {
        task.await.unwrap();
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0].len(), 2 * EACH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_alone_is_in_no_hurry_and_nothing_is_lost_or_doubled_when_somebody_comes_and_goes() {
    let subject = Mocked::on(1).await;
    let ours = subject.log.clone().unwrap();
    let theirs = KafkaLog::open(subject.settings.clone()).await.unwrap();
    let mut reader = ours.0.follow().await.unwrap();
    let (mut written, mut came) = (0, 0);
    let mut ends = BTreeMap::new();
    // Enough to be worth while, and not more than the mock cluster keeps.
    let mut beat = interval(Duration::from_millis(10));
    for pace in [Pace::Unhurried, Pace::Hurried, Pace::Unhurried] {
        soon(async {
            while reader.pace() != Some(pace) {
                beat.tick().await;
                written += ours.append(vec![record("ours"); 10]).await.unwrap().len();
                if pace == Pace::Hurried {
                    written += theirs.append(vec![record("theirs")]).await.unwrap().len();
                }
                while came < written {
                    came += in_order(reader.next().await.unwrap(), &mut ends).len();
                }
            }
        })
        .await;
    }
}
