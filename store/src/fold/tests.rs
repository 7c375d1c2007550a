use super::*;
use crate::testing::{Applying, Troubled, all_of, append, memory_history, memory_log, records, workload};

const P0: Partition = Partition(0);

/// A history that the whole of `log` was folded into at once.
async fn folded(log: &SharedLog) -> SharedHistory {
    let history = memory_history();
    let mut fold = Fold::begin(log, &history, P0).await.unwrap();
    fold.take(&records(log, P0).await).await.unwrap();
    history
}

#[tokio::test]
async fn a_state_that_was_forgotten_comes_back_from_the_history_as_it_was() {
    for seed in 0..5 {
        let log = memory_log(1);
        append(&log, &workload(seed, 300)).await;
        let (kept, forgotten) = (folded(&log).await, memory_history());
        let mut fold = Fold::begin(&log, &forgotten, P0).await.unwrap();
        fold.weight_max = 0;
        for some in records(&log, P0).await.chunks(7) {
            fold.take(some).await.unwrap();
        }
        assert_eq!(all_of(&log, &kept).await, all_of(&log, &forgotten).await);
    }
}

#[tokio::test]
async fn a_step_that_failed_goes_on_where_it_was() {
    let log = memory_log(1);
    append(&log, &workload(7, 300)).await;
    let history = Troubled::new(memory_history());
    let mut fold = Fold::begin(&log, &history.shared(), P0).await.unwrap();
    for some in records(&log, P0).await.chunks(50) {
        let before = fold.place();
        history.reads_fail(true);
        // Before the first load nothing is known, later the states are at hand.
        let first = fold.take(some).await;
        history.reads_fail(false);
        history.apply(Applying::Fails);
        if first.is_err() {
            assert!(fold.take(some).await.unwrap_err().retryable());
            assert_eq!(fold.place(), before);
        }
        history.apply(Applying::Unheard);
        let _ = fold.take(some).await;
        history.apply(Applying::Works);
        fold.take(some).await.unwrap();
        assert_eq!(fold.place(), some.last().unwrap().offset.position());
    }
    assert_eq!(all_of(&log, &folded(&log).await).await, all_of(&log, &history.inner).await);
}

#[tokio::test]
async fn the_history_of_another_log_is_refused() {
    let (log, other) = (memory_log(1), memory_log(1));
    append(&log, &workload(1, 10)).await;
    append(&other, &workload(1, 10)).await;
    let history = folded(&log).await;
    let error = Fold::begin(&other, &history, P0).await.unwrap_err();
    assert!(matches!(error, ProjectError::History(HistoryError::OtherLog { .. })));
    assert!(!error.retryable());
    assert!(error.to_string().contains("rebuild the history"));
}

#[tokio::test]
async fn a_history_that_is_further_than_the_log_is_refused() {
    let log = memory_log(1);
    append(&log, &workload(1, 10)).await;
    let history = memory_history();
    let batch =
        |up_to| Batch { partition: P0, epoch: log.epoch(), up_to: Position::new(up_to), events: Vec::new() };
    history.apply(batch(10)).await.unwrap();
    assert!(Fold::begin(&log, &history, P0).await.is_ok());
    history.apply(batch(11)).await.unwrap();
    let error = Fold::begin(&log, &history, P0).await.unwrap_err();
    assert!(matches!(error, ProjectError::AheadOfLog { .. }) && !error.retryable());
}

#[tokio::test]
async fn a_history_that_lost_what_it_had_is_noticed() {
    let log = memory_log(1);
    append(&log, &workload(1, 20)).await;
    let mut fold = Fold::begin(&log, &memory_history(), P0).await.unwrap();
    fold.weight_max = 0;
    let records = records(&log, P0).await;
    fold.take(&records[..10]).await.unwrap();
    fold.history = memory_history();
    let error = fold.take(&records).await.unwrap_err();
    assert!(matches!(error, ProjectError::WentBack { .. }) && !error.retryable());
}

#[tokio::test]
async fn two_folds_of_one_partition_do_not_disturb_each_other() {
    for seed in 0..5 {
        let log = memory_log(1);
        append(&log, &workload(seed, 300)).await;
        let (records, history) = (records(&log, P0).await, memory_history());
        // As when a partition was handed over and its former owner has not heard of it.
        let mut former = Fold::begin(&log, &history, P0).await.unwrap();
        former.take(&records[..10]).await.unwrap();
        let mut owner = Fold::begin(&log, &history, P0).await.unwrap();
        owner.take(&records[10..150]).await.unwrap();
        former.weight_max = 0;
        former.take(&records[..100]).await.unwrap();
        former.states = States::default();
        former.take(&records[..200]).await.unwrap();
        owner.take(&records).await.unwrap();
        assert_eq!(all_of(&log, &folded(&log).await).await, all_of(&log, &history).await);
    }
}
