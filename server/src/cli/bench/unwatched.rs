//! `tidings bench unwatched`: what an event costs a node at which nobody watches its conversation.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use fanout::{Fanout, Threads};
use ingest::Ingest;
use kernel::{
    clock::{Clock, SystemClock},
    event_log::{BATCH_LEN_MAX, Delivery, EventReader, NewRecord, Readership, SharedLog, memory::MemoryLog},
    history::memory::MemoryHistory,
    identity::{TokenKey, Tokens},
    mirror::Mirror,
    random,
    signals::local::LocalSignals,
};
use schemas::{Partition, Position};
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use super::{progress::spinner, records::Records};
use crate::{
    backing::EMBEDDED_PARTITIONS,
    cpu,
    measure::{Cores, in_place_of_a_server, tell, unless_stopped},
};

/// Microseconds that an event may cost.
const GOAL: f64 = 1.0;
/// Conversations that are in use at the node, while others are written to.
const IN_USE: u64 = 1_000;
/// Those that are written to.
const OTHERS: u64 = 1_000;
/// How long a batch may take to pass.
const PATIENCE: Duration = Duration::from_secs(30);

const EXAMPLES: &str = "\
Examples:
  tidings bench unwatched                       a million events; they need a gigabyte of memory
  tidings bench unwatched --events 100000 --json

A log in memory, and what a node that delivers has on it: the mirror that follows the
log, and a shard that gets what the mirror folds; all in this process, on one processor,
and with a thousand conversations in use. Events of other conversations are appended, a
thousand at a time, and each batch has to pass before the next comes. What counts is the
processor time of the process for each event, less that of the floor: the same events,
appended to the same kind of log in the same way, and a reader that takes what the log
delivers and drops it. The floor is taken before and after, and the cheaper one counts.";

/// Measure what an event costs a node at which nobody watches its conversation
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct UnwatchedArgs {
    /// How many events, in thousands of which a part counts as whole
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    events: u64,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What a run brought; times in microseconds for each event.
#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    ours_us: f64,
    /// The cheaper of those before and after.
    floor_us: f64,
    floor_before_us: f64,
    floor_after_us: f64,
    /// Ours less the floor.
    cost_us: f64,
    goal: f64,
}

pub(super) async fn run(args: UnwatchedArgs) -> anyhow::Result<ExitCode> {
    let cores = Cores::choose();
    let batches = args.events.div_ceil(BATCH_LEN_MAX as u64);
    let progress = spinner();
    let measured = async {
        progress.set_message("floor");
        let before = in_place_of_a_server(cores, move || floor(batches)).await?;
        progress.set_message("tidings");
        let ours = in_place_of_a_server(cores, move || ours(batches)).await?;
        progress.set_message("floor");
        let after = in_place_of_a_server(cores, move || floor(batches)).await?;
        Ok(Report::new(batches * BATCH_LEN_MAX as u64, ours, [before, after]))
    };
    let report = unless_stopped(measured).await?;
    progress.finish_and_clear();
    tell(&report, args.json)?;
    Ok(ExitCode::SUCCESS)
}

/// What passing so many batches takes where they are mirrored.
async fn ours(batches: u64) -> anyhow::Result<Duration> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let log: SharedLog = Arc::new(MemoryLog::new(EMBEDDED_PARTITIONS, Arc::clone(&clock)));
    let threads = Threads::start(1)?;
    let beside = threads.beside_the_shard().context("one shard")?;
    let mirror = beside.spawn(Mirror::start(Arc::clone(&log), Arc::new(MemoryHistory::new()))).await??;
    let tokens = Arc::new(Tokens::from(TokenKey::new(random::name(32).as_bytes())));
    let signals = Arc::new(LocalSignals::alone(Arc::clone(&clock)));
    let sink = Ingest::new(Arc::clone(&mirror), Arc::clone(&clock));
    let settings = fanout::Settings { threads, allowed_origins: Vec::new(), streams_max: 0 };
    let _fanout = Fanout::start(&mirror, sink, tokens, clock, signals, settings);
    let mut in_use = Vec::new();
    for conversation in Records::conversations(OTHERS + IN_USE)?.iter().skip(usize::try_from(OTHERS)?) {
        in_use.push(mirror.track(conversation).await?);
    }
    let passed = pass(&log, batches, async |position| {
        Ok(mirror.reach(Partition(0), position, Instant::now() + PATIENCE).await?)
    });
    let took = passed.await?;
    drop(in_use);
    Ok(took)
}

