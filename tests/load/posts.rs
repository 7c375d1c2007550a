//! Durable posts in a second: over HTTP into Kafka, against librdkafka's own producer.
//!
//! The floor is taken twice: with as many records in flight as the producer takes, and with as many as there are HTTP clients, since a
//! client of HTTP waits for its answer before it sends the next post.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::Serialize;
use tokio::{
    task::{JoinSet, spawn_blocking},
    time::sleep,
};

use crate::{
    bare::Bare,
    cpu::{Meter, Processes, Spent},
    http::{self, Connection},
    message::{self, AUTHOR, PostRequest, Record, Records},
    producing::{self, Drive},
    rig::{Node, Rig, on_one_thread},
};

/// Conversations that are posted to.
const CONVERSATIONS: usize = 64;
/// Different records that the floor sends, over and over.
const FLOOR_RECORDS: usize = 1_000;
/// Enough that the producer's batches are always full.
const SATURATED: u64 = 50_000;
/// Settings of the floor that are tried; the best counts.
const LINGERS_MS: [u32; 3] = [0, 1, 5];
/// Lines in a request of the import, the most there may be.
const IMPORT_LINES: u64 = 1_000;
/// Imports at a time.
const IMPORTERS: usize = 4;
/// How long a load runs before it counts. The servers are warm by then ([`warm_up`](crate::warming::warm_up)).
const WARM_UP: Duration = Duration::from_secs(3);

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Posts {
    pub(crate) partitions: u32,
    pub(crate) record_bytes: usize,
    /// librdkafka with as much in flight as it takes.
    pub(crate) saturated_per_s: f64,
    pub(crate) saturated_cpu: Spent,
    pub(crate) http: Vec<AtConcurrency>,
    pub(crate) import: Against,
}

/// Posts over so many connections.
#[derive(Debug, Serialize)]
pub(crate) struct AtConcurrency {
    pub(crate) connections: u16,
    /// librdkafka with as many records in flight.
    pub(crate) floor_per_s: f64,
    pub(crate) ratio: f64,
    /// HTTP that does nothing but that ([`bare`](crate::bare)).
    pub(crate) bare_per_s: f64,
    pub(crate) ratio_to_bare: f64,
    #[serde(flatten)]
    pub(crate) ours: Against,
}

/// A rate, and how it compares to the producer at its best.
#[derive(Debug, Serialize)]
pub(crate) struct Against {
    pub(crate) per_s: f64,
    pub(crate) ratio_to_saturated: f64,
    pub(crate) cpu: Spent,
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Extent {
    pub(crate) connections: Vec<u16>,
    pub(crate) time: Duration,
}

/// A rate, and what it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    per_s: f64,
    cpu: Spent,
}

/// Takes floors and figures in turn.
pub(crate) async fn measure(rig: &Rig, extent: &Extent) -> anyhow::Result<Posts> {
    let floor = Floor::new(rig, extent.time).await?;
    let mut saturated = floor.saturated().await?;
    let mut measured = Vec::new();
    for &connections in &extent.connections {
        let at_same = floor.best(u64::from(connections)).await?;
        let bare = floor.bare(connections).await?;
        let ours = post(rig, connections, extent.time).await?;
        measured.push((connections, at_same, bare, ours));
    }
    let imported = import(rig, extent.time).await?;
    // Before and after: who else is busy on the machine slows one of the two down, and the better one counts.
    let again = floor.saturated().await?;
    if again.per_s > saturated.per_s {
        saturated = again;
    }
    let against = |rate: Rate| Against {
        per_s: rate.per_s,
        ratio_to_saturated: rate.per_s / saturated.per_s,
        cpu: rate.cpu,
    };
    let http = measured.into_iter().map(|(connections, floor, bare, ours)| AtConcurrency {
        connections,
        floor_per_s: floor.per_s,
        ratio: ours.per_s / floor.per_s,
        bare_per_s: bare.per_s,
        ratio_to_bare: ours.per_s / bare.per_s,
        ours: against(ours),
    });
    Ok(Posts {
        partitions: rig.partitions,
        record_bytes: floor.record_bytes(),
        saturated_per_s: saturated.per_s,
        saturated_cpu: saturated.cpu,
        http: http.collect(),
        import: against(imported),
    })
}

/// librdkafka's own producer, on a topic like that of the events.
struct Floor {
    brokers: String,
    topic: String,
    records: Arc<[Record]>,
    time: Duration,
    processes: Processes,
}

