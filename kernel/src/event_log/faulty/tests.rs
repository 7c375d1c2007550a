use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;

use super::*;
use crate::{clock::SystemClock, event_log::memory::MemoryLog};

fn log() -> (FaultyLog, Faults) {
    let faults = Faults::default();
    let log = MemoryLog::new(1, Arc::new(SystemClock));
    (FaultyLog::new(Arc::new(log), &faults), faults)
}

fn record(value: &str) -> NewRecord {
    NewRecord { key: "tea".parse().unwrap(), value: value.to_owned().into(), headers: vec![] }
}

async fn append(log: &FaultyLog, value: &str) -> Result<Vec<Place>, AppendError> {
    log.append(vec![record(value)]).await
}

async fn values(log: &FaultyLog) -> Vec<String> {
    let all = log.log.read(Partition(0), Position::START, Position::new(u64::MAX), 1_000).await.unwrap();
    all.into_iter().map(|record| String::from_utf8(record.value.to_vec()).unwrap()).collect()
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(10), future).await.unwrap()
}

/// A broadcast reader that was told its partition.
async fn reader(log: &FaultyLog) -> Box<dyn EventReader> {
    let mut reader = log.open(Readership::Broadcast).await.unwrap();
    assert!(matches!(reader.next().await.unwrap(), Delivery::Assigned { .. }));
    reader
}

async fn next_value(reader: &mut dyn EventReader) -> Vec<u8> {
    match soon(reader.next()).await.unwrap() {
        Delivery::Records { records, .. } if records.len() == 1 => records[0].value.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_append_that_fails_leaves_nothing_as_often_as_was_said() {
    let (log, faults) = log();
    faults.next(Fault::AppendFails, 2);
    for _ in 0..2 {
        let error = append(&log, "lost").await.unwrap_err();
        assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
    }
    append(&log, "kept").await.unwrap();
    assert_eq!(values(&log).await, ["kept"]);
    assert_eq!(faults.count(Fault::AppendFails), 2);
}

#[tokio::test]
async fn a_fault_that_is_on_strikes_until_it_is_off() {
    let (log, faults) = log();
    faults.on(Fault::AppendFails);
    for _ in 0..3 {
        append(&log, "lost").await.unwrap_err();
    }
    faults.all_off();
    append(&log, "kept").await.unwrap();
    faults.next(Fault::AppendFails, 0);
    append(&log, "kept too").await.unwrap();
    assert_eq!(values(&log).await, ["kept", "kept too"]);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_record_there() {
    let (log, faults) = log();
    faults.next(Fault::AnswerLost, 1);
    let error = append(&log, "there").await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error}");
    assert_eq!(values(&log).await, ["there"]);
}

#[tokio::test]
async fn an_append_is_held_until_it_is_released() {
    let (log, faults) = log();
    faults.next(Fault::AppendHeld, 1);
    let held = tokio::spawn({
        let log = log.clone();
        async move { append(&log, "held").await }
    });
    soon(faults.struck(Fault::AppendHeld, 1)).await;
    append(&log, "overtakes").await.unwrap();
    assert!(!held.is_finished());
    faults.off(Fault::AppendHeld);
    soon(held).await.unwrap().unwrap();
    assert_eq!(values(&log).await, ["overtakes", "held"]);
}

#[tokio::test]
async fn a_late_append_comes_in_after_its_retry() {
    let (log, faults) = log();
    faults.next(Fault::AppendLate, 1);
    let error = append(&log, "late").await.unwrap_err();
    assert!(matches!(error, AppendError::Unknown { .. }), "{error}");
    append(&log, "retry").await.unwrap();
    let mut reader = reader(&log).await;
    faults.off(Fault::AppendLate);
    assert_eq!(next_value(&mut *reader).await, b"late");
    assert_eq!(values(&log).await, ["retry", "late"]);
}

#[tokio::test]
async fn reads_tails_opens_and_commits_fail_each_for_itself() {
    let (log, faults) = log();
    append(&log, "x").await.unwrap();
    let read = || log.read(Partition(0), Position::START, Position::new(9), 9);
    let mut reader = reader(&log).await;
    for fault in [Fault::ReadFails, Fault::TailFails, Fault::OpenFails, Fault::CommitFails] {
        faults.on(fault);
        assert_eq!(read().await.is_err(), fault == Fault::ReadFails);
        assert_eq!(log.tail(Partition(0)).await.is_err(), fault == Fault::TailFails);
        assert_eq!(log.open(Readership::Broadcast).await.is_err(), fault == Fault::OpenFails);
        let commit = reader.commit(Partition(0), Position::START).await;
        assert_eq!(commit.is_err(), fault == Fault::CommitFails);
        faults.off(fault);
    }
}

#[tokio::test]
async fn a_reader_that_failed_goes_on_with_nothing_lost() {
    let (log, faults) = log();
    let mut reader = reader(&log).await;
    for value in ["one", "two", "three"] {
        append(&log, value).await.unwrap();
        faults.next(Fault::ReaderFails, 2);
        for _ in 0..2 {
            assert!(soon(reader.next()).await.unwrap_err().retryable());
        }
        assert_eq!(next_value(&mut *reader).await, value.as_bytes());
    }
}

#[tokio::test]
async fn a_reader_that_waits_already_fails_at_once() {
    let (log, faults) = log();
    let mut reader = reader(&log).await;
    let waiting = tokio::spawn(async move { reader.next().await.is_err() });
    tokio::task::yield_now().await;
    faults.next(Fault::ReaderFails, 1);
    assert!(soon(waiting).await.unwrap());
}

#[tokio::test]
async fn a_held_reader_is_held_over_dropped_calls_and_loses_nothing() {
    let (log, faults) = log();
    let mut reader = reader(&log).await;
    faults.next(Fault::ReaderHeld, 1);
    for value in ["one", "two"] {
        append(&log, value).await.unwrap();
        assert!(reader.next().now_or_never().is_none(), "held");
    }
    assert_eq!(faults.count(Fault::ReaderHeld), 1);
    faults.off(Fault::ReaderHeld);
    assert_eq!(next_value(&mut *reader).await, b"one");
    assert_eq!(next_value(&mut *reader).await, b"two");
}
