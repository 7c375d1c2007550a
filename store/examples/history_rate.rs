//! How fast a history in Scylla or Cassandra takes posts, beside the driver's own best on the same server in the same run.
//!
//! `cargo run --release -p store --features test-util --example history_rate HOST:PORT`. It makes keyspaces and drops them.
//!
//! The floor is the same rows in tables like those of the history, made beforehand, and sent with plain unlogged batches of prepared inserts:
//! which batches, and how many at once, is tried out, and the best is taken. Floor and history take turns, and medians are told.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement, which ends at what is unexpected and prints what it found"
)]

use std::{collections::BTreeMap, time::Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::{
    History,
    history::{
        Batch, Projected, StoredEvent,
        conformance::{Scribe, body},
    },
};
use schemas::Visibility;
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    errors::ExecutionError,
    serialize::{
        SerializationError,
        row::{RowSerializationContext, SerializeRow},
        writers::RowWriter,
    },
    statement::{
        batch::{Batch as CqlBatch, BatchType},
        prepared::PreparedStatement,
    },
    value::CqlTimestamp,
};
use store::scylla::{ScyllaHistory, testing::Place};

/// Records in a batch, as the projector has them.
const BATCH_LEN: u64 = 1_000;
/// Batches in one measurement.
const BATCHES: u64 = 20;
/// Measurements of each, of which the median is told.
const ROUNDS: usize = 5;
/// Offsets in a partition of events, as in the history.
const BUCKET_WIDTH: u64 = 65_536;
/// About what people say to each other in a chat.
const TEXT: &str = "What is said here is about as long as what people say to each other in a chat.";

/// How the driver's own batches are made.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// A batch holds events of one conversation, or ids alone. Else rows as they come.
    by_partition: bool,
    batch_rows: usize,
    in_flight: usize,
}

/// A row of the floor.
#[derive(Debug, Clone)]
enum Row {
    Event(StoredEvent),
    Id(StoredEvent),
}

/// The floor: the tables, and the inserts.
struct Floor {
    session: Session,
    event: PreparedStatement,
    id: PreparedStatement,
    _place: Place,
}

/// What is written: a conversation's creations, and then batches of posts.
struct Load {
    conversations: u64,
    scribe: Scribe,
    start: u64,
}

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let node = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9042".to_owned());
    let one = Load::of(1);
    let floor = Floor::make(&node).await;
    // What the server's compiler has not seen yet is several times slower.
    for _ in 0..3 {
        floor.write(&one.rows(), Plan { by_partition: true, batch_rows: 50, in_flight: 16 }).await.unwrap();
        one.apply(&node).await;
    }
    let (plan, best) = floor.best(&one.events(), &[true]).await;
    println!("the driver, events of one conversation: {best:.0} rows/s, with {plan:?}");
    for conversations in [1, 10, 1_000] {
        let load = Load::of(conversations);
        let rows = load.rows();
        let (plan, _) = floor.best(&rows, &[true, false]).await;
        let (mut floors, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            floors.push(floor.write(&rows, plan).await.unwrap());
            ours.push(load.apply(&node).await);
        }
        let (floor, ours) = (median(floors), median(ours));
        println!(
            "{conversations:>5} conversations: the driver {floor:.0} rows/s with {plan:?}, the history {ours:.0} rows/s, {:.2} x",
            ours / floor
        );
    }
}

impl Load {
    fn of(conversations: u64) -> Self {
        let mut scribe = Scribe::default();
        let name = |number: u64| format!("conversation-{}", number % conversations);
        for number in 0..conversations {
            scribe.act(&name(number), "ann", "created", body::created(Visibility::Open, &[])).unwrap();
        }
        let start = scribe.tail().get();
        for number in 0..BATCHES * BATCH_LEN {
            scribe.act(&name(number), "ann", &format!("message-{number}"), body::posted(TEXT)).unwrap();
        }
        Self { conversations, scribe, start }
    }

    fn batches(&self) -> Vec<Batch> {
        let from = |batch| self.start + batch * BATCH_LEN;
        (0..BATCHES).map(|batch| self.scribe.batch(from(batch), from(batch + 1))).collect()
    }

    fn stored(&self) -> impl Iterator<Item = StoredEvent> {
        self.batches().into_iter().flat_map(|batch| batch.events).map(|Projected { event, .. }| event)
    }

    fn events(&self) -> Vec<Row> {
        self.stored().map(Row::Event).collect()
    }

