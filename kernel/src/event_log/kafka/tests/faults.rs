//! What happens when brokers fail, and when they are back.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use schemas::caps::APPEND_DEADLINE_MS;
use tokio::time::timeout;

use super::*;
use crate::event_log::{Delivery, conformance::PATIENCE};

const ALL: i32 = -1;

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes within the patience of the suite")
}

pub(super) fn record(value: &str) -> NewRecord {
    NewRecord { key: "tea".parse().unwrap(), value: value.to_owned().into(), headers: Vec::new() }
}

pub(super) async fn append(log: &SharedLog, value: &str) -> Place {
    soon(log.append(vec![record(value)])).await.unwrap()[0]
}

/// The values that the reader brings, until so many are there.
pub(super) async fn values(reader: &mut dyn EventReader, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        match soon(reader.next()).await {
            Ok(Delivery::Records { records, .. }) => {
                values.extend(records.iter().map(|r| String::from_utf8(r.value.to_vec()).unwrap()));
            }
            Ok(_) => {}
            Err(error) => assert!(error.retryable(), "{error}"),
        }
    }
    values
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn brokers_that_are_down_are_told_in_time_and_readers_go_on_when_they_are_back() {
    let subject = Mocked::fresh().await;
    let log = subject.log();
    let mut reader = soon(log.open(Readership::Broadcast)).await.unwrap();
    let before = append(&log, "before").await;
    subject.mock.run(|cluster| cluster.broker_down(ALL)).await.unwrap();

    let began = Instant::now();
    let error = log.append(vec![record("lost")]).await.unwrap_err();
    // It was never sent, and that is known before the deadline makes it unknown.
    assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_millis(APPEND_DEADLINE_MS), "{:?}", began.elapsed());
    let error = soon(log.tail(before.partition)).await.unwrap_err();
    assert!(error.retryable(), "{error}");
    let error = soon(log.read(before.partition, Position::START, before.offset.position(), 1)).await;
    assert!(error.is_err_and(|error| error.retryable()));

    subject.mock.run(|cluster| cluster.broker_up(ALL)).await.unwrap();
    loop {
        match soon(log.append(vec![record("after")])).await {
            Ok(_) => break,
            Err(error) => assert!(error.retryable(), "{error}"),
        }
    }
    let values = values(&mut *reader, 2).await;
    assert_eq!(values[0], "before");
    assert!(values[1..].iter().all(|value| value == "after"), "{values:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_acknowledged_is_unknown() {
    let subject = Mocked::fresh().await;
    let log = subject.log();
    append(&log, "before").await;
    // Taken by the broker; the answer is late.
    let late = Duration::from_millis(2 * APPEND_DEADLINE_MS);
    subject.mock.run(move |cluster| cluster.broker_round_trip_time(ALL, late)).await.unwrap();
    let error = soon(log.append(vec![record("late")])).await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_fails_once_is_sent_again_and_written_once() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    };
    let subject = Mocked::fresh().await;
    let log = subject.log();
    let mut reader = soon(log.open(Readership::Broadcast)).await.unwrap();
    let errors = [
        RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    ];
    for key in [RDKafkaApiKey::Produce, RDKafkaApiKey::Fetch] {
        subject.mock.run(move |cluster| cluster.request_errors(key, &errors)).await;
    }
    for value in ["one", "two", "three"] {
        append(&log, value).await;
    }
    assert_eq!(values(&mut *reader, 3).await, ["one", "two", "three"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_broken_for_good_is_replaced() {
    let subject = Mocked::fresh().await;
    let log = subject.log();
    append(&log, "before").await;
    // The sequence numbers do not fit any more, and librdkafka gives up for good.
    let broken = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 1];
    subject.mock.run(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &broken)).await;
    let error = soon(log.append(vec![record("broken")])).await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error}");
    let place = append(&log, "after").await;
    assert_eq!(subject.log.as_ref().unwrap().0.writer.replaced(), 1);
    let read = log.read(place.partition, Position::new(place.offset.get()), place.offset.position(), 1);
    assert_eq!(soon(read).await.unwrap()[0].value, "after");
}

/// Gives each partition a leader.
async fn lead(subject: &Mocked, leaders: [Option<i32>; PARTITIONS as usize]) {
    for (number, leader) in (0..).zip(leaders) {
        let topic = subject.settings.events_topic();
        subject.mock.run(move |cluster| cluster.partition_leader(&topic, number, leader)).await.unwrap();
    }
}

