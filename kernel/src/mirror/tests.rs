//! The mirror against the plain fold of the whole log, whatever comes in between.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use schemas::event::{MemberJoined, MemberRemoved};
use tokio::time::sleep;

use std::sync::atomic::AtomicU64;

use super::*;
use crate::{
    conversation::Void,
    event_log::{
        EventLog, NewRecord,
        faulty::{Fault, Faults, FaultyLog},
    },
    testing::{World, created, event, posted},
};

async fn mirror(world: &World) -> Arc<Mirror> {
    let log: SharedLog = Arc::new(world.log.clone());
    Mirror::start(log, Arc::new(world.history.clone())).await.unwrap()
}

fn state_of(tracked: &Tracked) -> Option<crate::conversation::ConversationState> {
    tracked.look(|state| Some(state?.clone()))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test]
async fn a_conversation_that_begins_after_it_was_tracked_is_known_once_reached() {
    let world = World::new(2);
    let mirror = mirror(&world).await;
    let tea = "tea".parse().unwrap();
    let tracked = mirror.track(&tea).await.unwrap();
    assert!(tracked.look(|state| state.is_none()));
    let (partition, offset) = world.append(&created("tea")).await;
    mirror.reach(partition, offset.position(), soon()).await.unwrap();
    assert!(tracked.look(|state| state.is_some()));
    assert_eq!(tracked.outcome(offset), Outcome::Valid);
}

#[tokio::test]
async fn an_event_against_the_rules_is_judged_void_and_not_shown_to_watchers() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let (watcher, mut folded) = mpsc::channel(16);
    mirror.watch(watcher);
    let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
    world.append(&created("tea")).await;
    world.append(&posted("tea", "m-1", "bob")).await;
    let (_, again) = world.append(&posted("tea", "m-1", "bob")).await;
    world.append(&event("tea", "e-2", "ann", MemberRemoved { member: "bob".parse().unwrap() })).await;
    let (partition, late) = world.append(&posted("tea", "m-2", "bob")).await;
    mirror.reach(partition, late.position(), soon()).await.unwrap();
    assert!(matches!(tracked.outcome(again), Outcome::Void(Void::Repeated(_))));
    assert!(matches!(tracked.outcome(late), Outcome::Void(Void::Against(_))));
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let folded = folded.recv().await.unwrap();
        seen.extend(folded.events.iter().map(|event| event.position.get()));
    }
    assert_eq!(seen, [1, 2, 4]);
}

#[tokio::test]
async fn a_log_that_stalls_is_behind_at_the_deadline() {
    let world = World::new(1);
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(Arc::new(world.log.clone()), &faults));
    let mirror = Mirror::start(log, Arc::new(world.history.clone())).await.unwrap();
    faults.on(Fault::ReaderHeld);
    let (partition, offset) = world.append(&created("tea")).await;
    let deadline = Instant::now() + Duration::from_millis(50);
    let behind = mirror.catch_up(partition, deadline).await;
    assert!(matches!(behind, Err(MirrorError::Behind { .. })), "{behind:?}");
    faults.off(Fault::ReaderHeld);
    mirror.reach(partition, offset.position(), soon()).await.unwrap();
}

#[tokio::test]
async fn a_failed_load_is_an_error_and_the_next_one_works() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(Arc::new(world.log.clone()), &faults));
    let mirror = Mirror::start(log, Arc::new(world.history.clone())).await.unwrap();
    let tea = "tea".parse().unwrap();
    faults.next(Fault::ReadFails, 1);
    assert!(matches!(mirror.track(&tea).await, Err(MirrorError::Log(_))));
    let tracked = mirror.track(&tea).await.unwrap();
    assert!(tracked.look(|state| state.is_some()));
}

