//! `tidings bench fanout`: what a delivery takes, next to the least that it can take.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{
    OwnServerArgs,
    delivering::{BesideFloor, Processors, floor, frame_bytes, ours},
    progress::steps,
};
use crate::measure::{Cores, Percentiles, Row, Server, make_room};

const EXAMPLES: &str = "\
Examples:
  tidings bench fanout                          all five, 1,000 sessions; some three minutes
  tidings bench fanout --only one --only steady
  tidings bench fanout --sessions 100 --seconds 2 --json

A server in a process of its own, on a fresh folder beside the data folder, gets
messages of 200 bytes over sessions, writes each to its log and delivers it. What
counts is the processor time of the whole process for each delivery. The floor is
one thread that does nothing but write a ready frame of the same length to each
session; it is driven in the same way, before and after, and the cheaper of the two
counts. The server has one processor and the load another, where there are two.
Other programs that are at work move both: compare runs by the ratio.";

/// Measure what a delivery takes
///
/// The processor time for each message that comes to a session, as a multiple of the least that it can take.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct FanoutArgs {
    /// What to measure; can be given again [default: all]
    #[arg(long, value_name = "WORK", value_enum)]
    only: Vec<Row>,
    /// Sessions, over all conversations
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=15_000))]
    sessions: u32,
    /// How long each is measured, and the floor before and after, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    processors: Processors,
    /// Bytes of what is written for a delivery.
    frame_bytes: usize,
    work: Vec<Measured>,
}

#[derive(Debug, Serialize)]
struct Measured {
    name: Row,
    title: String,
    #[serde(flatten)]
    beside: BesideFloor,
    goal: f64,
}

pub(super) async fn run(args: FanoutArgs) -> anyhow::Result<ExitCode> {
    let rows = if args.only.is_empty() { Row::ALL.to_vec() } else { args.only.clone() };
    let connections = rows.iter().map(|row| row.work(args.sessions).connections()).max().unwrap_or_default();
    // Both ends of each at the floor are in this process.
    make_room(2 * u64::from(connections))?;
    let cores = Cores::choose();
    args.own.run_on(cores, async |server| measure(server, cores, &rows, &args).await).await
}

async fn measure(
    server: &Server,
    cores: Option<Cores>,
    rows: &[Row],
    args: &FanoutArgs,
) -> anyhow::Result<Report> {
    let time = Duration::from_secs(args.seconds);
    let frame_bytes = frame_bytes(server, cores).await?;
    let progress = steps(rows.len() * 3)?;
    let mut measured = Vec::new();
    for row in rows {
        let work = row.work(args.sessions);
        let told = |what: &str| progress.set_message(format!("{what}: {}", work.title()));
        told("floor");
        let before = floor(frame_bytes, cores, work, time).await?;
        progress.inc(1);
        told("tidings");
        let (ours, ()) = ours(server, cores, work, time, || ()).await?;
        progress.inc(1);
        told("floor");
        let after = floor(frame_bytes, cores, work, time).await?;
        progress.inc(1);
        let beside = BesideFloor::new(ours, [before, after]);
        measured.push(Measured { name: *row, title: work.title(), beside, goal: row.goal() });
    }
    progress.finish_and_clear();
    Ok(Report { processors: cores.into(), frame_bytes, work: measured })
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        writeln!(
            out,
            "{}; frames of {} bytes; processor time in µs for each delivery",
            self.processors, self.frame_bytes
        )?;
        writeln!(
            out,
            "  {:<32} {:>8} {:>8} {:>18} {:>7} {:>7} {:>11} {:>7}   latency in ms",
            "", "tidings", "floor", "(before, after)", "ratio", "goal", "a second", "load"
        )?;
        for Measured { title, beside, goal, .. } in &self.work {
            let (both, BesideFloor { ours, floor, ratio, .. }) = (beside.floors(), beside);
            let load = ours.load_us.map_or(String::new(), |load| format!("{load:.3}"));
            let latency = |of: &Option<Percentiles>| {
                of.map_or(String::new(), |Percentiles { p50_ms, p99_ms, max_ms }| {
                    format!("p50 {p50_ms:.2}, p99 {p99_ms:.2}, max {max_ms:.2}")
                })
            };
            writeln!(
                out,
                "  {title:<32} {:>8.3} {:>8.3} {both:>18} {ratio:>7.2} {goal:>7.2} {:>11.0} {load:>7}   {}",
                ours.cpu_us,
                floor.cpu_us,
                ours.per_s,
                latency(&ours.latency)
            )?;
            if floor.latency.is_some() {
                writeln!(out, "  {:<107}   floor: {}", "", latency(&floor.latency))?;
            }
        }
        Ok(())
    }
}
