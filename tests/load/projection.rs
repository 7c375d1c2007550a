//! How fast the store catches up with a topic that was filled before, against the driver's own batches.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kernel::history::History;
use schemas::Partition;
use serde::Serialize;
use store::scylla::ScyllaHistory;
use tokio::{task::spawn_blocking, time::sleep};

use tests::Site;

use crate::{
    cpu::Spent,
    inserting::{Inserted, Inserting, Shape},
    message::Records,
    producing,
    rig::Rig,
};

/// Conversations in the topic.
const CONVERSATIONS: u64 = 16;
/// Rows that the history has for each post: the event and its id.
const ROWS_PER_POST: f64 = 2.0;
/// How often the progress is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// How long the store may stand still.
const STALL_MAX: Duration = Duration::from_secs(30);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Projection {
    pub(crate) posts: u64,
    pub(crate) events_per_s: f64,
    pub(crate) rows_per_s: f64,
    /// The driver, with each shape of rows.
    pub(crate) floors: [Inserted; 2],
    /// The driver, with as many rows of one shape as of the other.
    pub(crate) floor_rows_per_s: f64,
    pub(crate) ratio: f64,
    pub(crate) cpu: Spent,
}

/// Takes the floor before and after, the better of the two counts, and ours in between. Each has tables of its own, which are dropped
/// afterwards: what the server still had to merge in them would burden the next.
pub(crate) async fn measure(rig: &Rig, posts: u64, time: Duration) -> anyhow::Result<Projection> {
    let before = floors(rig, time).await?;
    let (events_per_s, cpu) = catch_up(rig, posts).await?;
    let after = floors(rig, time).await?;
    let better = |one: Inserted, other: Inserted| if other.rows_per_s > one.rows_per_s { other } else { one };
    let ([events, ids], [events_after, ids_after]) = (before, after);
    let floors = [better(events, events_after), better(ids, ids_after)];
    let floor_rows_per_s = 2.0 / floors.iter().map(|floor| 1.0 / floor.rows_per_s).sum::<f64>();
    let rows_per_s = events_per_s * ROWS_PER_POST;
    Ok(Projection {
        posts,
        events_per_s,
        rows_per_s,
        floors,
        floor_rows_per_s,
        ratio: rows_per_s / floor_rows_per_s,
        cpu,
    })
}

async fn floors(rig: &Rig, time: Duration) -> anyhow::Result<[Inserted; 2]> {
    let site = rig.site().await?;
    let inserting = Inserting::new(&rig.cassandra, &site.name).await?;
    let floors = [inserting.best(Shape::Events, time).await?, inserting.best(Shape::Ids, time).await?];
    rig.drop_history(&site).await?;
    Ok(floors)
}

/// Fills a topic, then starts a store and waits until it has everything. The time counts from when it has begun.
async fn catch_up(rig: &Rig, posts: u64) -> anyhow::Result<(f64, Spent)> {
    let site = rig.site().await?;
    fill(rig, &site, posts).await?;
    let history = ScyllaHistory::open(site.history().parse()?).await?;
    let store = rig.node(&site, &["store"]).await?;
    let processes = rig.processes(&[&store]);
    let wanted = posts + CONVERSATIONS;
    let mut began = None;
    let (mut last, mut moved) = (0, Instant::now());
    loop {
        let place = place(&history, rig.partitions).await?;
        if place > last {
            (last, moved) = (place, Instant::now());
            began.get_or_insert_with(|| (place, moved, processes.measure()));
        }
        if place >= wanted {
            break;
        }
        ensure!(moved.elapsed() < STALL_MAX, "the store stands at {place} of {wanted}");
        sleep(LOOK_INTERVAL).await;
    }
    let (from, began, meter) = began.context("the store did nothing")?;
    #[expect(clippy::cast_precision_loss, reason = "a count of events")]
    let events = (wanted - from) as f64;
    let spent = meter.spent_on(events);
    drop(store);
    rig.drop_history(&site).await?;
    Ok((events / moved.duration_since(began).as_secs_f64(), spent))
}

/// All that the history has, over all partitions.
async fn place(history: &ScyllaHistory, partitions: u32) -> anyhow::Result<u64> {
    let mut sum = 0;
    for partition in (0..partitions).map(Partition) {
        sum += history.progress(partition).await?.map_or(0, |progress| progress.position.get());
    }
    Ok(sum)
}

async fn fill(rig: &Rig, site: &Site, posts: u64) -> anyhow::Result<()> {
    let making = Records::new();
    let name = |number: u64| format!("bench-{number}");
    let (brokers, topic) = (rig.brokers.clone(), site.topic());
    spawn_blocking(move || {
        let creations = (0..CONVERSATIONS).map(|number| making.creation(&name(number)));
        let posts = (0..posts).map(|number| making.post(&name(number % CONVERSATIONS), number));
        producing::fill(&brokers, &topic, creations.chain(posts))
    })
    .await?
}