/// Conversations are tracked, dropped and tracked again while records are appended and the history lags behind at random; the
/// state and the events of late must always be those of the plain fold.
async fn race(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(2);
    let names: Vec<ConversationId> = ["tea", "cake", "milk"].map(|name| name.parse().unwrap()).to_vec();
    for name in &names {
        world.append(&created(name.as_str())).await;
    }
    let mirror = mirror(&world).await;
    for step in 0..300 {
        match rng.random_range(0..10) {
            0..6 => {
                let name = names.choose(&mut rng).unwrap().as_str();
                let actor = *["ann", "bob", "cat"].choose(&mut rng).unwrap();
                let event = match rng.random_range(0..8) {
                    0 => event(
                        name,
                        &format!("e-{step}"),
                        "ann",
                        MemberRemoved { member: "bob".parse().unwrap() },
                    ),
                    1 => event(
                        name,
                        &format!("e-{step}"),
                        "ann",
                        MemberJoined { member: "bob".parse().unwrap() },
                    ),
                    // Some ids come twice, and the second is void.
                    _ => posted(name, &format!("m-{}", step / 2), actor),
                };
                world.append(&event).await;
                world.clock.advance(rng.random_range(0..2_000));
            }
            6 => world.project(Partition(rng.random_range(0..2)), rng.random_range(1..20)).await,
            7 => tokio::task::yield_now().await,
            8 => mirror.shared.tracked.lock().clear(),
            _ => {
                let name = names.choose(&mut rng).unwrap();
                let tracked = mirror.track(name).await.unwrap();
                let partition = mirror.partition_of(name);
                mirror.catch_up(partition, soon()).await.unwrap();
                let (state, valid) = world.truth(name, partition).await;
                assert_eq!(state_of(&tracked), state, "seed {seed}, step {step}");
                let since = tracked.recent_since();
                let recent = tracked.recent(since, 1_000).unwrap();
                let recent: Vec<_> = recent.iter().map(|event| event.position).collect();
                let expected: Vec<_> = valid.into_iter().filter(|position| *position > since).collect();
                assert_eq!(recent, expected, "seed {seed}, step {step}");
            }
        }
    }
}

#[tokio::test]
async fn whatever_comes_in_between_the_state_is_that_of_the_plain_fold() {
    for seed in 0..40 {
        race(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_tracked_in_the_middle_of_a_load_misses_nothing() {
    let world = Arc::new(World::new(1));
    world.append(&created("tea")).await;
    for round in 0..50 {
        let mirror = mirror(&world).await;
        let writer = tokio::spawn({
            let world = Arc::clone(&world);
            async move {
                for n in 0..20 {
                    world.append(&posted("tea", &format!("m-{round}-{n}"), "ann")).await;
                    tokio::task::yield_now().await;
                }
            }
        });
        let tea = "tea".parse().unwrap();
        let tracked = mirror.track(&tea).await.unwrap();
        writer.await.unwrap();
        mirror.catch_up(Partition(0), soon()).await.unwrap();
        let (state, _) = world.truth(&tea, Partition(0)).await;
        assert_eq!(state_of(&tracked), state, "round {round}");
    }
}

#[tokio::test]
async fn events_of_late_are_bounded_and_say_since_when_they_are_complete() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
    world.append(&created("tea")).await;
    for n in 0..600 {
        world.append(&posted("tea", &format!("m-{n}"), "ann")).await;
    }
    mirror.catch_up(Partition(0), soon()).await.unwrap();
    let since = tracked.recent_since();
    assert_eq!(since.get(), 601 - 512);
    assert_eq!(tracked.recent(since, 1_000).unwrap().len(), 512);
    assert!(tracked.recent(Position::new(since.get() - 1), 1_000).is_none());
}

#[tokio::test]
async fn many_conversations_that_nobody_uses_keep_nobody_out() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let kept = mirror.track(&"kept".parse().unwrap()).await.unwrap();
    for n in 0..=TRACKED_LEN_MAX {
        mirror.track(&format!("c{n}").parse().unwrap()).await.unwrap();
    }
    assert!(mirror.shared.tracked.lock().len() <= TRACKED_LEN_MAX);
    // One that is in use stays the same.
    assert!(Arc::ptr_eq(&kept, &mirror.track(&"kept".parse().unwrap()).await.unwrap()));
}

#[tokio::test]
async fn as_many_as_may_be_are_in_use_and_counted_and_one_more_is_refused() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let mut used = Vec::new();
    for n in 0..TRACKED_LEN_MAX {
        used.push(mirror.track(&format!("c{n}").parse().unwrap()).await.unwrap());
    }
    assert_eq!(mirror.shared.sweep() as usize, TRACKED_LEN_MAX);
    let more = "more".parse().unwrap();
    assert!(matches!(mirror.track(&more).await, Err(MirrorError::Full)));
    used.truncate(7);
    assert_eq!(mirror.shared.sweep(), 7, "the others are only kept warm");
    mirror.track(&more).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_conversation_that_was_open_for_long_stays_warm_after_its_last_use_and_not_for_ever() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
    // Nothing is written all the while: that the log is quiet changes nothing.
    sleep(60 * IDLE_MAX).await;
    let warm = Arc::downgrade(&tracked);
    drop(tracked);
    sleep(IDLE_MAX / 2).await;
    assert!(warm.upgrade().is_some(), "it was used a moment ago");
    sleep(IDLE_MAX).await;
    assert!(warm.upgrade().is_none(), "nobody uses it");
}

