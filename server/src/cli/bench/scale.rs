//! `tidings bench scale`: whether a delivery takes the same, however many sessions there are.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use indicatif::ProgressBar;
use serde::Serialize;

use super::{
    OwnServerArgs,
    delivering::{BesideFloor, Processors, floor, frame_bytes, ours},
    progress::steps,
};
use crate::measure::{Cores, Row, make_room, memory_of};

/// By how much a delivery may differ between the smallest and the largest crowd.
const GOAL: f64 = 1.3;
const KIB: f64 = 1_024.0;

const EXAMPLES: &str = "\
Examples:
  tidings bench scale                           100, 1,000 and 9,800 sessions; some two minutes
  tidings bench scale --sessions 10 --sessions 1000 --seconds 2 --json

For each number of sessions a server in a process of its own, on a fresh folder beside
the data folder, delivers messages of 200 bytes in one conversation, one on its way at
a time. What counts is the processor time of the whole process for each delivery. The
floor is one thread that does nothing but write a ready frame of the same length to as
many sessions; it is driven in the same way, before and after, and the cheaper of the
two counts. The memory is what the process holds when all sessions are in and nothing
was published yet. At the end stands how far the costs are apart, and how far their
multiples of the floor are: where the floor grows too, it is the machine. Each session
is two open files here at the floor (ulimit -n): 20,000 allow 9,800 sessions.";

/// Measure whether a delivery takes the same, however many sessions there are
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ScaleArgs {
    /// Sessions of the conversation; can be given again, for each size that is to be measured
    #[arg(long, value_name = "N", default_values_t = [100, 1_000, 9_800], value_parser = clap::value_parser!(u32).range(10..=15_000))]
    sessions: Vec<u32>,
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
    sizes: Vec<Size>,
    /// The largest cost of a delivery over the smallest.
    cost_spread: f64,
    /// The same of its multiples of the floor.
    ratio_spread: f64,
    goal: f64,
}

#[derive(Debug, Serialize)]
struct Size {
    sessions: u32,
    frame_bytes: usize,
    #[serde(flatten)]
    beside: BesideFloor,
    /// Of the server, before the sessions and with them.
    memory_before: u64,
    memory: u64,
    /// Of what came with them, for each.
    memory_each: f64,
}

pub(super) async fn run(args: ScaleArgs) -> anyhow::Result<ExitCode> {
    let most = args.sessions.iter().map(|sessions| Row::One.work(*sessions).connections()).max();
    // Both ends of each at the floor are in this process.
    make_room(2 * u64::from(most.unwrap_or_default()))?;
    let cores = Cores::choose();
    let progress = steps(args.sessions.len() * 3)?;
    let mut sizes = Vec::new();
    for sessions in &args.sessions {
        sizes.push(measure(*sessions, cores, &args, &progress).await?);
    }
    progress.finish_and_clear();
    args.own.tell(&Report {
        processors: cores.into(),
        cost_spread: spread(sizes.iter().map(|size| size.beside.ours.cpu_us)),
        ratio_spread: spread(sizes.iter().map(|size| size.beside.ratio)),
        sizes,
        goal: GOAL,
    })
}

async fn measure(
    sessions: u32,
    cores: Option<Cores>,
    args: &ScaleArgs,
    progress: &ProgressBar,
) -> anyhow::Result<Size> {
    let (work, time) = (Row::One.work(sessions), Duration::from_secs(args.seconds));
    let told = |what: &str| progress.set_message(format!("{what}: {sessions} sessions"));
    args.own
        .on_fresh(cores, &[], async |server| {
            let frame_bytes = frame_bytes(server, cores).await?;
            told("floor");
            let before = floor(frame_bytes, cores, work, time).await?;
            progress.inc(1);
            told("tidings");
            let unknown = "the system does not tell what memory the server holds";
            let memory_before = server.memory().context(unknown)?;
            let pid = server.process().id();
            let (ours, memory) = ours(server, cores, work, time, move || memory_of(pid)).await?;
            let memory = memory.context(unknown)?;
            progress.inc(1);
            told("floor");
            let after = floor(frame_bytes, cores, work, time).await?;
            progress.inc(1);
            #[expect(clippy::cast_precision_loss, reason = "a size of memory")]
            let memory_each = memory.saturating_sub(memory_before) as f64 / f64::from(work.sessions);
            let beside = BesideFloor::new(ours, [before, after]);
            Ok(Size { sessions: work.sessions, frame_bytes, beside, memory_before, memory, memory_each })
        })
        .await
}

/// The largest over the smallest.
fn spread(values: impl Iterator<Item = f64>) -> f64 {
    let (least, most) =
        values.fold((f64::INFINITY, 0.0), |(least, most), value| (value.min(least), value.max(most)));
    most / least
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        writeln!(
            out,
            "{}; one conversation, one message in flight; processor time in µs for each delivery",
            self.processors
        )?;
        writeln!(
            out,
            "  {:>8} {:>8} {:>8} {:>18} {:>7} {:>11} {:>7}   memory",
            "sessions", "tidings", "floor", "(before, after)", "ratio", "a second", "load"
        )?;
        for Size { sessions, beside, memory_before, memory, memory_each, .. } in &self.sizes {
            let (both, BesideFloor { ours, floor, ratio, .. }) = (beside.floors(), beside);
            let load = ours.load_us.map_or(String::new(), |load| format!("{load:.3}"));
            writeln!(
                out,
                "  {sessions:>8} {:>8.3} {:>8.3} {both:>18} {ratio:>7.2} {:>11.0} {load:>7}   {} MiB, {} without sessions: {:.1} KiB each",
                ours.cpu_us,
                floor.cpu_us,
                ours.per_s,
                memory >> 20,
                memory_before >> 20,
                memory_each / KIB
            )?;
        }
        writeln!(
            out,
            "cost         largest over smallest {:.2} (goal: at most {:.1})",
            self.cost_spread, self.goal
        )?;
        writeln!(out, "ratio        largest over smallest {:.2}", self.ratio_spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_that_of_the_ends_wherever_they_stand() {
        for values in [[2.0, 5.0, 3.0], [5.0, 2.0, 3.0], [3.0, 2.0, 5.0]] {
            assert!((spread(values.into_iter()) - 2.5).abs() < 1e-9);
        }
        assert!((spread([7.0].into_iter()) - 1.0).abs() < 1e-9);
    }
}
