use std::sync::Arc;

use futures_util::FutureExt;

use super::*;
use crate::{
    event_log::faulty::{Fault, Faults, FaultyLog},
    history::HistoryError,
    testing::{World, created},
};

const P0: Partition = Partition(0);

fn fresh(world: &World) -> Freshness {
    Freshness::new(Arc::new(world.log.clone()), Arc::new(world.history.clone()))
}

async fn written(partitions: u32) -> World {
    let world = World::new(partitions);
    // In each of two partitions, by the names.
    for name in ["tea", "inn", "pub", "den"] {
        world.append(&created(name)).await;
    }
    world
}

#[tokio::test(start_paused = true)]
async fn an_empty_log_makes_nobody_wait() {
    let began = Instant::now();
    fresh(&World::new(3)).reach_all().await.unwrap();
    assert!(began.elapsed().is_zero());
}

#[tokio::test(start_paused = true)]
async fn it_waits_until_what_was_accepted_is_there() {
    let mut world = written(1).await;
    let freshness = fresh(&world);
    let mut question = std::pin::pin!(freshness.reach(P0));
    assert!((&mut question).now_or_never().is_none());
    world.project(P0, 3).await;
    assert!((&mut question).now_or_never().is_none(), "not all of it");
    world.project(P0, 1).await;
    question.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_waits_two_seconds_and_no_longer() {
    let world = written(2).await;
    let began = Instant::now();
    let stale = fresh(&world).reach(P0).await.unwrap_err();
    assert!(matches!(stale, ReachError::Behind { place: Position::START, .. }), "{stale}");
    assert_eq!(began.elapsed(), WAIT_MAX);
    assert!(fresh(&world).reach_all().await.is_err());
    assert_eq!(began.elapsed(), WAIT_MAX * 2, "the partitions are waited for at the same time");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_down_keeps_nobody_from_reading() {
    let (world, faults) = (written(1).await, Faults::default());
    let log = Arc::new(FaultyLog::new(Arc::new(world.log.clone()), &faults));
    let freshness = Freshness::new(log, Arc::new(world.history.clone()));
    faults.on(Fault::TailFails);
    freshness.reach(P0).await.unwrap();
    // Once this node has seen a tail, it waits for that.
    faults.off(Fault::TailFails);
    assert!(freshness.reach(P0).await.is_err());
    faults.on(Fault::TailFails);
    let stale = freshness.reach(P0).await.unwrap_err();
    assert!(matches!(stale, ReachError::Behind { wanted, .. } if wanted == Position::new(4)));
}

#[tokio::test]
async fn the_history_of_another_log_is_no_answer() {
    let (world, mut other) = (written(1).await, written(1).await);
    other.project(P0, 1).await;
    let freshness = Freshness::new(Arc::new(world.log.clone()), Arc::new(other.history.clone()));
    let stale = freshness.reach(P0).await.unwrap_err();
    assert!(matches!(stale, ReachError::History(HistoryError::OtherLog { .. })));
}