/// Appends a value as it is, under a key.
async fn append_value(world: &World, key: &str, value: bytes::Bytes) -> Position {
    let record = NewRecord { key: key.parse().unwrap(), value, headers: Vec::new() };
    world.log.append(vec![record]).await.unwrap()[0].offset.position()
}

/// A value in a schema of the future.
fn newer() -> bytes::Bytes {
    bytes::Bytes::from_static(&[0, 0, 0, 0, 99, 1, 2, 3])
}

#[tokio::test(start_paused = true)]
async fn a_newer_record_of_a_tracked_conversation_stops_the_mirror_until_nobody_uses_it() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let (watcher, mut stretches) = mpsc::channel(16);
    mirror.watch(watcher);
    let tea = "tea".parse().unwrap();
    let tracked = mirror.track(&tea).await.unwrap();
    let cake = mirror.track(&"cake".parse().unwrap()).await.unwrap();
    // In one batch, so that the record stands in the middle of a delivery.
    let value = |event| Codec::default().encode(&event).unwrap();
    let values = [value(created("tea")), newer(), value(posted("tea", "m-1", "ann")), value(created("cake"))];
    let keys = ["tea", "tea", "tea", "cake"].map(|key| key.parse().unwrap());
    let batch = keys.into_iter().zip(values);
    let batch = batch.map(|(key, value)| NewRecord { key, value, headers: Vec::new() }).collect();
    world.log.append(batch).await.unwrap();
    let tail = Position::new(4);

    let behind = mirror.reach(Partition(0), tail, Instant::now() + 3 * IDLE_MAX).await;
    assert!(matches!(behind, Err(MirrorError::Behind { place, .. }) if place.get() == 1), "{behind:?}");
    let folded = stretches.try_recv().unwrap();
    assert_eq!((folded.up_to.get(), folded.events.len()), (1, 1));
    assert!(stretches.try_recv().is_err(), "nothing behind the record is told");
    assert!(state_of(&tracked).is_some() && state_of(&cake).is_none());

    drop(tracked);
    mirror.reach(Partition(0), tail, Instant::now() + 3 * IDLE_MAX).await.unwrap();
    let folded = stretches.recv().await.unwrap();
    assert_eq!((folded.up_to, folded.events.len()), (tail, 1));
    assert!(state_of(&cake).is_some());
    // Nor does anybody who comes to it later get an answer that leaves the record out.
    let error = mirror.track(&tea).await.unwrap_err();
    assert!(matches!(error, MirrorError::Newer { offset, .. } if offset.get() == 1), "{error}");
}

