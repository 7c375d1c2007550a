//! What a node wrote itself comes to its readers with the acknowledgement.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::{
    faults::{append, soon, values},
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
        let (mut order, mut next) = (Vec::new(), Position::START);
        while order.len() < 2 * EACH {
            let Delivery::Records { records, .. } = soon(reader.next()).await.unwrap() else { continue };
            for record in records {
                assert_eq!(record.offset, next.next());
                next = record.offset.position();
                order.push(record.value);
            }
        }
        orders.push(order);
    }
    for task in writing {
        task.await.unwrap();
    }
    assert_eq!(orders[0], orders[1]);
    assert_eq!(orders[0].len(), 2 * EACH);
}