impl Floor {
    async fn new(rig: &Rig, time: Duration) -> anyhow::Result<Self> {
        let making = Records::new();
        let records = (0..FLOOR_RECORDS)
            .map(|number| making.post(&name(number % CONVERSATIONS), number as u64))
            .collect::<anyhow::Result<_>>()?;
        let topic = rig.plain_topic().await?;
        Ok(Self { brokers: rig.brokers.clone(), topic, records, time, processes: rig.processes(&[]) })
    }

    fn record_bytes(&self) -> usize {
        self.records.first().map_or(0, Record::len)
    }

    async fn saturated(&self) -> anyhow::Result<Rate> {
        self.best(SATURATED).await
    }

    /// The best of several settings: each is tried for a moment, the best one in full.
    async fn best(&self, in_flight: u64) -> anyhow::Result<Rate> {
        let mut best = (0.0, 0);
        for linger_ms in LINGERS_MS {
            let tried = self.drive(Drive { linger_ms, in_flight }, self.time / 5).await?;
            if tried.per_s > best.0 {
                best = (tried.per_s, linger_ms);
            }
        }
        self.drive(Drive { linger_ms: best.1, in_flight }, self.time).await
    }

    /// The same behind HTTP, with the better of two settings.
    async fn bare(&self, connections: u16) -> anyhow::Result<Rate> {
        let mut best = Rate { per_s: 0.0, cpu: Spent::default() };
        for linger_ms in [0, 1] {
            let server =
                Bare::start(&self.brokers, &self.topic, Arc::clone(&self.records), linger_ms).await?;
            let target = Target {
                address: server.address.clone(),
                token: String::new(),
                conversations: (0..CONVERSATIONS).map(name).collect(),
                processes: self.processes.clone(),
            };
            let rate = target.post(connections, self.time).await?;
            if rate.per_s > best.per_s {
                best = rate;
            }
        }
        Ok(best)
    }

    async fn drive(&self, drive: Drive, time: Duration) -> anyhow::Result<Rate> {
        let (brokers, topic, records) = (self.brokers.clone(), self.topic.clone(), Arc::clone(&self.records));
        let meter = self.processes.measure();
        let driven =
            spawn_blocking(move || producing::drive(&brokers, &topic, &records, drive, time)).await??;
        let cpu = meter.spent_on(driven.records);
        Ok(Rate { per_s: driven.records / driven.took.as_secs_f64(), cpu })
    }
}

/// The name of a conversation.
fn name(number: usize) -> String {
    format!("bench-{number}")
}