#[tokio::test]
async fn a_newer_record_of_a_conversation_that_nobody_uses_stops_nothing() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
    append_value(&world, "cake", newer()).await;
    let (partition, offset) = world.append(&created("tea")).await;
    mirror.reach(partition, offset.position(), soon()).await.unwrap();
    assert!(state_of(&tracked).is_some());
}

#[tokio::test]
async fn a_newer_record_that_came_while_its_conversation_was_loaded_fails_the_load() {
    let world = World::new(1);
    world.append(&created("tea")).await;
    append_value(&world, "tea", newer()).await;
    let records = world.log.read(Partition(0), Position::START, Position::new(2), 2).await.unwrap();
    let tracked = Tracked::new("tea".parse().unwrap(), Partition(0), Limits::default(), Arc::default());
    let codec = Codec::default();
    for record in &records {
        assert!(tracked.take(record, &codec).unwrap().is_none(), "held back");
    }
    let (log, history): (SharedLog, SharedHistory) =
        (Arc::new(world.log.clone()), Arc::new(world.history.clone()));
    // What was held back, and then what is read from the log.
    for reading in [0, 2] {
        let error = tracked.load(&log, &history, &AtomicU64::new(reading), &codec).await.unwrap_err();
        assert!(matches!(error, MirrorError::Newer { offset, .. } if offset.get() == 1), "{error}");
    }
    assert!(state_of(&tracked).is_none());
}

#[tokio::test]
async fn what_is_no_event_of_its_conversation_is_passed_over() {
    let world = World::new(1);
    let mirror = mirror(&world).await;
    let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
    append_value(&world, "tea", "garbage".into()).await;
    append_value(&world, "tea", Codec::default().encode(&created("cake")).unwrap()).await;
    let (partition, offset) = world.append(&created("tea")).await;
    mirror.reach(partition, offset.position(), soon()).await.unwrap();
    assert_eq!(state_of(&tracked).unwrap().conversation.as_str(), "tea");
    let late = mirror.track(&"cake".parse().unwrap()).await.unwrap();
    assert!(state_of(&late).is_none());
}

/// Keeps what it was shown.
#[derive(Default)]
struct Seen(Mutex<Vec<(Partition, String)>>);

impl Witness for Seen {
    fn saw(&self, partition: Partition, records: &[Record]) {
        let keys = records.iter().map(|record| (partition, record.key_str().unwrap().to_owned()));
        self.0.lock().extend(keys);
    }
}

#[tokio::test]
async fn a_witness_is_shown_records_of_every_conversation_as_long_as_it_lives() {
    let world = World::new(2);
    let mirror = mirror(&world).await;
    let [staying, going] = [Arc::new(Seen::default()), Arc::new(Seen::default())];
    for witness in [&staying, &going] {
        let witness: Weak<Seen> = Arc::downgrade(witness);
        mirror.show(witness);
    }
    let mut places = Vec::new();
    for name in ["tea", "inn", "pub", "den"] {
        places.push((name, world.append(&created(name)).await.0));
    }
    let all: Vec<_> = places.iter().map(|(name, partition)| (*partition, (*name).to_owned())).collect();
    while staying.0.lock().len() < all.len() {
        tokio::task::yield_now().await;
    }
    let sorted = |mut seen: Vec<(Partition, String)>| {
        seen.sort();
        seen
    };
    assert_eq!(sorted(staying.0.lock().clone()), sorted(all.clone()));
    assert_eq!(going.0.lock().len(), all.len());
    drop(going);
    world.append(&posted("tea", "m-1", "ann")).await;
    while staying.0.lock().len() == all.len() {
        tokio::task::yield_now().await;
    }
    assert_eq!(mirror.shared.witnesses.lock().len(), 1, "who is gone is forgotten");
}
