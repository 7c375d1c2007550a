//! What an append promises.

use std::{collections::HashMap, sync::Arc};

use futures_util::{FutureExt, future::join_all};
use schemas::{ConversationId, Partition, Position, Timestamp, caps::RECORD_LEN_MAX};
use tokio::task::JoinSet;

use super::{Subject, all, append, numbered, offsets, partitions, record, soon, tail};
use crate::event_log::{AppendError, BATCH_LEN_MAX, SharedLog, partition_of};

/// Offsets start at 0 and rise, by one where the log has no marks of its own.
pub async fn offsets_start_at_0_and_rise<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let mut expected = 0;
    for batch in [1, 2, 1, 7] {
        for place in append(&log, vec![record("tea", "x"); batch]).await {
            let offset = place.offset.get();
            assert!(
                if S::DENSE || expected == 0 { offset == expected } else { offset >= expected },
                "{offset}"
            );
            expected = offset + 1;
        }
    }
    assert!(tail(&log, partition_of(&"tea".parse().unwrap(), super::PARTITIONS)).await.get() >= expected);
}

/// The partition of a record is that of its key, as for every producer.
pub async fn a_key_goes_to_the_partition_of_its_hash<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    assert_eq!(log.partitions(), super::PARTITIONS);
    for _ in 0..2 {
        let batch = numbered(40);
        let keys: Vec<ConversationId> = batch.iter().map(|record| record.key.clone()).collect();
        let places = append(&log, batch).await;
        for (key, place) in keys.iter().zip(places) {
            assert_eq!(place.partition, partition_of(key, super::PARTITIONS), "{key}");
        }
    }
}

/// The places answer the records one by one.
pub async fn places_come_in_the_order_of_the_batch<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let places = append(&log, numbered(100)).await;
    assert_eq!(places.len(), 100);
    let all = all(&log).await;
    for (number, place) in places.iter().enumerate() {
        let record = all[&place.partition].iter().find(|record| record.offset == place.offset).unwrap();
        assert_eq!(record.value, number.to_string());
        assert!(!S::TIMES || record.recorded_at == place.recorded_at);
    }
}

/// No two records share a place, and all of them are there.
pub async fn concurrent_appends_get_distinct_places<S: Subject>() {
    let subject = S::fresh().await;
    let mut appends = JoinSet::new();
    for _ in 0..100 {
        let log = subject.log();
        appends.spawn(async move { append(&log, numbered(5)).await });
    }
    let places = soon(appends.join_all()).await.concat();
    assert_eq!(offsets(&places).len(), 500);
    let stored: usize = all(&subject.log()).await.values().map(Vec::len).sum();
    assert_eq!(stored, 500);
}

/// What one writer appends to a key one after the other, or in one batch, stays in that order, whatever
/// others append meanwhile.
pub async fn a_key_keeps_its_order_under_concurrent_appends<S: Subject>() {
    let subject = S::fresh().await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let log = subject.log();
        writers.spawn(async move {
            for number in 0..20 {
                let value = |part| format!("{writer}:{:04}", number * 2 + part);
                // One key that all write to, and one of the writer's own.
                let own = format!("own-{writer}");
                let pair = |part| [record("shared", value(part)), record(&own, value(part))];
                append(&log, [pair(0), pair(1)].concat()).await;
            }
        });
    }
    soon(writers.join_all()).await;
    let mut orders = HashMap::<_, Vec<String>>::new();
    for record in all(&subject.log()).await.into_values().flatten() {
        let value = String::from_utf8(record.value.to_vec()).unwrap();
        let (writer, number) = value.split_once(':').unwrap();
        orders.entry((record.key, writer.to_owned())).or_default().push(number.to_owned());
    }
    assert_eq!(orders.len(), 16);
    let expected: Vec<String> = (0..40).map(|number| format!("{number:04}")).collect();
    for (whose, order) in orders {
        assert_eq!(order, expected, "{whose:?}");
    }
}

/// There is nothing to append.
pub async fn an_empty_batch_is_refused<S: Subject>() {
    let subject = S::fresh().await;
    let error = soon(subject.log().append(Vec::new())).await.unwrap_err();
    assert!(matches!(error, AppendError::Refused { .. }), "{error}");
}

/// A batch at the limit, and one past it, of which nothing is kept.
pub async fn the_longest_batch_is_taken_and_one_more_refused<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let error = soon(log.append(numbered(BATCH_LEN_MAX + 1))).await.unwrap_err();
    assert!(matches!(error, AppendError::Refused { .. }), "{error}");
    assert_empty(&log).await;
    assert_eq!(append(&log, numbered(BATCH_LEN_MAX)).await.len(), BATCH_LEN_MAX);
}

/// A value at the limit, which comes back whole, and one past it, which takes its batch with it.
pub async fn the_largest_record_is_taken_and_one_byte_more_refused<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let large = |len: usize| (0..len).map(|n| n.to_le_bytes()[0]).collect::<Vec<u8>>();
    let batch = vec![record("tea", "small"), record("tea", large(RECORD_LEN_MAX + 1))];
    let error = soon(log.append(batch)).await.unwrap_err();
    assert!(matches!(error, AppendError::Refused { .. }), "{error}");
    assert_empty(&log).await;
    append(&log, vec![record("tea", large(RECORD_LEN_MAX))]).await;
    let all: Vec<_> = all(&log).await.into_values().flatten().collect();
    assert!(all[0].value == large(RECORD_LEN_MAX), "the value comes back whole");
}

/// The times of a partition do not fall, and readers see those that the writers were told.
pub async fn times_do_not_fall<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let places = join_all((0..50).map(|_| append(&log, numbered(10)))).await.concat();
    let told: HashMap<_, _> =
        places.iter().map(|place| ((place.partition, place.offset), place.recorded_at)).collect();
    for (partition, records) in all(&log).await {
        let mut last = Timestamp::from_millis(i64::MIN);
        for record in records {
            assert!(record.recorded_at >= last, "{record:?} is older than the one before");
            assert!(!S::TIMES || told[&(partition, record.offset)] == record.recorded_at);
            last = record.recorded_at;
        }
    }
}

/// Whoever stops waiting leaves at most one copy behind, and others append as ever.
pub async fn a_dropped_append_harms_nobody<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    for number in 0..50 {
        // Polled once and dropped: whether the record gets in is open.
        drop(log.append(vec![record("tea", format!("dropped {number}"))]).now_or_never());
        append(&log, vec![record("tea", format!("kept {number}"))]).await;
    }
    let values: Vec<String> = all(&log)
        .await
        .into_values()
        .flatten()
        .map(|record| String::from_utf8(record.value.to_vec()).unwrap())
        .collect();
    let kept: Vec<&String> = values.iter().filter(|value| value.starts_with("kept")).collect();
    let expected: Vec<String> = (0..50).map(|number| format!("kept {number}")).collect();
    assert_eq!(kept, expected.iter().collect::<Vec<_>>());
    for number in 0..50 {
        let dropped = format!("dropped {number}");
        assert!(values.iter().filter(|value| **value == dropped).count() <= 1, "{dropped} is there twice");
    }
}

async fn assert_empty(log: &SharedLog) {
    let log = Arc::clone(log);
    let tails = join_all(partitions().map(|partition: Partition| tail(&log, partition))).await;
    assert_eq!(tails, vec![Position::START; super::PARTITIONS as usize]);
}
