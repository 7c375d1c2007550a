use std::sync::Arc;

use futures_util::FutureExt;
use kernel::{
    event_log::faulty::{Fault, Faults, FaultyLog},
    history::HistoryError,
};

use super::*;
use crate::projector::Projector;
use crate::testing::{Applying, Troubled, append, memory_history, memory_log, workload};

const P0: Partition = Partition(0);

fn fresh(log: &SharedLog, history: &SharedHistory) -> Freshness {
    Freshness::new(SharedLog::clone(log), SharedHistory::clone(history))
}

#[tokio::test(start_paused = true)]
async fn an_empty_log_makes_nobody_wait() {
    let (log, history) = (memory_log(3), memory_history());
    let began = Instant::now();
    fresh(&log, &history).reach_all().await.unwrap();
    assert!(began.elapsed().is_zero());
}

#[tokio::test]
async fn it_waits_until_what_was_accepted_is_there() {
    let (log, history) = (memory_log(1), Troubled::new(memory_history()));
    history.apply(Applying::Held);
    let projector = Projector::start(SharedLog::clone(&log), history.shared());
    append(&log, &workload(1, 10)).await;
    history.struck(1).await;
    let freshness = fresh(&log, &history.shared());
    let mut question = std::pin::pin!(freshness.reach(P0));
    assert!((&mut question).now_or_never().is_none());
    history.apply(Applying::Works);
    question.await.unwrap();
    assert_eq!(history.inner.progress(P0).await.unwrap().unwrap().position, Position::new(10));
    projector.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_waits_two_seconds_and_no_longer() {
    let (log, history) = (memory_log(2), memory_history());
    append(&log, &workload(1, 10)).await;
    let began = Instant::now();
    let stale = fresh(&log, &history).reach(P0).await.unwrap_err();
    assert!(matches!(stale, ReachError::Behind { place: Position::START, .. }), "{stale}");
    assert_eq!(began.elapsed(), WAIT_MAX);
    assert!(fresh(&log, &history).reach_all().await.is_err());
    assert_eq!(began.elapsed(), WAIT_MAX * 2, "the partitions are waited for at the same time");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_down_keeps_nobody_from_reading() {
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(memory_log(1), &faults));
    let history = memory_history();
    append(&log, &workload(1, 10)).await;
    let freshness = fresh(&log, &history);
    faults.on(Fault::TailFails);
    freshness.reach(P0).await.unwrap();
    // Once this node has seen a tail, it waits for that.
    faults.off(Fault::TailFails);
    assert!(freshness.reach(P0).await.is_err());
    faults.on(Fault::TailFails);
    let stale = freshness.reach(P0).await.unwrap_err();
    assert!(matches!(stale, ReachError::Behind { wanted, .. } if wanted == Position::new(10)));
}

#[tokio::test]
async fn the_history_of_another_log_is_no_answer() {
    let (log, other, history) = (memory_log(1), memory_log(1), memory_history());
    append(&other, &workload(1, 1)).await;
    crate::rebuild::rebuild(other, SharedHistory::clone(&history), |_| ()).await.unwrap();
    let stale = fresh(&log, &history).reach(P0).await.unwrap_err();
    assert!(matches!(stale, ReachError::History(HistoryError::OtherLog { .. })));
}