/// Whether each tail is told, when all are asked for at once.
async fn told(log: &SharedLog) -> Vec<bool> {
    let tails = (0..PARTITIONS).map(|partition| log.tail(Partition(partition)));
    soon(join_all(tails)).await.iter().map(Result::is_ok).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_are_told_while_another_partition_has_no_leader_or_one_that_does_not_answer() {
    let subject = Mocked::on(2).await;
    let log = subject.log();
    let all = async || soon(async { while told(&log).await.contains(&false) {} }).await;
    lead(&subject, [Some(1), Some(1), Some(1), None]).await;
    // As soon as the client has heard of it.
    soon(async { while told(&log).await != [true, true, true, false] {} }).await;

    lead(&subject, [Some(1), Some(1), Some(1), Some(2)]).await;
    all().await;
    let hung = Duration::from_mins(10);
    subject.mock.run(move |cluster| cluster.broker_round_trip_time(2, hung)).await.unwrap();
    let took = async || {
        let began = Instant::now();
        assert_eq!(told(&log).await, [true, true, true, false]);
        began.elapsed()
    };
    // Once everybody waits for it in full.
    let (first, then) = (took().await, took().await);
    assert!(then < first, "{then:?} after {first:?}");

    lead(&subject, [Some(1); PARTITIONS as usize]).await;
    all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_is_not_told_once_is_asked_for_once_more() {
    let subject = Mocked::on(1).await;
    let log = subject.log();
    assert_eq!(told(&log).await, [true; PARTITIONS as usize]);
    let fails = [RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT];
    subject.mock.run(move |cluster| cluster.request_errors(RDKafkaApiKey::ListOffsets, &fails)).await;
    assert!(soon(log.tail(Partition(0))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_moves_to_another_broker_is_followed() {
    let subject = Mocked::on(3).await;
    let log = subject.log();
    let mut reader = soon(log.open(Readership::Broadcast)).await.unwrap();
    let Place { partition, .. } = append(&log, "0").await;
    for (leader, value) in [(1, "1"), (2, "2"), (3, "3")] {
        let topic = subject.settings.events_topic();
        let number = partition.0.cast_signed();
        subject.mock.run(move |c| c.partition_leader(&topic, number, Some(leader))).await.unwrap();
        let place = append(&log, value).await;
        let tail = loop {
            match soon(log.tail(partition)).await {
                Ok(tail) => break tail,
                Err(error) => assert!(error.retryable(), "{error}"),
            }
        };
        assert!(tail.covers(place.offset));
    }
    assert_eq!(values(&mut *reader, 4).await, ["0", "1", "2", "3"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_not_asked_holds_little_and_brings_all() {
    let subject = Mocked::fresh().await;
    let log = subject.log();
    let mut reader = soon(log.open(Readership::Broadcast)).await.unwrap();
    let count = 40;
    for number in 0..count {
        soon(log.append(vec![record(&number.to_string()); 500])).await.unwrap();
    }
    let values = values(&mut *reader, count * 500).await;
    let expected: Vec<String> =
        (0..count).flat_map(|number| std::iter::repeat_n(number.to_string(), 500)).collect();
    assert_eq!(values, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_stands_still_is_begun_anew_while_others_move() {
    for readership in [Readership::Broadcast, Readership::Group("store")] {
        let subject = Mocked::fresh().await;
        let log = subject.log();
        let mut reader = soon(log.open(readership)).await.unwrap();
        let busy = append(&log, "busy").await.partition;
        // It is said to be further than it is, so nothing comes there.
        let (partition, from) = (Partition((busy.0 + 1) % PARTITIONS), Position::new(7));
        subject.log.as_ref().unwrap().0.desk.heard().hear(partition, from);
        let still = Delivery::Assigned { partition, from };
        soon(async {
            while reader.next().await.unwrap() != still {
                append(&log, "busy").await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_not_there_is_told_with_what_to_do() {
    let mock = Mock::start(1);
    let settings = KafkaSettings::new(mock.brokers.clone(), "nothing").unwrap();
    let error = KafkaLog::open(settings).await.unwrap_err();
    assert!(matches!(error, OpenError::NoTopic { .. }), "{error}");
    assert!(error.to_string().contains("tidings topics create"), "{error}");
}
