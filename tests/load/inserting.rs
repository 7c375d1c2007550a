//! The floor of projecting: the driver's own batches on the same server, with the rows of the history, into its tables.
//!
//! The history writes two rows for each post: the event, beside its neighbours in one partition of the table, and its id, which is a
//! partition by itself. The driver writes either at its best: unlogged batches, their length and how many are in flight chosen by trial.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::{
        batch::{Batch, BatchType},
        prepared::PreparedStatement,
    },
};
use serde::Serialize;

use crate::message::{AUTHOR, Records, id};

/// Rows in a batch that are tried. Cassandra refuses batches of 50 KiB and more.
const BATCH_ROWS: [usize; 3] = [30, 60, 120];
/// Batches in flight that are tried.
const IN_FLIGHT: [usize; 3] = [4, 16, 64];
/// Conversations that the events are spread over.
const CONVERSATIONS: i64 = 16;
/// Offsets in one partition of the table, as in the history.
const BUCKET_WIDTH: i64 = 65_536;

/// Which rows are written.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Shape {
    /// Events: a batch goes into one partition.
    Events,
    /// Ids: each row is a partition.
    Ids,
}

/// The driver at its best.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Inserted {
    pub(crate) shape: Shape,
    pub(crate) rows_per_s: f64,
    pub(crate) batch_rows: usize,
    pub(crate) in_flight: usize,
}

/// Writes rows like those of the history, into tables like its own.
pub(crate) struct Inserting {
    session: Session,
    events: PreparedStatement,
    ids: PreparedStatement,
    value: Vec<u8>,
    next: AtomicI64,
}

impl Inserting {
    /// Writes into the tables of this history, which nobody else uses.
    pub(crate) async fn new(address: &str, keyspace: &str) -> anyhow::Result<Self> {
        let session = SessionBuilder::new().known_node(address).build().await?;
        let events = format!(
            "INSERT INTO {keyspace}.events (conversation, bucket, post, offset, recorded_at, value) VALUES (?, ?, true, ?, 0, ?) \
             USING TIMESTAMP ?"
        );
        let ids = format!(
            "INSERT INTO {keyspace}.ids (conversation, event_id, offset, recorded_at, actor, type, posted_offset) \
             VALUES (?, ?, ?, 0, '{AUTHOR}', 'MessagePosted', ?) USING TIMESTAMP ?"
        );
        let (events, ids) = (session.prepare(events).await?, session.prepare(ids).await?);
        let value = Records::new().post("bench-0", 0)?.value;
        Ok(Self { session, events, ids, value, next: AtomicI64::new(0) })
    }

    /// Tries every setting for a moment, and the best one in full.
    pub(crate) async fn best(&self, shape: Shape, time: Duration) -> anyhow::Result<Inserted> {
        let settings = BATCH_ROWS.into_iter().flat_map(|rows| IN_FLIGHT.map(|in_flight| (rows, in_flight)));
        let mut best = None::<Inserted>;
        for (batch_rows, in_flight) in settings {
            // More than the server can answer in time is no way to write.
            let Ok(tried) = self.insert(shape, batch_rows, in_flight, time / 8).await else { continue };
            if best.is_none_or(|best| tried.rows_per_s > best.rows_per_s) {
                best = Some(tried);
            }
        }
        let Inserted { batch_rows, in_flight, .. } =
            best.context("the server answers in time at no setting")?;
        self.insert(shape, batch_rows, in_flight, time).await
    }

    async fn insert(
        &self,
        shape: Shape,
        batch_rows: usize,
        in_flight: usize,
        time: Duration,
    ) -> anyhow::Result<Inserted> {
        let statement = match shape {
            Shape::Events => &self.events,
            Shape::Ids => &self.ids,
        };
        let mut batch = Batch::new(BatchType::Unlogged);
        (0..batch_rows).for_each(|_| batch.append_statement(statement.clone()));
        batch.set_is_idempotent(true);
        let (batch, began) = (&batch, Instant::now());
        let batches = stream::iter(std::iter::from_fn(|| (began.elapsed() < time).then_some(())));
        let write = batches.map(|()| async move {
            let rows = i64::try_from(batch_rows)?;
            let number = self.next.fetch_add(rows, Ordering::Relaxed);
            let conversation = format!("bench-{}", number / rows % CONVERSATIONS);
            match shape {
                Shape::Events => {
                    let row = |offset| (&conversation, number / BUCKET_WIDTH, offset, &self.value, offset);
                    let values: Vec<_> = (number..number + rows).map(row).collect();
                    self.session.batch(batch, values).await?;
                }
                Shape::Ids => {
                    let row =
                        |offset: i64| (&conversation, id(offset.unsigned_abs()), offset, offset, offset);
                    let values: Vec<_> = (number..number + rows).map(row).collect();
                    self.session.batch(batch, values).await?;
                }
            }
            anyhow::Ok(batch_rows)
        });
        let rows = write.buffer_unordered(in_flight).try_fold(0, async |sum, rows| Ok(sum + rows)).await?;
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let rows_per_s = rows as f64 / began.elapsed().as_secs_f64();
        Ok(Inserted { shape, rows_per_s, batch_rows, in_flight })
    }
}
