use std::sync::Arc;

use kernel::clock::SystemClock;
use kernel::event_log::{
    faulty::{Fault, Faults, FaultyLog},
    sqlite::SqliteLog,
};
use kernel::history::{Batch, memory::MemoryHistory, sqlite::SqliteHistory};

use schemas::{Offset, Timestamp};

use super::*;
use crate::rebuild::rebuild;
use crate::testing::{
    Applying, Troubled, all_of, append, append_value, caught_up, checkpoint, from_the_future, memory_history,
    memory_log, workload,
};

fn shared(log: &SharedLog) -> SharedLog {
    SharedLog::clone(log)
}

fn same(history: &SharedHistory) -> SharedHistory {
    SharedHistory::clone(history)
}

/// What a history says that is built from the log at once.
async fn rebuilt(log: &SharedLog) -> Vec<String> {
    let history = memory_history();
    rebuild(shared(log), same(&history), |_| ()).await.unwrap();
    all_of(log, &history).await
}

#[tokio::test]
async fn the_history_that_was_kept_is_the_one_that_is_rebuilt() {
    let (log, history) = (memory_log(3), memory_history());
    let projector = Projector::start(shared(&log), same(&history));
    for some in workload(1, 2_000).chunks(13) {
        append(&log, some).await;
        tokio::task::yield_now().await;
    }
    caught_up(&log, &history).await;
    projector.stop().await.unwrap();
    assert_eq!(all_of(&log, &history).await, rebuilt(&log).await);
}

#[tokio::test]
async fn a_rebuild_tells_how_far_it_is_and_can_go_on() {
    let log = memory_log(2);
    append(&log, &workload(1, 3_000)).await;
    let history = Troubled::new(memory_history());
    let mut steps = Vec::new();
    history.apply(Applying::Unheard);
    assert!(rebuild(shared(&log), history.shared(), |step| steps.push(step)).await.is_err());
    assert_eq!((steps.len(), steps[0].place), (1, Position::START));
    history.apply(Applying::Works);
    rebuild(shared(&log), history.shared(), |step| steps.push(step)).await.unwrap();
    assert!(steps.iter().all(|step| step.place <= step.to));
    for partition in [Partition(0), Partition(1)] {
        let last = steps.iter().rfind(|step| step.partition == partition).unwrap();
        assert_eq!(last.place, log.tail(partition).await.unwrap());
    }
    assert_eq!(all_of(&log, &history.inner).await, rebuilt(&log).await);
}

#[tokio::test]
async fn a_crash_between_rows_and_checkpoint_changes_nothing() {
    let inner = memory_log(1);
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(shared(&inner), &faults));
    let history = memory_history();
    let events = workload(3, 600);
    append(&log, &events[..300]).await;
    faults.on(Fault::CommitFails);
    let projector = Projector::start(shared(&log), same(&history));
    caught_up(&log, &history).await;
    faults.struck(Fault::CommitFails, 1).await;
    drop(projector);
    assert_eq!(checkpoint(&inner).await, Position::START);
    faults.all_off();
    append(&log, &events[300..]).await;
    let projector = Projector::start(shared(&log), same(&history));
    caught_up(&log, &history).await;
    projector.stop().await.unwrap();
    assert_eq!(checkpoint(&inner).await, Position::new(600));
    assert_eq!(all_of(&log, &history).await, rebuilt(&log).await);
}

