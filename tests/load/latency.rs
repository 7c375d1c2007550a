//! From a post to a session at a steady rate, against produce and consume.
//!
//! Invariant: all latencies count from when a message was due ([`Schedule`]), so whoever falls behind is charged for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::Serialize;
use server::measure::{Latencies, Schedule};
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::{
    consuming,
    cpu::{Processes, Spent},
    http::Connection,
    message::{AUTHOR, PostRequest, Records},
    posts,
    rig::{Rig, on_one_thread},
    socket::Session,
};

/// Conversations, each with one session that watches it.
const CONVERSATIONS: usize = 16;
/// Connections over which the posts go, one at a time on each.
const CONNECTIONS: usize = 32;
/// A run before the one that counts.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the last messages may take.
const GRACE: Duration = Duration::from_secs(10);

/// How fast, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Messages in a second.
    pub(crate) rate: u32,
    pub(crate) time: Duration,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) rate_per_s: u32,
    pub(crate) messages: u64,
    /// librdkafka's producer and consumer.
    pub(crate) floor: Percentiles,
    /// HTTP to WebSocket.
    pub(crate) ours: Percentiles,
    pub(crate) p50_ratio: f64,
    pub(crate) p99_ratio: f64,
    pub(crate) cpu: Spent,
}

/// Milliseconds.
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Pace {
    pub(crate) fn schedule(self, start: Instant) -> Schedule {
        Schedule { start, interval: Duration::from_secs(1) / self.rate }
    }

    /// Messages of a floor that do not count: those of its first second.
    pub(crate) fn run_in(self) -> u64 {
        u64::from(self.rate)
    }

    fn messages(self) -> u64 {
        u64::from(self.rate) * self.time.as_secs()
    }
}

impl From<&Latencies> for Percentiles {
    fn from(latencies: &Latencies) -> Self {
        let ms = |share| latencies.at(share).as_secs_f64() * 1e3;
        Self { p50_ms: ms(0.5), p99_ms: ms(0.99), p999_ms: ms(0.999), max_ms: ms(1.0) }
    }
}

/// Takes the floor before and after, the better of the two counts, and ours in between.
pub(crate) async fn measure(rig: &Rig, pace: Pace) -> anyhow::Result<Latency> {
    let topic = rig.plain_topic().await?;
    let warm_up = Pace { time: WARM_UP, ..pace };
    floor(rig, &topic, warm_up).await.context("the floor, to warm the broker up")?;
    let before = floor(rig, &topic, pace).await?;
    let (ours, cpu) = ours(rig, warm_up, pace).await?;
    let after = floor(rig, &topic, pace).await?;
    let better = if after.at(0.5) < before.at(0.5) { after } else { before };
    let (floor, ours) = (Percentiles::from(&better), Percentiles::from(&ours));
    Ok(Latency {
        rate_per_s: pace.rate,
        messages: pace.messages(),
        p50_ratio: ours.p50_ms / floor.p50_ms,
        p99_ratio: ours.p99_ms / floor.p99_ms,
        floor,
        ours,
        cpu,
    })
}

async fn floor(rig: &Rig, topic: &str, pace: Pace) -> anyhow::Result<Latencies> {
    let making = Records::new();
    let name = |number: u64| format!("bench-{}", number % CONVERSATIONS as u64);
    let records = (0..pace.run_in() + pace.messages()).map(|number| making.post(&name(number), number));
    let records: Vec<_> = records.collect::<anyhow::Result<_>>()?;
    let (brokers, topic) = (rig.brokers.clone(), topic.to_owned());
    spawn_blocking(move || consuming::produce_and_consume(&brokers, &topic, &records, pace)).await?
}

/// Each role is a process of its own, as it would be in service: the posts go to one, the sessions are at another, and the history is
/// kept up to date by a third.
async fn ours(rig: &Rig, warm_up: Pace, pace: Pace) -> anyhow::Result<(Latencies, Spent)> {
    let site = rig.site().await?;
    let ingest = rig.node(&site, &["ingest"]).await?;
    let fanout = rig.node(&site, &["fanout"]).await?;
    let store = rig.node(&site, &["store"]).await?;
    let conversations = posts::create(&ingest, CONVERSATIONS).await?;
    let token = ingest.token(AUTHOR, false)?;
    let processes = rig.processes(&[&ingest, &fanout, &store]);
    let run = Run {
        ingest: ingest.address.clone(),
        fanout: fanout.address.clone(),
        token,
        conversations,
        processes,
    };
    on_one_thread(move || async move {
        run.once(warm_up, 0).await?;
        run.once(pace, warm_up.messages()).await
    })
    .await
}