    /// Both rows of each post.
    fn rows(&self) -> Vec<Row> {
        self.stored().flat_map(|stored| [Row::Event(stored.clone()), Row::Id(stored)]).collect()
    }

    /// Rows a second through the port: two a post, and one a batch for each conversation in it.
    async fn apply(&self, node: &str) -> f64 {
        let place = Place::make(node).await;
        let history: ScyllaHistory = place.history().await;
        history.apply(self.scribe.batch(0, self.start)).await.unwrap();
        let batches = self.batches();
        let began = Instant::now();
        for batch in batches {
            history.apply(batch).await.unwrap();
        }
        let seconds = began.elapsed().as_secs_f64();
        (2 * BATCHES * BATCH_LEN + BATCHES * self.conversations.min(BATCH_LEN)) as f64 / seconds
    }
}

impl Floor {
    async fn make(node: &str) -> Self {
        let place = Place::make(node).await;
        let session = SessionBuilder::new().known_node(node).build().await.unwrap();
        let keyspace = &place.settings().keyspace;
        let event = format!(
            "INSERT INTO {keyspace}.events (conversation, bucket, post, offset, recorded_at, value)
             VALUES (?, ?, true, ?, ?, ?) USING TIMESTAMP ?"
        );
        let id = format!(
            "INSERT INTO {keyspace}.ids (conversation, event_id, offset, recorded_at, actor, type, posted_offset)
             VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?"
        );
        let event = session.prepare(event).await.unwrap();
        let id = session.prepare(id).await.unwrap();
        Self { session, event, id, _place: place }
    }

    /// The best of the ways to write these rows, and its rows a second.
    async fn best(&self, rows: &[Row], groupings: &[bool]) -> (Plan, f64) {
        let mut best: Option<(Plan, f64)> = None;
        for &by_partition in groupings {
            for batch_rows in [1, 10, 30, 60, 100, 200] {
                for in_flight in [8, 32, 128] {
                    let plan = Plan { by_partition, batch_rows, in_flight };
                    // What the server refuses, being too large, is no way.
                    let Ok(speed) = self.write(rows, plan).await else { continue };
                    if best.is_none_or(|(_, best)| speed > best) {
                        best = Some((plan, speed));
                    }
                }
            }
        }
        best.unwrap()
    }

    /// Writes the rows, and tells how many a second.
    async fn write(&self, rows: &[Row], plan: Plan) -> Result<f64, ExecutionError> {
        let mut groups: BTreeMap<(bool, &str, u64), Vec<&Row>> = BTreeMap::new();
        for row in rows {
            let key = match row {
                _ if !plan.by_partition => (false, "", 0),
                Row::Id(_) => (true, "", 0),
                Row::Event(stored) => {
                    (false, stored.event.conversation.as_str(), stored.offset.get() / BUCKET_WIDTH)
                }
            };
            groups.entry(key).or_default().push(row);
        }
        let requests: Vec<_> = groups.values().flat_map(|group| group.chunks(plan.batch_rows)).collect();
        let began = Instant::now();
        let sent = requests.iter().map(|rows| async move {
            let statements = rows.iter().map(|row| match row {
                Row::Event(_) => self.event.clone().into(),
                Row::Id(_) => self.id.clone().into(),
            });
            let batch = CqlBatch::new_with_statements(BatchType::Unlogged, statements.collect());
            self.session.batch(&batch, rows).await.map(drop)
        });
        let sent: Vec<_> = sent.collect();
        stream::iter(sent).buffer_unordered(plan.in_flight).try_collect::<()>().await?;
        Ok(rows.len() as f64 / began.elapsed().as_secs_f64())
    }
}

impl SerializeRow for Row {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        let (Self::Event(stored) | Self::Id(stored)) = self;
        let (event, offset) = (&stored.event, i64::from(stored.offset));
        let (conversation, at) = (event.conversation.as_str(), CqlTimestamp(stored.recorded_at.as_millis()));
        match self {
            Self::Event(_) => {
                let bucket = i64::try_from(stored.offset.get() / BUCKET_WIDTH).unwrap();
                (conversation, bucket, offset, at, &stored.value[..], offset + 1).serialize(context, writer)
            }
            Self::Id(_) => {
                let (id, actor, type_name) =
                    (event.event_id.as_str(), event.actor.as_str(), event.body.type_name());
                (conversation, id, offset, at, actor, type_name, offset, offset + 1)
                    .serialize(context, writer)
            }
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

fn median(mut speeds: Vec<f64>) -> f64 {
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied().unwrap_or_default()
}
