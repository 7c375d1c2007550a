//! From a post to a session at a steady rate, against produce and consume.
//!
//! Invariant: all latencies count from when a message was due ([`Schedule`]), so whoever falls behind is charged for it.

use std::{
    io::Write,
    net::TcpStream,
    sync::mpsc as std_mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde::Serialize;
use server::measure::{Latencies, Schedule, Session};
use tokio::{
    net::TcpStream as TokioStream,
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
    time::timeout,
};

use crate::{
    bare::Bare,
    consuming,
    cpu::{Processes, Spent},
    http::Connection,
    message::{AUTHOR, PostRequest, Record, Records, numbers},
    posts,
    rig::{Rig, on_one_thread},
};

/// Conversations, each with one session that watches it.
const CONVERSATIONS: usize = 16;
/// Connections over which the posts go, one at a time on each.
const CONNECTIONS: usize = 32;
/// A run before the one that counts.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the last messages may take.
const GRACE: Duration = Duration::from_secs(10);

/// The roles of each node.
const TOGETHER: &[&[&str]] = &[&["ingest", "fanout", "store"]];
const APART: &[&[&str]] = &[&["ingest"], &["fanout"], &["store"]];

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
    /// HTTP to a socket with nothing but that in between ([`bare`](crate::bare)), all of it in this process.
    pub(crate) bare: Percentiles,
    /// HTTP to WebSocket, all roles in one process.
    pub(crate) together: Ours,
    /// The same with a process for each role.
    pub(crate) apart: Ours,
    /// Both again while Cassandra yields ([`Rig::cassandra_yields`]). `None`: it is not ours, or `chrt` is missing.
    pub(crate) yielding: Option<Yielding>,
}

/// What is measured without Cassandra in the way.
#[derive(Debug, Serialize)]
pub(crate) struct Yielding {
    pub(crate) together: Ours,
    pub(crate) apart: Ours,
}

/// What a way to set nodes up takes.
#[derive(Debug, Serialize)]
pub(crate) struct Ours {
    pub(crate) latency: Percentiles,
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
    let bare = bare(rig, &topic, warm_up, pace).await.context("bare HTTP and a bare relay")?;
    let together = ours(rig, TOGETHER, warm_up, pace).await?;
    let apart = ours(rig, APART, warm_up, pace).await?;
    let mut yielding = None;
    if rig.cassandra_yields(true)? {
        yielding = Some((ours(rig, TOGETHER, warm_up, pace).await?, ours(rig, APART, warm_up, pace).await?));
        rig.cassandra_yields(false)?;
    }
    let after = floor(rig, &topic, pace).await?;
    let better = if after.at(0.5) < before.at(0.5) { after } else { before };
    let floor = Percentiles::from(&better);
    let beside_the_floor = |(latencies, cpu): (Latencies, Spent)| {
        let latency = Percentiles::from(&latencies);
        let (p50_ratio, p99_ratio) = (latency.p50_ms / floor.p50_ms, latency.p99_ms / floor.p99_ms);
        Ours { latency, p50_ratio, p99_ratio, cpu }
    };
    Ok(Latency {
        rate_per_s: pace.rate,
        messages: pace.messages(),
        floor,
        bare: Percentiles::from(&bare),
        together: beside_the_floor(together),
        apart: beside_the_floor(apart),
        yielding: yielding.map(|(together, apart)| Yielding {
            together: beside_the_floor(together),
            apart: beside_the_floor(apart),
        }),
    })
}

async fn floor(rig: &Rig, topic: &str, pace: Pace) -> anyhow::Result<Latencies> {
    let records = records(pace.run_in() + pace.messages())?;
    let (brokers, topic) = (rig.brokers.clone(), topic.to_owned());
    spawn_blocking(move || consuming::produce_and_consume(&brokers, &topic, &records, pace)).await?
}

/// Records with numbers from 0 on.
fn records(count: u64) -> anyhow::Result<Vec<Record>> {
    let making = Records::new();
    let name = |number: u64| format!("bench-{}", number % CONVERSATIONS as u64);
    (0..count).map(|number| making.post(&name(number), number)).collect()
}

async fn bare(rig: &Rig, topic: &str, warm_up: Pace, pace: Pace) -> anyhow::Result<Latencies> {
    let records = records(warm_up.messages() + pace.messages())?;
    let server = Bare::start(&rig.brokers, topic, records.into(), 0).await?;
    let relay = Bare::relay(&rig.brokers, topic).await?;
    let run = Run {
        ingest: server.address.clone(),
        sessions: Sessions::Bare { relay: relay.address.clone() },
        token: String::new(),
        conversations: vec!["bench".to_owned()],
        processes: rig.processes(&[]),
    };
    Ok(run.twice(warm_up, pace).await?.0)
}

