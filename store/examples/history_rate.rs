//! How fast a history in Scylla or Cassandra takes posts, beside the driver's own best batch insert on the same server in the same run.
//!
//! `cargo run --release -p store --features test-util --example history_rate HOST:PORT`. It makes keyspaces and drops them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement, which ends at what is unexpected and prints what it found"
)]

use std::time::Instant;

use futures_util::{StreamExt, stream};
use kernel::{
    History,
    history::conformance::{Scribe, body},
};
use schemas::Visibility;
use scylla::{
    client::{session::Session, session_builder::SessionBuilder},
    statement::batch::{Batch, BatchType},
};
use store::scylla::testing::Place;

/// Records in a batch, as the projector has them.
const BATCH_LEN: u64 = 1_000;
/// Batches in one measurement.
const BATCHES: u64 = 20;
/// Rows in a request of the driver's own.
const RAW_LEN: i64 = 100;
/// Its requests under way at once.
const RAW_IN_FLIGHT: usize = 16;
/// About what a record's value is.
const TEXT: &str = "What is said here is about as long as what people say to each other in a chat.";

#[tokio::main(flavor = "multi_thread")]
async fn main() {
    let node = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9042".to_owned());
    for round in 0..3 {
        println!("round {round}");
        let raw = raw(&node).await;
        println!("  the driver's own, 1 partition:      {raw:>8.0} rows/s");
        for conversations in [1, 10, 1_000] {
            let (posts, rows) = applied(&node, conversations).await;
            let ratio = rows / raw;
            println!(
                "  apply, {conversations:>5} conversations:        {rows:>8.0} rows/s ({posts:.0} posts/s), {ratio:.2} x"
            );
        }
    }
}

/// Rows a second in unlogged batches within one partition.
async fn raw(node: &str) -> f64 {
    let place = Place::make(node).await;
    let keyspace = place.settings().keyspace.as_str();
    let session: Session =
        SessionBuilder::new().known_node(node).use_keyspace(keyspace, false).build().await.unwrap();
    session
        .query_unpaged("CREATE TABLE raw (a text, b bigint, c blob, PRIMARY KEY (a, b))", ())
        .await
        .unwrap();
    let insert =
        session.prepare("INSERT INTO raw (a, b, c) VALUES (?, ?, ?) USING TIMESTAMP ?").await.unwrap();
    let batch = Batch::new_with_statements(
        BatchType::Unlogged,
        (0..RAW_LEN).map(|_| insert.clone().into()).collect(),
    );
    let value = TEXT.as_bytes().repeat(2);
    let rows = i64::try_from(2 * BATCHES * BATCH_LEN).unwrap();
    let began = Instant::now();
    let requests = (0..rows / RAW_LEN).map(|number| {
        let (session, batch, value) = (&session, &batch, &value);
        async move {
            let values: Vec<_> =
                (0..RAW_LEN).map(|row| ("tea", number * RAW_LEN + row, value, number + 1)).collect();
            session.batch(batch, values).await.unwrap();
        }
    });
    stream::iter(requests).buffer_unordered(RAW_IN_FLIGHT).collect::<Vec<_>>().await;
    rows as f64 / began.elapsed().as_secs_f64()
}

/// Posts and rows a second through the port.
async fn applied(node: &str, conversations: u64) -> (f64, f64) {
    let mut scribe = Scribe::default();
    let name = |number: u64| format!("conversation-{}", number % conversations);
    for number in 0..conversations {
        scribe.act(&name(number), "ann", "created", body::created(Visibility::Open, &[])).unwrap();
    }
    let start = scribe.tail().get();
    for number in 0..BATCHES * BATCH_LEN {
        scribe.act(&name(number), "ann", &format!("message-{number}"), body::posted(TEXT)).unwrap();
    }
    let batches: Vec<_> = (0..BATCHES)
        .map(|batch| scribe.batch(start + batch * BATCH_LEN, start + (batch + 1) * BATCH_LEN))
        .collect();
    let place = Place::make(node).await;
    let history = place.history().await;
    history.apply(scribe.batch(0, start)).await.unwrap();
    let began = Instant::now();
    for batch in batches {
        history.apply(batch).await.unwrap();
    }
    let seconds = began.elapsed().as_secs_f64();
    let posts = (BATCHES * BATCH_LEN) as f64;
    // Two rows a post, and one a batch for each conversation in it.
    let rows = 2.0 * posts + (BATCHES * conversations.min(BATCH_LEN)) as f64;
    (posts / seconds, rows / seconds)
}
