//! Tidings as separate processes, on Kafka and Cassandra, while nodes and servers die, freeze, come and go. What was
//! accepted must be there, once, in one order, for everybody.
//!
//! `schedule` draws from a seed what goes wrong; `workload` makes the load and keeps a record of every try; `run` brings
//! the two together and hands what was seen to [`tests::checker`], which knows nothing of either.
//!
//! `TIDINGS_SEED`: the first seed; `TIDINGS_FAULT_SEEDS`: how many.

mod canaries;
mod proxy;
mod run;
mod schedule;
mod workload;

use std::{
    io::{self, Write},
    str::FromStr,
};

use run::Servers;
use tests::{Cassandra, Cluster, Kafka, Site, jvm::Setup};
use tokio::sync::Mutex;

const TEST: &str = "the fault schedule";
/// Every kind of fault comes first twice.
const SEEDS_DEFAULT: u64 = 2 * schedule::KINDS;
/// So many seeds share a cluster, each with conversations of its own.
const SEEDS_PER_CLUSTER: u64 = 5;

/// A number from the environment, or `default`.
fn setting<T: FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| anyhow::anyhow!("{name} is no number: {text}")),
        Err(_) => Ok(default),
    }
}

/// Not by the macro, whose output the test runner keeps to itself.
fn say(line: &str) {
    writeln!(io::stderr(), "{line}").ok();
}

async fn servers() -> anyhow::Result<Option<Servers>> {
    // Their own, not shared ones: they are killed.
    let (Some(kafka), Some(cassandra)) = (Kafka::kit(TEST).await?, Cassandra::kit(TEST).await?) else {
        return Ok(None);
    };
    let kafka = Kafka::start(&kafka, Setup::default());
    let cassandra = Cassandra::start(&cassandra, Setup::default());
    let (kafka, cassandra) = tokio::try_join!(kafka, cassandra)?;
    Ok(Some(Servers { kafka: Mutex::new(kafka), cassandra: Mutex::new(cassandra) }))
}

async fn cluster(servers: &Servers, first_seed: u64) -> anyhow::Result<Cluster> {
    let kafka = servers.kafka.lock().await.address().to_string();
    let scylla = servers.cassandra.lock().await.address().to_string();
    let site = Site::new(kafka, &scylla, format!("faults_{first_seed}"))
        .with_kafka("session.timeout.ms", schedule::SESSION_TIMEOUT_MS)
        .with_kafka("heartbeat.interval.ms", schedule::SESSION_TIMEOUT_MS / 6);
    Cluster::start(site, schedule::NODES_EACH).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_doubled_or_out_of_order_whatever_dies() -> anyhow::Result<()> {
    let first: u64 = setting("TIDINGS_SEED", u64::from(std::process::id()))?;
    let count: u64 = setting("TIDINGS_FAULT_SEEDS", SEEDS_DEFAULT)?;
    let Some(servers) = servers().await? else { return Ok(()) };
    say(&format!("faults: seeds {first} and {} more", count.saturating_sub(1)));
    let (mut failed, mut shared) = (Vec::new(), None);
    for seed in first..first.saturating_add(count) {
        let fresh = (seed - first).is_multiple_of(SEEDS_PER_CLUSTER);
        let cluster = match shared.take().filter(|_| !fresh) {
            Some(cluster) => cluster,
            None => cluster(&servers, seed).await?,
        };
        match run::run(seed, &cluster, &servers).await {
            Ok(report) if report.verdict.is_clean() => {
                say(&report.to_string());
                shared = Some(cluster);
            }
            Ok(report) => {
                say(&report.to_string());
                fail(seed, &report.verdict.findings().join("\n"), &cluster, &mut failed).await;
            }
            Err(error) => {
                let faults: Vec<_> = schedule::draw(seed).iter().map(ToString::to_string).collect();
                fail(seed, &format!("[{}] {error:#}", faults.join(", ")), &cluster, &mut failed).await;
            }
        }
    }
    anyhow::ensure!(failed.is_empty(), "these seeds failed: {failed:?}");
    Ok(())
}

/// Says what was found, how to see it again, and what the nodes logged.
async fn fail(seed: u64, findings: &str, cluster: &Cluster, failed: &mut Vec<u64>) {
    failed.push(seed);
    say(&format!("seed {seed} FAILED; again: TIDINGS_SEED={seed} TIDINGS_FAULT_SEEDS=1\n{findings}"));
    for (role, node) in cluster.nodes() {
        let node = node.lock().await;
        say(&format!("--- {} {}:\n{}", role.name(), node.address(), node.log_tail()));
    }
}