#[tokio::test(start_paused = true)]
async fn a_history_that_was_down_is_brought_up_to_date() {
    let (log, history) = (memory_log(2), Troubled::new(memory_history()));
    let events = workload(4, 900);
    append(&log, &events[..300]).await;
    // First the reads: once the states of all partitions are at hand, nothing is read any more.
    history.reads_fail(true);
    let projector = Projector::start(shared(&log), history.shared());
    history.struck(20).await;
    append(&log, &events[300..600]).await;
    history.apply(Applying::Fails);
    history.reads_fail(false);
    history.struck(40).await;
    append(&log, &events[600..]).await;
    history.apply(Applying::Works);
    while all_of(&log, &history.inner).await != rebuilt(&log).await {
        sleep(PAUSE_MAX).await;
    }
    projector.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_checkpoint_is_never_ahead_of_the_rows() {
    let (log, history) = (memory_log(1), Troubled::new(memory_history()));
    append(&log, &workload(5, 100)).await;
    history.apply(Applying::Fails);
    let projector = Projector::start(shared(&log), history.shared());
    history.struck(5).await;
    projector.stop().await.unwrap();
    assert_eq!(checkpoint(&log).await, Position::START);
    history.apply(Applying::Held);
    let projector = Projector::start(shared(&log), history.shared());
    history.struck(6).await;
    drop(projector);
    tokio::task::yield_now().await;
    assert_eq!(checkpoint(&log).await, Position::START);
    assert_eq!(history.now().applied, 0);
}

#[tokio::test(start_paused = true)]
async fn the_pause_between_two_tries_grows_up_to_its_limit() {
    let (log, history) = (memory_log(1), Troubled::new(memory_history()));
    append(&log, &workload(5, 1)).await;
    history.apply(Applying::Fails);
    let _projector = Projector::start(shared(&log), history.shared());
    let mut last = Instant::now();
    let mut pauses = Vec::new();
    for times in 1..=15 {
        history.struck(times).await;
        pauses.push(last.elapsed());
        last = Instant::now();
    }
    assert_eq!(pauses[1..4], [20, 40, 80].map(Duration::from_millis));
    assert_eq!(pauses[12..], [PAUSE_MAX; 3]);
}

#[tokio::test]
async fn a_history_that_was_wiped_is_filled_again_from_the_log() {
    let (log, history) = (memory_log(2), memory_history());
    let events = workload(6, 3_000);
    append(&log, &events[..2_500]).await;
    let projector = Projector::start(shared(&log), same(&history));
    caught_up(&log, &history).await;
    projector.stop().await.unwrap();
    assert!(checkpoint(&log).await > Position::START);
    let wiped = memory_history();
    let projector = Projector::start(shared(&log), same(&wiped));
    append(&log, &events[2_500..]).await;
    caught_up(&log, &wiped).await;
    projector.stop().await.unwrap();
    assert_eq!(all_of(&log, &wiped).await, rebuilt(&log).await);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_an_unknown_schema_stops_it_there_and_garbage_does_not() {
    let (log, history) = (memory_log(1), memory_history());
    let events = workload(7, 20);
    append(&log, &events[..10]).await;
    append_value(&log, "c1", "garbage".into()).await;
    append(&log, &events[10..15]).await;
    append_value(&log, "c1", from_the_future()).await;
    append(&log, &events[15..]).await;
    let projector = Projector::start(shared(&log), same(&history));
    // Long enough for many tries.
    let failed = tokio::time::timeout(Duration::from_mins(10), projector.failed()).await;
    assert!(failed.is_err(), "it waits for a newer build, it does not end");
    let progress = history.progress(Partition(0)).await.unwrap().unwrap();
    assert_eq!(progress.position, Position::new(16));
    projector.stop().await.unwrap();
    assert_eq!(checkpoint(&log).await, Position::new(16));
}

#[tokio::test]
async fn the_history_of_another_log_ends_it_with_the_reason() {
    let (log, history) = (memory_log(1), memory_history());
    let epoch = "another".parse().unwrap();
    let foreign = Batch { epoch, up_to: [(Partition(0), Position::START)].into(), events: Vec::new() };
    history.apply(foreign).await.unwrap();
    append(&log, &workload(8, 5)).await;
    let projector = Projector::start(shared(&log), same(&history));
    let error = projector.failed().await;
    assert!(error.to_string().contains("built from the log another"), "{error}");
    assert!(projector.stop().await.is_err());
    assert_eq!(checkpoint(&log).await, Position::START);
}

#[tokio::test]
async fn several_projectors_share_the_work_and_hand_it_over() {
    let (log, history) = (memory_log(4), memory_history());
    let events = workload(9, 2_000);
    let mut projectors = vec![Projector::start(shared(&log), same(&history))];
    for (round, some) in events.chunks(250).enumerate() {
        append(&log, some).await;
        match round {
            1 | 2 | 5 => projectors.push(Projector::start(shared(&log), same(&history))),
            3 => projectors.remove(0).stop().await.unwrap(),
            4 => drop(projectors.remove(0)),
            _ => caught_up(&log, &history).await,
        }
    }
    caught_up(&log, &history).await;
    for projector in projectors {
        projector.stop().await.unwrap();
    }
    assert_eq!(all_of(&log, &history).await, rebuilt(&log).await);
}

#[tokio::test]
async fn what_comes_in_while_the_history_is_at_work_is_taken_in_large_batches() {
    let dir = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(dir.path().join("log"), 1, Arc::new(SystemClock)).unwrap();
    let log: SharedLog = Arc::new(log);
    let history = Troubled::new(memory_history());
    let events = workload(10, 1_501);
    history.apply(Applying::Held);
    append(&log, &events[..1]).await;
    let projector = Projector::start(shared(&log), history.shared());
    history.struck(1).await;
    for some in events[1..].chunks(10) {
        append(&log, some).await;
    }
    history.apply(Applying::Works);
    caught_up(&log, &history.shared()).await;
    projector.stop().await.unwrap();
    let batches = history.now().applied;
    assert!((3..6).contains(&batches), "1 + 1,500 records need 3 batches or few more, not {batches}");
    assert_eq!(all_of(&log, &history.inner).await, rebuilt(&log).await);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_opened_or_read_is_tried_again() {
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(memory_log(1), &faults));
    let history = memory_history();
    append(&log, &workload(11, 10)).await;
    faults.next(Fault::OpenFails, 3);
    faults.next(Fault::TailFails, 3);
    faults.next(Fault::ReaderFails, 3);
    let projector = Projector::start(shared(&log), same(&history));
    while history.progress(Partition(0)).await.unwrap().map(|p| p.position) != Some(Position::new(10)) {
        sleep(PAUSE_MAX).await;
    }
    assert_eq!([Fault::OpenFails, Fault::TailFails, Fault::ReaderFails].map(|f| faults.count(f)), [3; 3]);
    projector.stop().await.unwrap();
}

#[tokio::test]
async fn kept_and_rebuilt_are_the_same_row_by_row_in_every_adapter() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| Arc::new(SqliteHistory::open(dir.path().join(name)).unwrap());
    let (kept, rebuilt, in_memory) = (open("kept"), open("rebuilt"), Arc::new(MemoryHistory::new()));
    let log = memory_log(3);
    let mut projector = Projector::start(shared(&log), Arc::clone(&kept) as SharedHistory);
    for (round, some) in workload(12, 1_500).chunks(40).enumerate() {
        append(&log, some).await;
        if round % 10 == 9 {
            // Half of the time as in a crash.
            if round % 20 == 9 {
                drop(projector);
            } else {
                projector.stop().await.unwrap();
            }
            projector = Projector::start(shared(&log), Arc::clone(&kept) as SharedHistory);
        }
    }
    caught_up(&log, &(Arc::clone(&kept) as SharedHistory)).await;
    projector.stop().await.unwrap();
    rebuild(shared(&log), Arc::clone(&rebuilt) as SharedHistory, |_| ()).await.unwrap();
    rebuild(shared(&log), Arc::clone(&in_memory) as SharedHistory, |_| ()).await.unwrap();
    let digest = rebuilt.digest().await.unwrap();
    assert!(digest.tables.iter().all(|table| table.rows > 0), "{digest}");
    assert_eq!(kept.digest().await.unwrap(), digest);
    assert_eq!(in_memory.digest(), digest);
}

#[tokio::test(start_paused = true)]
async fn records_of_several_partitions_are_brought_in_by_one_batch() {
    let (log, history) = (memory_log(3), Troubled::new(memory_history()));
    let projector = Projector::start(shared(&log), history.shared());
    sleep(ROUND_INTERVAL).await;
    append(&log, &workload(1, 600)).await;
    caught_up(&log, &history.shared()).await;
    projector.stop().await.unwrap();
    assert_eq!(history.now().applied, 1);
    assert_eq!(all_of(&log, &history.inner).await, rebuilt(&log).await);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_stands_still_does_not_keep_the_others_of_its_round() {
    let (log, history) = (memory_log(3), memory_history());
    let events = workload(1, 600);
    let blocked = kernel::event_log::partition_of(&"c1".parse().unwrap(), 3);
    append_value(&log, "c1", from_the_future()).await;
    append(&log, &events).await;
    let projector = Projector::start(shared(&log), same(&history));
    sleep(PAUSE_MAX).await;
    drop(projector);
    for partition in [0, 1, 2].map(Partition) {
        let place = history.progress(partition).await.unwrap().map(|progress| progress.position);
        let tail = log.tail(partition).await.unwrap();
        assert_eq!(place, (partition != blocked).then_some(tail), "{partition}");
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_trickle_in_share_rounds_and_the_first_one_waits_for_nobody() {
    let (log, history) = (memory_log(1), Troubled::new(memory_history()));
    let projector = Projector::start(shared(&log), history.shared());
    sleep(ROUND_INTERVAL).await;
    let events = workload(12, 501);
    let began = Instant::now();
    append(&log, &events[..1]).await;
    caught_up(&log, &history.shared()).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    for some in events[1..].chunks(1) {
        append(&log, some).await;
        sleep(Duration::from_millis(1)).await;
    }
    sleep(ROUND_INTERVAL).await;
    caught_up(&log, &history.shared()).await;
    projector.stop().await.unwrap();
    let rounds = history.now().applied;
    assert!((10..=13).contains(&rounds), "500 records in 500 ms took {rounds} rounds");
}

#[tokio::test(start_paused = true)]
async fn a_round_that_has_enough_waits_for_nothing_and_one_that_has_not_waits_for_its_time() {
    let (log, history) = (memory_log(1), memory_history());
    let projector = Projector::start(shared(&log), same(&history));
    let events = workload(15, 2 * ROUND_LEN_MAX + 1);
    append(&log, &events[..1]).await;
    caught_up(&log, &history).await;
    let began = Instant::now();
    append(&log, &events[1..=ROUND_LEN_MAX]).await;
    caught_up(&log, &history).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "right behind another");
    append(&log, &events[ROUND_LEN_MAX + 1..2 * ROUND_LEN_MAX]).await;
    sleep(ROUND_INTERVAL.saturating_sub(Duration::from_millis(1))).await;
    let progress = history.progress(Partition(0)).await.unwrap().unwrap();
    assert_eq!(progress.position, Position::new(ROUND_LEN_MAX as u64 + 1), "one less waits");
    sleep(Duration::from_millis(1)).await;
    caught_up(&log, &history).await;
    projector.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn checkpoints_follow_the_rows_within_a_second() {
    let inner = memory_log(1);
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(shared(&inner), &faults));
    let projector = Projector::start(shared(&log), memory_history());
    append(&log, &workload(13, 10)).await;
    faults.on(Fault::CommitFails);
    sleep(COMMIT_INTERVAL * 99 / 100).await;
    assert_eq!(faults.count(Fault::CommitFails), 0);
    sleep(COMMIT_INTERVAL / 50).await;
    assert_eq!(faults.count(Fault::CommitFails), 1, "with nothing more to do");
    drop(projector);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_takes_no_checkpoints_is_asked_once_not_for_each_partition() {
    let faults = Faults::default();
    let log: SharedLog = Arc::new(FaultyLog::new(memory_log(4), &faults));
    let history = memory_history();
    append(&log, &workload(14, 200)).await;
    faults.on(Fault::CommitFails);
    let projector = Projector::start(shared(&log), same(&history));
    caught_up(&log, &history).await;
    projector.stop().await.unwrap();
    assert_eq!(faults.count(Fault::CommitFails), 1);
}

#[test]
fn a_round_takes_so_many_records_of_a_partition_so_many_partitions_and_nothing_else() {
    let record = Record {
        offset: Offset::new(0),
        recorded_at: Timestamp::from_millis(0),
        key: "c".into(),
        value: "v".into(),
        headers: [].into(),
    };
    let records = |partition, len| Delivery::Records {
        partition: Partition(partition),
        records: vec![record.clone(); len],
    };
    let mut round = vec![records(0, ROUND_LEN_MAX - 1)];
    assert_eq!(join(&mut round, records(0, 2)), Some(records(0, 2)));
    assert_eq!(join(&mut round, records(0, 1)), None);
    assert_eq!(round, [records(0, ROUND_LEN_MAX)]);
    let assigned = Delivery::Assigned { partition: Partition(1), from: Position::START };
    assert_eq!(join(&mut round, assigned.clone()), Some(assigned));
    for partition in 1..8 {
        assert_eq!(join(&mut round, records(partition, 1)), None);
    }
    assert_eq!(round.len(), TOGETHER_MAX);
    assert_eq!(join(&mut round, records(8, 1)), Some(records(8, 1)));
    assert_eq!(join(&mut round, records(7, 1)), None);
}

#[test]
fn rounds_take_a_small_part_of_the_time_within_bounds() {
    let ms = Duration::from_millis;
    for (took, interval_ms) in [(0, 50), (2, 50), (3, 60), (12, 240), (13, 250), (5_000, 250)] {
        assert_eq!(interval(ms(took)), ms(interval_ms), "{took}");
    }
}