/// Makes open conversations.
pub(crate) async fn create(node: &Node, count: usize) -> anyhow::Result<Vec<String>> {
    let mut connection = Connection::open(&node.address).await?;
    let names: Vec<_> = (0..count).map(name).collect();
    for name in &names {
        let body = format!(r#"{{"conversation":"{name}","client_event_id":"created"}}"#);
        let request = http::request("POST", "/v1/conversations", &node.token(AUTHOR, false)?, &body);
        let answer = connection.call(&request).await?;
        ensure!(answer.status == 201, "{}: {}", answer.status, String::from_utf8_lossy(answer.body));
    }
    Ok(names)
}

/// Posts to a log of their own. Nobody keeps its history up to date, so that the store's work is not counted here; ingest goes without for
/// a minute, its window of repeats.
async fn post(rig: &Rig, connections: u16, time: Duration) -> anyhow::Result<Rate> {
    let node = rig.node(&rig.site().await?, &["ingest"]).await?;
    Target::of(rig, &node).await?.post(connections, time).await
}

/// Who takes posts.
#[derive(Clone)]
pub(crate) struct Target {
    address: String,
    token: String,
    conversations: Vec<String>,
    processes: Processes,
}

impl Target {
    /// A node, with conversations to post to.
    pub(crate) async fn of(rig: &Rig, node: &Node) -> anyhow::Result<Self> {
        Ok(Self {
            address: node.address.clone(),
            token: node.token(AUTHOR, false)?,
            conversations: create(node, CONVERSATIONS).await?,
            processes: rig.processes(&[node]),
        })
    }

    /// Posts over so many connections at once, each of which waits for its answer.
    pub(crate) async fn post(self, connections: u16, time: Duration) -> anyhow::Result<Rate> {
        let first = number_of_run();
        on_one_thread(move || async move {
            let load = Load::new(first, time);
            let mut clients = JoinSet::new();
            for (_, conversation) in (0..connections).zip(self.conversations.iter().cycle()) {
                let (load, address) = (Arc::clone(&load), self.address.clone());
                let mut request = PostRequest::new(conversation, &self.token);
                clients.spawn_local(async move {
                    let mut connection = Connection::open(&address).await?;
                    while let Some(number) = load.take(1) {
                        let answer = connection.call(request.numbered(number)).await?;
                        ensure!(
                            answer.status == 201,
                            "{}: {}",
                            answer.status,
                            String::from_utf8_lossy(answer.body)
                        );
                        load.done(1);
                    }
                    Ok(())
                });
            }
            load.measure(clients, &self.processes).await
        })
        .await
    }
}

/// The same through the import, a thousand posts in each request. It fills the window of repeats within seconds and goes no faster than the
/// store from then on, so a store is there too.
async fn import(rig: &Rig, time: Duration) -> anyhow::Result<Rate> {
    let site = rig.site().await?;
    let (node, store) = (rig.node(&site, &["ingest"]).await?, rig.node(&site, &["store"]).await?);
    let token = node.token(AUTHOR, true)?;
    let (address, processes) = (node.address.clone(), rig.processes(&[&node, &store]));
    let first = number_of_run();
    on_one_thread(move || async move {
        let load = Load::new(first, time);
        let mut clients = JoinSet::new();
        for importer in 0..IMPORTERS {
            let (load, address, token) = (Arc::clone(&load), address.clone(), token.clone());
            let conversation = format!("import-{importer}");
            clients.spawn_local(async move {
                let mut connection = Connection::open(&address).await?;
                while let Some(first) = load.take(IMPORT_LINES) {
                    let body = lines(&conversation, first);
                    let request = http::request("POST", "/v1/import", &token, &body);
                    let answer = connection.call(&request).await?;
                    let text = String::from_utf8_lossy(answer.body);
                    let all = format!("\"added\":{IMPORT_LINES},");
                    ensure!(answer.status == 200 && text.contains(&all), "{}: {text}", answer.status);
                    load.done(IMPORT_LINES);
                }
                Ok(())
            });
        }
        load.measure(clients, &processes).await
    })
    .await
}

fn lines(conversation: &str, first: u64) -> String {
    let line = |number| {
        let (id, text) = (message::id(number), message::text(number));
        format!(
            r#"{{"conversation":"{conversation}","at":"2024-02-26T08:49:39.372Z","author":"{AUTHOR}","kind":"message","text":"{text}","id":"{id}"}}"#
        )
    };
    (first..first + IMPORT_LINES).map(|number| line(number) + "\n").collect()
}

/// The first number of a run's messages: no two runs share one.
fn number_of_run() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(100_000_000, Ordering::Relaxed)
}

/// What the clients of a run share.
#[derive(Debug)]
struct Load {
    next: AtomicU64,
    done: AtomicU64,
    over: AtomicBool,
    time: Duration,
}

impl Load {
    fn new(first: u64, time: Duration) -> Arc<Self> {
        Arc::new(Self {
            next: AtomicU64::new(first),
            done: AtomicU64::new(0),
            over: AtomicBool::new(false),
            time,
        })
    }

    /// The number of the next message, of so many; `None` when the time is over.
    fn take(&self, count: u64) -> Option<u64> {
        (!self.over.load(Ordering::Relaxed)).then(|| self.next.fetch_add(count, Ordering::Relaxed))
    }

    fn done(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts what is done in the time, after a warm-up; then waits for the clients.
    async fn measure(
        &self,
        mut clients: JoinSet<anyhow::Result<()>>,
        processes: &Processes,
    ) -> anyhow::Result<Rate> {
        let counting = async {
            sleep(WARM_UP).await;
            let (before, began, meter): (_, _, Meter) =
                (self.done.load(Ordering::Relaxed), Instant::now(), processes.measure());
            sleep(self.time).await;
            #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
            let done = (self.done.load(Ordering::Relaxed) - before) as f64;
            Rate { per_s: done / began.elapsed().as_secs_f64(), cpu: meter.spent_on(done) }
        };
        let rate = tokio::select! {
            rate = counting => rate,
            // No client ends before the time is over, unless it fails.
            Some(ended) = clients.join_next() => return Err(ended?.err().context("a client ended early")?),
        };
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        Ok(rate)
    }
}
