//! `bench-servers`: Tidings on Kafka and a CQL server, next to what the clients of both can do by themselves.
//!
//! ```text
//!   posts:       HTTP -> ingest -> Kafka          against   librdkafka's producer -> Kafka, and HTTP that does no more than that
//!   latency:     HTTP -> Kafka -> WebSocket       against   producer -> Kafka -> consumer
//!   projection:  Kafka -> store -> Cassandra      against   the driver's batches -> Cassandra
//! ```
//!
//! Each figure stands beside a floor that was taken in the same run, on the same servers, with records of the same size; compare runs by
//! the ratios. Nothing here is a test: a benchmark that is slow fails nobody.

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use server::measure::tell;

mod bare;
mod consuming;
mod cpu;
mod http;
mod inserting;
mod latency;
mod message;
mod posts;
mod producing;
mod projection;
mod report;
mod rig;
mod warming;

use report::{Part, Report};
use rig::Rig;

const ABOUT: &str = "\
Starts Kafka and Cassandra from their jars, set as for service, or takes running ones
from TIDINGS_TEST_KAFKA and TIDINGS_TEST_SCYLLA, and measures the real binary on them.
All of it shares this machine's processors, so the time that each process spent on a
record stands beside the rates.";

/// Measures Tidings on Kafka and a CQL server
#[derive(Debug, Parser)]
#[command(name = "bench-servers", after_help = ABOUT)]
struct Args {
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// What to measure; all of it if nothing is named
    #[arg(long, value_name = "PART", value_enum)]
    only: Vec<Part>,
    /// Partitions of the topics
    #[arg(long, value_name = "N", default_value_t = 8)]
    partitions: u32,
    /// How long each rate is measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=50))]
    seconds: u64,
    /// How long the servers run under load before anything counts, in seconds, at most: until their
    /// compilers, which take the processors' time, have seen enough
    #[arg(long, value_name = "S", default_value_t = 300, value_parser = clap::value_parser!(u64).range(0..=600))]
    warm_up: u64,
    /// Connections that post, one after the other
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [16, 64, 256])]
    connections: Vec<u16>,
    /// Messages a second for the latencies
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// How long latencies are measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    latency_seconds: u64,
    /// Posts that the store has to catch up with
    #[arg(long, value_name = "N", default_value_t = 500_000)]
    posts: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let rig = Rig::start(args.partitions).await?;
    let report = match measure(&rig, &args).await {
        Ok(report) => report,
        Err(error) => {
            let logs = rig.keep_logs();
            return Err(error.context(format!("what the nodes said is in {}", logs.display())));
        }
    };
    rig.finish().await?;
    tell(&report, args.json)
}

async fn measure(rig: &Rig, args: &Args) -> anyhow::Result<Report> {
    let wanted = |part| args.only.is_empty() || args.only.contains(&part);
    let time = Duration::from_secs(args.seconds);
    let mut report = Report::begin();
    eprintln!("warming the servers up");
    let longest = Duration::from_secs(args.warm_up);
    let warm = warming::warm_up(rig, longest).await.context("posts that warm the servers up")?;
    report.warm_after_s = warm.map(|after| after.as_secs());
    if wanted(Part::Posts) {
        eprintln!("measuring posts");
        let extent = posts::Extent { connections: args.connections.clone(), time };
        report.posts = Some(posts::measure(rig, &extent).await?);
    }
    if wanted(Part::Latency) {
        eprintln!("measuring latencies");
        let pace = latency::Pace { rate: args.rate, time: Duration::from_secs(args.latency_seconds) };
        report.latency = Some(latency::measure(rig, pace).await?);
    }
    if wanted(Part::Projection) {
        eprintln!("measuring the store");
        report.projection = Some(projection::measure(rig, args.posts, time).await?);
    }
    report.end();
    Ok(report)
}