/// The same where they are read and dropped, on a thread like that of the mirror.
async fn floor(batches: u64) -> anyhow::Result<Duration> {
    let log: SharedLog = Arc::new(MemoryLog::new(EMBEDDED_PARTITIONS, Arc::new(SystemClock)));
    let threads = Threads::start(1)?;
    let (tell, mut told) = watch::channel(Position::START);
    let reader = log.open(Readership::Broadcast).await?;
    threads.beside_the_shard().context("one shard")?.spawn(drop_all(reader, tell));
    pass(&log, batches, async |position| {
        let passed = told.wait_for(|place| *place >= position);
        timeout(PATIENCE, passed).await.context("the reader is behind")?.context("the reader is gone")?;
        Ok(())
    })
    .await
}

/// Takes what is delivered, and tells how far that is.
async fn drop_all(mut reader: Box<dyn EventReader>, tell: watch::Sender<Position>) {
    // A log in memory does not fail.
    while let Ok(delivery) = reader.next().await {
        if let Delivery::Records { records, .. } = delivery
            && let Some(last) = records.last()
        {
            tell.send_replace(last.offset.position());
        }
    }
}

/// Appends so many batches, each when the one before has passed; gives the processor time of this process.
async fn pass(
    log: &SharedLog,
    batches: u64,
    mut passed: impl AsyncFnMut(Position) -> anyhow::Result<()>,
) -> anyhow::Result<Duration> {
    let batch = batch()?;
    let before = cpu::of_this_process();
    for _ in 0..batches {
        let places = log.append(batch.clone()).await?;
        passed(places.last().context("a place for each record")?.offset.position()).await?;
    }
    let took = cpu::between(before, cpu::of_this_process());
    let tail = log.tail(Partition(0)).await?;
    ensure!(tail.get() == batches * batch.len() as u64, "{tail} events are in the log");
    took.context("the system does not tell what processor time this process uses")
}

/// A message in each of the conversations that nobody uses.
fn batch() -> anyhow::Result<Vec<NewRecord>> {
    let (records, conversations) = (Records::new()?, Records::conversations(OTHERS)?);
    let of = |number: u64| conversations.get(usize::try_from(number % OTHERS).ok()?);
    let message = |number| records.message(of(number).context("a conversation")?, number);
    (0..BATCH_LEN_MAX as u64).map(message).collect()
}

impl Report {
    fn new(events: u64, ours: Duration, floors: [Duration; 2]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most ten million")]
        let each = |time: Duration| time.as_secs_f64() * 1e6 / events as f64;
        let [floor_before_us, floor_after_us] = floors.map(each);
        let (ours_us, floor_us) = (each(ours), floor_before_us.min(floor_after_us));
        let cost_us = ours_us - floor_us;
        Self { events, ours_us, floor_us, floor_before_us, floor_after_us, cost_us, goal: GOAL }
    }
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { events, ours_us, floor_us, floor_before_us, floor_after_us, cost_us, goal } = self;
        writeln!(out, "passed       {events} events of conversations that nobody watches")?;
        writeln!(out, "tidings      {ours_us:.3} µs of processor time for each")?;
        writeln!(
            out,
            "floor        {floor_us:.3} µs ({floor_before_us:.3} before, {floor_after_us:.3} after)"
        )?;
        writeln!(out, "cost         {cost_us:.3} µs, which is the difference (goal: at most {goal:.0})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_is_what_is_above_the_cheaper_floor() {
        for floors in [[2, 4], [4, 2]] {
            let report = Report::new(1_000_000, Duration::from_secs(5), floors.map(Duration::from_secs));
            assert!((report.cost_us - 3.0).abs() < 1e-9, "{report:?}");
        }
    }

    #[tokio::test]
    async fn every_batch_passes_with_and_without_a_mirror() {
        in_place_of_a_server(None, || ours(2)).await.unwrap();
        in_place_of_a_server(None, || floor(2)).await.unwrap();
    }
}