/// Nodes with these roles: the posts go to the first that takes them, and the sessions are at the first that has some.
async fn ours(rig: &Rig, nodes: &[&[&str]], warm_up: Pace, pace: Pace) -> anyhow::Result<(Latencies, Spent)> {
    let site = rig.site().await?;
    let mut started = Vec::new();
    for roles in nodes {
        started.push((*roles, rig.node(&site, roles).await?));
    }
    let with = |role: &str| {
        let found = started.iter().find(|(roles, _)| roles.contains(&role));
        found.map(|(_, node)| node).with_context(|| format!("no node has the role {role}"))
    };
    let (ingest, fanout) = (with("ingest")?, with("fanout")?);
    let all: Vec<_> = started.iter().map(|(_, node)| node).collect();
    let run = Run {
        ingest: ingest.address.clone(),
        sessions: Sessions::Fanout { address: fanout.address.clone() },
        token: ingest.token(AUTHOR, false)?,
        conversations: posts::create(ingest, CONVERSATIONS).await?,
        processes: rig.processes(&all),
    };
    run.twice(warm_up, pace).await
}

struct Run {
    ingest: String,
    sessions: Sessions,
    token: String,
    conversations: Vec<String>,
    processes: Processes,
}

/// Where messages arrive.
enum Sessions {
    /// At a session for each conversation.
    Fanout { address: String },
    /// At one socket.
    Bare { relay: String },
}

/// Sends requests when they are due, on a thread of its own, as the floor's producer does.
struct Sender {
    connections: Vec<TcpStream>,
    /// Connections that have their answer.
    idle: std_mpsc::Receiver<usize>,
    /// One for each conversation.
    requests: Vec<PostRequest>,
    first: u64,
    total: u64,
    schedule: Schedule,
}

impl Sessions {
    async fn open(&self, token: &str, conversations: &[String]) -> anyhow::Result<Vec<Session>> {
        match self {
            Self::Fanout { address } => {
                let sessions = conversations.iter().map(async |name| {
                    let mut session = Session::connect(address, token).await?;
                    session.subscribe(name, None).await?;
                    anyhow::Ok(session)
                });
                try_join_all(sessions).await
            }
            Self::Bare { relay } => Ok(vec![Session::over(TokioStream::connect(relay).await?)]),
        }
    }
}

impl Run {
    /// What counts is the second run.
    async fn twice(self, warm_up: Pace, pace: Pace) -> anyhow::Result<(Latencies, Spent)> {
        on_one_thread(move || async move {
            self.once(warm_up, 0).await?;
            self.once(pace, warm_up.messages()).await
        })
        .await
    }

    /// Posts messages with numbers from `first` on, and gives the time until each was at its session.
    async fn once(&self, pace: Pace, first: u64) -> anyhow::Result<(Latencies, Spent)> {
        let (seen, mut arrivals) = mpsc::channel(1_024);
        let mut tasks = JoinSet::new();
        for mut session in self.sessions.open(&self.token, &self.conversations).await? {
            let seen = seen.clone();
            tasks.spawn_local(async move {
                loop {
                    let mut came = Vec::new();
                    session.next(|payload, at| numbers(payload, |number| came.push((number, at)))).await?;
                    for arrival in came {
                        seen.send(arrival).await.context("nobody counts any more")?;
                    }
                }
            });
        }
        let total = pace.messages();
        let (answered, idle) = std_mpsc::sync_channel(CONNECTIONS);
        let mut connections = Vec::new();
        for index in 0..CONNECTIONS {
            let mut connection = Connection::open(&self.ingest).await?;
            connections.push(connection.sender()?);
            let answered = answered.clone();
            tasks.spawn_local(async move {
                loop {
                    // Whoever keeps the time is gone only when all is sent.
                    let _ = answered.send(index);
                    let answer = connection.answer().await?;
                    let said = || String::from_utf8_lossy(answer.body);
                    ensure!(answer.status == 201, "{}: {}", answer.status, said());
                }
            });
        }
        drop(answered);
        let meter = self.processes.measure();
        let schedule = pace.schedule(Instant::now() + Duration::from_millis(100));
        let requests = self.conversations.iter().map(|name| PostRequest::new(name, &self.token)).collect();
        let sender = Sender { connections, idle, requests, first, total, schedule };
        let sending = thread::Builder::new().name("bench-time".to_owned()).spawn(|| sender.run())?;
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
        // Ends the thread, should it still wait for a connection.
        drop(tasks);
        counted??;
        sending.join().map_err(|_| anyhow::anyhow!("the thread that sends panicked"))??;
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let spent = meter.spent_on(total as f64);
        Ok((Latencies::new(latencies), spent))
    }
}

impl Sender {
    fn run(mut self) -> anyhow::Result<()> {
        for number in 0..self.total {
            self.schedule.wait(number, || false);
            // None is left if the run was given up.
            let Ok(connection) = self.idle.recv() else { break };
            let turn = usize::try_from(number)? % self.requests.len();
            let request = self.requests.get_mut(turn).context("a request for each turn")?;
            let mut connection = self.connections.get(connection).context("a connection for each number")?;
            // It does not block, and need not: the request before was read to its end.
            connection.write_all(request.numbered(self.first + number))?;
        }
        Ok(())
    }
}
