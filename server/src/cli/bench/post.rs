//! `tidings bench post`: how fast a server accepts messages, next to what the disk can do.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use crate::{cli::args::TargetArgs, client::Client, cpu, measure::Latencies};

use super::{
    beside, floor,
    load::{Load, Outcome},
    unless_stopped,
};

/// Bytes of a message, and of a record in the floor.
const MESSAGE_LEN: usize = 200;
/// Most messages in one run: their latencies are kept.
const MESSAGES_MAX: u64 = 10_000_000;

const EXAMPLES: &str = "\
Examples:
  tidings bench post          1,000 a second for a minute, a server in this process
  tidings bench post --rate 5000 --connections 32 --seconds 10 --json
  tidings bench post --url http://127.0.0.1:8000 --token \"$TOKEN\"

Without --url the server uses a fresh folder beside the data folder, on the same
disk, which is removed afterwards. A latency counts from the moment at which the
message was due, not from when it could be sent: if the server falls behind, the
wait shows. The floor is what it takes to append one record of the same size to a
plain file and sync it, measured before and after on the same disk, the better of
the two. A busy disk moves both: compare runs by the ratio.";

/// Measure how fast messages are accepted
///
/// Posts messages of 200 bytes to a fresh conversation at a steady rate, and says how long each took to be accepted.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PostArgs {
    /// Messages a second, over all connections
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    rate: u32,
    /// Connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: u16,
    /// How long, in seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    rate_asked: u32,
    connections: u16,
    seconds: f64,
    accepted: u64,
    /// Refused, or without an answer.
    errors: u64,
    /// Due, but not sent before the run was over: the server fell behind.
    unsent: u64,
    rate: f64,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    /// Processor time of this process, client and server together; `null` where the server is elsewhere.
    cpu_s: Option<f64>,
    floor_us: f64,
    floor_per_s: f64,
    p50_over_floor: f64,
}

/// Runs the measurement.
pub(super) async fn run(args: PostArgs) -> anyhow::Result<ExitCode> {
    let total = u64::from(args.rate) * u64::from(args.seconds);
    anyhow::ensure!(
        total <= MESSAGES_MAX,
        "{total} messages are too many for one run: at most {MESSAGES_MAX}"
    );
    let folder = beside(args.target.data())?;
    let floor = floor::measure(folder.path(), MESSAGE_LEN).context("cannot measure the disk")?;
    let client = match args.target.by_address() {
        Some(target) => Client::resolve(&target).await?,
        None => Client::in_process(&folder.path().join("data"), args.target.user()).await?,
    };
    let measured = unless_stopped(post(&client, &args, total)).await;
    client.close().await?;
    let floor = floor.min(floor::measure(folder.path(), MESSAGE_LEN).context("cannot measure the disk")?);
    folder.close().context("cannot remove the temporary folder")?;
    let (outcome, cpu_s) = measured?;
    let report = Report::of(&args, &outcome, cpu_s, floor);
    super::tell(&report, args.json)?;
    if let Some(error) = &outcome.first_error {
        writeln!(
            io::stderr(),
            "error: {} messages were not accepted; the first: {}",
            report.errors,
            crate::cli::visible(error)
        )?;
    }
    Ok(if report.errors == 0 && report.unsent == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the load; also gives the processor time that it took, where that is the server's too.
async fn post(client: &Client, args: &PostArgs, total: u64) -> anyhow::Result<(Outcome, Option<f64>)> {
    let load = Load {
        interval: Duration::from_secs(1) / args.rate,
        total,
        connections: usize::from(args.connections),
        message_len: MESSAGE_LEN,
    };
    let before = cpu::of_this_process();
    let outcome = load.run(client).await?;
    let used = cpu::between(before, cpu::of_this_process());
    Ok((outcome, used.filter(|_| client.is_in_process()).map(|used| used.as_secs_f64())))
}

impl Report {
    fn of(args: &PostArgs, outcome: &Outcome, cpu_s: Option<f64>, floor: Duration) -> Self {
        let latencies = Latencies::new(outcome.latencies.clone());
        let ms = |share| latencies.at(share).as_secs_f64() * 1e3;
        let (seconds, floor_us) = (outcome.took.as_secs_f64(), floor.as_secs_f64() * 1e6);
        #[expect(clippy::cast_precision_loss, reason = "at most ten million")]
        let rate = latencies.count() as f64 / seconds;
        Self {
            rate_asked: args.rate,
            connections: args.connections,
            seconds,
            accepted: latencies.count(),
            errors: outcome.errors,
            unsent: outcome.unsent,
            rate,
            p50_ms: ms(0.5),
            p90_ms: ms(0.9),
            p99_ms: ms(0.99),
            p999_ms: ms(0.999),
            max_ms: ms(1.0),
            cpu_s,
            floor_us,
            floor_per_s: 1e6 / floor_us,
            p50_over_floor: ms(0.5) * 1e3 / floor_us,
        }
    }
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { accepted, errors, unsent, seconds, rate, rate_asked, connections, .. } = self;
        let Self { p50_ms, p90_ms, p99_ms, p999_ms, max_ms, .. } = self;
        writeln!(out, "accepted     {accepted} in {seconds:.1} s over {connections} connections")?;
        writeln!(out, "errors       {errors}   unsent {unsent}")?;
        writeln!(out, "rate         {rate:.0} a second ({rate_asked} asked for)")?;
        writeln!(
            out,
            "latency ms   p50 {p50_ms:.2}   p90 {p90_ms:.2}   p99 {p99_ms:.2}   p99.9 {p999_ms:.2}   max {max_ms:.2}"
        )?;
        if let Some(cpu_s) = self.cpu_s {
            writeln!(out, "cpu          {cpu_s:.1} s, client and server together")?;
        }
        let Self { floor_us, floor_per_s, p50_over_floor, .. } = self;
        writeln!(
            out,
            "floor        {floor_us:.0} µs for one durable record of {MESSAGE_LEN} bytes ({floor_per_s:.0} a second); \
         p50 is {p50_over_floor:.2} times that"
        )?;
        Ok(())
    }
}
