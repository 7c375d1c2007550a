//! The follower: takes deliveries of the log and hands them to the conversations in use.

use std::{mem, sync::Arc, time::Duration};

use schemas::{Partition, Position};
use tokio::{
    select,
    task::yield_now,
    time::{MissedTickBehavior, interval, sleep},
};

use super::{Folded, LiveEvent, MirrorError, Shared, tracked::Newer};
use crate::{
    crash,
    event_log::{BATCH_LEN_MAX, Delivery, EventReader, Readership, Record, SharedLog},
    metric,
};

/// How long to wait before reading again after the log failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How often it is seen who is used, also while the log is quiet, and conversations that nobody uses are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Opens the reader and waits until the place in every partition is known.
pub(super) async fn open(log: &SharedLog, shared: &Shared) -> Result<Box<dyn EventReader>, MirrorError> {
    let mut reader = log.open(Readership::Broadcast).await?;
    let mut unknown = shared.places.len();
    while unknown > 0 {
        // A broadcast reader is assigned every partition before it is given a record of any.
        if let Delivery::Assigned { partition, from } = reader.next().await?
            && let Some(place) = shared.place(partition)
        {
            place.begin(from);
            place.end(from);
            unknown -= 1;
        }
    }
    Ok(reader)
}

/// Follows until the task is ended.
pub(super) async fn run(mut reader: Box<dyn EventReader>, log: SharedLog, shared: Arc<Shared>) {
    let in_use = metric::IN_USE.gauge();
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let delivery = select! {
            biased;
            _ = sweep.tick() => {
                in_use.set(shared.sweep());
                continue;
            }
            delivery = reader.next() => delivery,
        };
        match delivery {
            Ok(Delivery::Records { partition, records }) => {
                take(&shared, partition, records).await;
                // However much there is to fold, the others on this thread have their turn, sessions among them.
                yield_now().await;
            }
            // A reader that had to start anew may have left something out.
            Ok(Delivery::Assigned { partition, from }) => bridge(&log, &shared, partition, from).await,
            Ok(Delivery::Revoked { .. }) => {}
            Err(error) if !error.retryable() => crash::give_up("follower", &error),
            Err(error) => {
                tracing::warn!(%error, "the log cannot be followed now; trying again");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Reads what lies between the place and `to`, however long that takes: to go on without it would lose events.
async fn bridge(log: &SharedLog, shared: &Shared, partition: Partition, to: Position) {
    while let Some(place) = shared.place(partition)
        && place.folded() < to
    {
        match log.read(partition, place.folded(), to, BATCH_LEN_MAX).await {
            // A log may have positions without records; the tail was there, so there is nothing to come.
            Ok(records) if records.is_empty() => {
                place.begin(to);
                tell(shared, Folded { partition, up_to: to, events: Vec::new() }).await;
            }
            Ok(records) => take(shared, partition, records).await,
            Err(error) if !error.retryable() => crash::give_up("follower", &error),
            Err(error) => {
                tracing::warn!(%partition, %error, "the log cannot be read now; trying again");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Folds a stretch of records and tells of it.
async fn take(shared: &Shared, partition: Partition, records: Vec<Record>) {
    let Some(place) = shared.place(partition) else { return };
    let known = place.folded();
    let Some(up_to) = records.last().map(|record| record.offset.position()) else { return };
    place.begin(up_to);
    let mut events = Vec::new();
    for record in records.iter().filter(|record| !known.covers(record.offset)) {
        let Some(tracked) = shared.tracked_by(record) else { continue };
        match tracked.take(record, &shared.codec) {
            Ok(event) => events.extend(event),
            Err(newer) => {
                drop(tracked);
                let before = Position::new(record.offset.get());
                tell(shared, Folded { partition, up_to: before, events: mem::take(&mut events) }).await;
                events.extend(wait_at(shared, partition, record, newer).await);
            }
        }
    }
    tell(shared, Folded { partition, up_to, events }).await;
    shared.witnesses.lock().retain(|witness| match witness.upgrade() {
        Some(witness) => {
            witness.saw(partition, &records);
            true
        }
        None => false,
    });
}

/// Moves the place, and then tells the watchers. The states are there already: who waits for the place finds them.
async fn tell(shared: &Shared, folded: Folded) {
    if let Some(place) = shared.place(folded.partition) {
        place.end(folded.up_to);
    }
    let folded = Arc::new(folded);
    let watchers = shared.watchers.lock().clone();
    for watcher in watchers {
        // A closed one is forgotten below.
        let _ = watcher.send(Arc::clone(&folded)).await;
    }
    shared.watchers.lock().retain(|watcher| !watcher.is_closed());
}

/// Waits before a record that cannot be read here, until it can be or nobody uses its conversation any more.
async fn wait_at(
    shared: &Shared,
    partition: Partition,
    record: &Record,
    newer: Newer,
) -> Option<Arc<LiveEvent>> {
    let (offset, schema) = (newer.offset.get(), newer.schema.0);
    tracing::error!(%partition, offset, schema, "a record has an unknown schema; waiting: start a newer build");
    loop {
        sleep(RETRY_PAUSE).await;
        shared.sweep();
        match shared.tracked_by(record).map(|tracked| tracked.take(record, &shared.codec)) {
            None => return None,
            Some(Ok(event)) => return event,
            Some(Err(_)) => {}
        }
    }
}
