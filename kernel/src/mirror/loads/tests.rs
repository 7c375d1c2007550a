//! Loads that are slow, fail, lose those who asked, or have too much to read.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join};
use schemas::{ConversationId, Partition, codec::Codec};
use tokio::{
    task::yield_now,
    time::{Instant, timeout},
};

use super::RUNNING_MAX;
use crate::{
    event_log::{
        BATCH_LEN_MAX, EventLog, NewRecord, SharedLog,
        faulty::{Fault, Faults, FaultyLog},
    },
    mirror::{Mirror, MirrorError, SCAN_LEN_MAX, Tracked},
    testing::{World, created, posted},
};

/// A mirror on a log that fails on demand, begun when all of it was there; the history has nothing.
async fn mirror(world: &World) -> (Arc<Mirror>, SharedLog, Faults) {
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(Arc::new(world.log.clone()), &faults));
    let mirror = Mirror::start(Arc::clone(&log), Arc::new(world.history.clone())).await.unwrap();
    (mirror, log, faults)
}

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

/// Asks, and goes away when the log is being read.
async fn ask_and_go(mirror: &Mirror, faults: &Faults) {
    let tea = tea();
    let asked = mirror.track(&tea);
    tokio::select! {
        tracked = asked => panic!("the log is not read: {tracked:?}"),
        () = faults.struck(Fault::ReadHeld, 1) => {}
    }
}

/// Waits until it is so, but not for ever.
async fn until(otherwise: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.expect(otherwise);
}

fn is_known(tracked: &Tracked) -> bool {
    tracked.look(|state| state.is_some())
}

#[tokio::test]
async fn a_load_goes_on_for_others_when_who_asked_for_it_is_gone() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    let (mirror, _, faults) = mirror(&world).await;
    faults.on(Fault::ReadHeld);
    ask_and_go(&mirror, &faults).await;
    let tea = tea();
    let mut next = Box::pin(mirror.track(&tea));
    assert!((&mut next).now_or_never().is_none());
    assert_eq!(faults.count(Fault::ReadHeld), 1, "it was begun anew");
    faults.off(Fault::ReadHeld);
    assert!(is_known(&next.await.unwrap()));
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_comes_to_its_end() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    let (mirror, _, faults) = mirror(&world).await;
    faults.on(Fault::ReadHeld);
    ask_and_go(&mirror, &faults).await;
    faults.off(Fault::ReadHeld);
    let tracked = Arc::clone(&mirror.shared.tracked.lock().get(&tea()).unwrap().tracked);
    until("it is not loaded", || tracked.is_loaded()).await;
    // It is there without another look at the log.
    faults.on(Fault::ReadFails);
    assert!(is_known(&mirror.track(&tea()).await.unwrap()));
}

#[tokio::test]
async fn a_load_that_fails_fails_once_for_all_who_wait() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    let (mirror, _, faults) = mirror(&world).await;
    faults.next(Fault::ReadFails, 1);
    let tea = tea();
    let both = join(mirror.track(&tea), mirror.track(&tea)).await;
    assert!(matches!(both, (Err(MirrorError::Log(_)), Err(MirrorError::Log(_)))), "{both:?}");
    assert!(is_known(&mirror.track(&tea).await.unwrap()), "the next one begins anew");
}

#[tokio::test]
async fn loads_end_with_the_mirror() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    let (mirror, log, faults) = mirror(&world).await;
    faults.on(Fault::ReadHeld);
    ask_and_go(&mirror, &faults).await;
    drop(mirror);
    until("something holds the log", || Arc::strong_count(&log) == 1).await;
}

/// Appends so many messages to cake; up to 1,000 at a time.
async fn append_others(world: &World, len: u64) {
    let value = Codec::default().encode(&posted("cake", "m-1", "ann")).unwrap();
    let record = NewRecord { key: "cake".parse().unwrap(), value, headers: Vec::new() };
    let mut left = usize::try_from(len).unwrap();
    while left > 0 {
        let batch = left.min(BATCH_LEN_MAX);
        world.log.append(vec![record.clone(); batch]).await.unwrap();
        left -= batch;
    }
}

#[tokio::test]
async fn where_the_history_is_too_far_behind_nothing_is_read_and_who_asks_is_told() {
    let mut world = World::new(1);
    world.append(&created("tea")).await;
    append_others(&world, SCAN_LEN_MAX - 1).await;
    let (mirror, _, faults) = mirror(&world).await;
    assert!(is_known(&mirror.track(&tea()).await.unwrap()), "as far as may be");

    append_others(&world, 1).await;
    mirror.catch_up(Partition(0), Instant::now() + Duration::from_secs(10)).await.unwrap();
    let late = "late".parse().unwrap();
    faults.on(Fault::ReadFails);
    let error = mirror.track(&late).await.unwrap_err();
    assert!(matches!(error, MirrorError::HistoryBehind { lag, .. } if lag == SCAN_LEN_MAX + 1), "{error}");
    assert!(mirror.track(&tea()).await.is_ok(), "what is in use stays so");
    faults.off(Fault::ReadFails);

    world.project(Partition(0), 1).await;
    assert!(!is_known(&mirror.track(&late).await.unwrap()), "it is within reach again");
}

#[tokio::test]
async fn so_many_loads_run_at_once_and_one_more_waits_for_its_turn() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    let (mirror, _, faults) = mirror(&world).await;
    faults.on(Fault::ReadHeld);
    let asked = |number: usize| {
        let mirror = Arc::clone(&mirror);
        tokio::spawn(async move { mirror.track(&format!("c{number}").parse().unwrap()).await })
    };
    let all: Vec<_> = (0..=RUNNING_MAX).map(asked).collect();
    faults.struck(Fault::ReadHeld, RUNNING_MAX as u64).await;
    for _ in 0..1_000 {
        yield_now().await;
    }
    assert_eq!(faults.count(Fault::ReadHeld), RUNNING_MAX as u64);
    faults.off(Fault::ReadHeld);
    for one in all {
        one.await.unwrap().unwrap();
    }
}