struct Run {
    ingest: String,
    fanout: String,
    token: String,
    conversations: Vec<String>,
    processes: Processes,
}

/// What the connections of a run share.
struct Posting {
    /// One for each message that is due.
    due: Semaphore,
    next: AtomicU64,
    total: u64,
    /// Nobody waits for the messages any more.
    over: AtomicBool,
}

impl Run {
    /// Posts messages with numbers from `first` on, and gives the time until each was at its session.
    async fn once(&self, pace: Pace, first: u64) -> anyhow::Result<(Latencies, Spent)> {
        let (seen, mut arrivals) = mpsc::channel(1_024);
        let mut tasks = JoinSet::new();
        for conversation in &self.conversations {
            let mut session = Session::subscribe(&self.fanout, &self.token, conversation).await?;
            let seen = seen.clone();
            tasks.spawn_local(async move {
                loop {
                    let mut came = Vec::new();
                    session.next(|number, at| came.push((number, at))).await?;
                    for arrival in came {
                        seen.send(arrival).await.context("nobody counts any more")?;
                    }
                }
            });
        }
        let total = pace.messages();
        let posting = Arc::new(Posting {
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
            total,
            over: AtomicBool::new(false),
        });
        for _ in 0..CONNECTIONS {
            let mut connection = Connection::open(&self.ingest).await?;
            let posting = Arc::clone(&posting);
            let mut requests: Vec<_> =
                self.conversations.iter().map(|name| PostRequest::new(name, &self.token)).collect();
            tasks.spawn_local(async move {
                while let Some(number) = posting.take().await {
                    let turn = usize::try_from(number)? % requests.len();
                    let request = requests.get_mut(turn).context("a conversation for each turn")?;
                    let answer = connection.call(request.numbered(first + number)).await?;
                    ensure!(
                        answer.status == 201,
                        "{}: {}",
                        answer.status,
                        String::from_utf8_lossy(answer.body)
                    );
                }
                // Until the sessions have everything.
                std::future::pending().await
            });
        }
        let meter = self.processes.measure();
        let schedule = pace.schedule(Instant::now() + Duration::from_millis(100));
        let keeper = posting.keep_time(schedule)?;
        let mut latencies = Vec::new();
        let end = pace.time + GRACE;
        let counting = async {
            while (latencies.len() as u64) < total {
                let (number, at) = arrivals.recv().await.context("no session is left")?;
                let due = schedule.due_at(number - first);
                latencies.push(at.saturating_duration_since(due));
            }
            anyhow::Ok(())
        };
        let counted = tokio::select! {
            counted = timeout(end, counting) => counted.context("not every message came to a session"),
            Some(ended) = tasks.join_next() => Ok(ended?),
        };
        posting.over.store(true, Ordering::Relaxed);
        keeper.thread().unpark();
        counted??;
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let spent = meter.spent_on(total as f64);
        Ok((Latencies::new(latencies), spent))
    }
}

impl Posting {
    /// The next message, once it is due; `None` when there is none left.
    async fn take(&self) -> Option<u64> {
        self.due.acquire().await.ok()?.forget();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then_some(number)
    }

    /// Starts the thread that gives out a permit whenever a message is due, and in the end one for each connection to stop with.
    fn keep_time(self: &Arc<Self>, schedule: Schedule) -> anyhow::Result<thread::JoinHandle<()>> {
        let posting = Arc::clone(self);
        let keep = move || {
            for number in 0..posting.total {
                schedule.wait(number, || posting.over.load(Ordering::Relaxed));
                posting.due.add_permits(1);
            }
            posting.due.add_permits(CONNECTIONS);
        };
        Ok(thread::Builder::new().name("bench-time".to_owned()).spawn(keep)?)
    }
}
