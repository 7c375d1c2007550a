use futures_util::FutureExt;
use kernel::history::HistoryError;

use super::*;
use crate::testing::{Applying, Troubled, all_of, append, memory_history, memory_log, records, workload};
use crate::{rebuild::rebuild, states::States};

const P0: Partition = Partition(0);

/// The fold of the one partition of `log`, where `history` is.
async fn begun(log: &SharedLog, history: &SharedHistory) -> Result<Folds, ProjectError> {
    let mut folds = Folds::new(SharedLog::clone(log), SharedHistory::clone(history));
    folds.begin(P0).await?;
    Ok(folds)
}

impl Folds {
    async fn take_one(&mut self, records: &[Record]) -> Result<(), ProjectError> {
        self.take(&HashMap::from([(P0, records)])).await
    }

    fn one(&mut self) -> &mut Fold {
        self.by_partition.get_mut(&P0).unwrap()
    }
}

/// A history that the whole of `log` was folded into at once.
async fn folded(log: &SharedLog) -> SharedHistory {
    let history = memory_history();
    let mut folds = begun(log, &history).await.unwrap();
    folds.take_one(&records(log, P0).await).await.unwrap();
    history
}

#[tokio::test]
async fn a_state_that_was_forgotten_comes_back_from_the_history_as_it_was() {
    for seed in 0..5 {
        let log = memory_log(1);
        append(&log, &workload(seed, 300)).await;
        let (kept, forgotten) = (folded(&log).await, memory_history());
        let mut folds = begun(&log, &forgotten).await.unwrap();
        folds.weight_max = 0;
        for some in records(&log, P0).await.chunks(7) {
            folds.take_one(some).await.unwrap();
        }
        assert_eq!(all_of(&log, &kept).await, all_of(&log, &forgotten).await);
    }
}

#[tokio::test]
async fn a_step_that_failed_goes_on_where_it_was() {
    let log = memory_log(1);
    append(&log, &workload(7, 300)).await;
    let history = Troubled::new(memory_history());
    let mut folds = begun(&log, &history.shared()).await.unwrap();
    for some in records(&log, P0).await.chunks(50) {
        let before = folds.place(P0).unwrap();
        history.reads_fail(true);
        // Before the first load nothing is known, later the states are at hand.
        let first = folds.take_one(some).await;
        history.reads_fail(false);
        history.apply(Applying::Fails);
        if first.is_err() {
            assert!(folds.take_one(some).await.unwrap_err().retryable());
            assert_eq!(folds.place(P0).unwrap(), before);
        }
        history.apply(Applying::Unheard);
        let _ = folds.take_one(some).await;
        history.apply(Applying::Works);
        folds.take_one(some).await.unwrap();
        assert_eq!(folds.place(P0).unwrap(), some.last().unwrap().offset.position());
    }
    assert_eq!(all_of(&log, &folded(&log).await).await, all_of(&log, &history.inner).await);
}

#[tokio::test]
async fn what_was_folded_is_not_lost_with_a_caller_who_goes_away() {
    let (log, history) = (memory_log(2), Troubled::new(memory_history()));
    append(&log, &workload(7, 300)).await;
    let mut folds = Folds::new(SharedLog::clone(&log), history.shared());
    let mut records_of = HashMap::new();
    for partition in [P0, Partition(1)] {
        folds.begin(partition).await.unwrap();
        records_of.insert(partition, records(&log, partition).await);
    }
    let both = records_of.iter().map(|(partition, records)| (*partition, &records[..])).collect();
    history.hold_snapshots(Some(Partition(1)));
    assert!(folds.take(&both).now_or_never().is_none(), "one is folded, and the other waits");
    history.hold_snapshots(None);
    folds.take(&both).await.unwrap();
    let rebuilt = memory_history();
    rebuild(SharedLog::clone(&log), SharedHistory::clone(&rebuilt), |_| ()).await.unwrap();
    assert_eq!(all_of(&log, &rebuilt).await, all_of(&log, &history.inner).await);
}

#[tokio::test]
async fn what_is_in_use_is_not_loaded_again_however_heavy_it_is() {
    let (log, history) = (memory_log(1), Troubled::new(memory_history()));
    append(&log, &workload(7, 300)).await;
    let mut folds = begun(&log, &history.shared()).await.unwrap();
    folds.weight_max = 0;
    // Each has something of every conversation.
    for some in records(&log, P0).await.chunks(100) {
        folds.take_one(some).await.unwrap();
    }
    assert_eq!(history.now().folds, 5, "each conversation once");
}

#[tokio::test]
async fn the_history_of_another_log_is_refused() {
    let (log, other) = (memory_log(1), memory_log(1));
    append(&log, &workload(1, 10)).await;
    append(&other, &workload(1, 10)).await;
    let history = folded(&log).await;
    let error = begun(&other, &history).await.unwrap_err();
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
        |up_to| Batch { epoch: log.epoch(), up_to: [(P0, Position::new(up_to))].into(), events: Vec::new() };
    history.apply(batch(10)).await.unwrap();
    assert!(begun(&log, &history).await.is_ok());
    history.apply(batch(11)).await.unwrap();
    let error = begun(&log, &history).await.unwrap_err();
    assert!(matches!(error, ProjectError::AheadOfLog { .. }) && !error.retryable());
}

#[tokio::test]
async fn a_history_that_lost_what_it_had_is_noticed() {
    let log = memory_log(1);
    append(&log, &workload(1, 20)).await;
    let mut folds = begun(&log, &memory_history()).await.unwrap();
    let records = records(&log, P0).await;
    folds.take_one(&records[..10]).await.unwrap();
    folds.one().states = States::default();
    folds.one().history = memory_history();
    let error = folds.take_one(&records).await.unwrap_err();
    assert!(matches!(error, ProjectError::WentBack { .. }) && !error.retryable());
}

#[tokio::test]
async fn two_folds_of_one_partition_do_not_disturb_each_other() {
    for seed in 0..5 {
        let log = memory_log(1);
        append(&log, &workload(seed, 300)).await;
        let (records, history) = (records(&log, P0).await, memory_history());
        // As when a partition was handed over and its former owner has not heard of it.
        let mut former = begun(&log, &history).await.unwrap();
        former.take_one(&records[..10]).await.unwrap();
        let mut owner = begun(&log, &history).await.unwrap();
        owner.take_one(&records[10..150]).await.unwrap();
        former.weight_max = 0;
        former.take_one(&records[..100]).await.unwrap();
        former.one().states = States::default();
        former.take_one(&records[..200]).await.unwrap();
        owner.take_one(&records).await.unwrap();
        assert_eq!(all_of(&log, &folded(&log).await).await, all_of(&log, &history).await);
    }
}
