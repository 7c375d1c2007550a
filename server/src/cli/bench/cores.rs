//! `tidings bench cores`: how much more two processors deliver than one.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;

use super::{OwnServerArgs, progress::spinner};
use crate::{
    cpu,
    measure::{Cores, Drive, Pace, Place, Server, make_room},
};

/// How many times as much as one.
const GOAL: f64 = 1.7;
/// Messages of a round, where the system keeps as many for each session.
const MESSAGES_MAX: u64 = 400;
/// What is done before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

const EXAMPLES: &str = "\
Examples:
  tidings bench cores                           1,000 sessions, on one processor and on two
  tidings bench cores --sessions 100 --seconds 1 --json

A server in a process of its own, on a fresh folder beside the data folder, gets some
hundred messages of 200 bytes, one after the other, and delivers each to all sessions of
one conversation before the next comes, so that each delivery is a write. No session
reads meanwhile: the system keeps what comes, and the load costs next to nothing while
time counts. Then all is read, and each message must have come once to each session.
This is done again for as long as asked for: first by a server with one shard on one
processor, then by one with two shards on two. There is no other floor: one processor
is what two are compared with. Where a machine has just two, the load shares them.";

/// Measure how much more two processors deliver than one
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CoresArgs {
    /// Sessions of the conversation
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=15_000))]
    sessions: u32,
    /// How long each server delivers, in seconds
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    sessions: u32,
    one: Delivered,
    two: Delivered,
    /// Deliveries a second of two, as a multiple of those of one.
    ratio: f64,
    goal: f64,
}

/// What a server delivered.
#[derive(Debug, Clone, Copy, Serialize)]
struct Delivered {
    rounds: u32,
    /// Messages of each.
    messages: u64,
    deliveries: u64,
    /// In a second in which it delivers.
    per_s: f64,
    /// Processor time of the server for each, in microseconds.
    cpu_us: f64,
    /// Processors that it kept busy while it delivered.
    busy: f64,
    /// The same of the load, reading included.
    load_us: Option<f64>,
}

pub(super) async fn run(args: CoresArgs) -> anyhow::Result<ExitCode> {
    make_room(u64::from(args.sessions + 1))?;
    let cores = Cores::choose()
        .context("this needs two processors, and the system gives one or lets nobody choose")?;
    let progress = spinner();
    progress.set_message("one processor, one shard");
    let one = args
        .own
        .on_fresh(Some(cores), &["--shards", "1"], async |server| measure(server, Some(cores), &args).await);
    let one = one.await?;
    progress.set_message("two processors, two shards");
    let two = args.own.on_fresh(Some(cores.shared()), &["--shards", "2"], async |server| {
        // The load is wherever there is room for it.
        measure(server, None, &args).await
    });
    let two = two.await?;
    progress.finish_and_clear();
    args.own.tell(&Report { sessions: args.sessions, one, two, ratio: two.per_s / one.per_s, goal: GOAL })
}

async fn measure(server: &Server, load: Option<Cores>, args: &CoresArgs) -> anyhow::Result<Delivered> {
    let conversations = server.fresh_conversations(1).await?;
    let (sessions, time) = (u64::from(args.sessions), Duration::from_secs(args.seconds));
    server.under_load(load, conversations, move |place| deliver(place, sessions, time)).await
}

fn deliver(place: &Place<'_>, sessions: u64, time: Duration) -> anyhow::Result<Delivered> {
    let mut drive =
        Drive::new(place.dialect, place.address, place.conversations)?.alone(place.alone).with_room();
    drive.join(sessions, |_| {})?;
    drive.bring_publishers(1)?;
    drive.run(Pace::InFlight(1), WARM_UP)?;
    let messages = drive.leave_unread()?.min(MESSAGES_MAX);
    ensure!(messages > 0, "the system keeps too little for a session that does not read");
    drive.run_unread(messages)?;
    let load = cpu::Clock::of_this_thread();
    let before = (place.clock.now(), load.now());
    let (mut rounds, mut deliveries, mut took) = (0, 0, Duration::ZERO);
    while took < time {
        let ran = drive.run_unread(messages)?;
        rounds += 1;
        deliveries += ran.deliveries;
        took += ran.took;
    }
    let server = cpu::between(before.0, place.clock.now());
    let server = server.context("the system does not tell what processor time the server uses")?;
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let each = |time: Duration| time.as_secs_f64() * 1e6 / deliveries as f64;
    Ok(Delivered {
        rounds,
        messages,
        deliveries,
        per_s: 1e6 / each(took),
        cpu_us: each(server),
        busy: server.as_secs_f64() / took.as_secs_f64(),
        load_us: cpu::between(before.1, load.now()).map(each),
    })
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { sessions, one, two, ratio, goal } = self;
        writeln!(
            out,
            "{sessions} sessions that do not read, {} messages one after the other; the load shares the two processors",
            one.messages
        )?;
        for (name, delivered) in [("one", one), ("two", two)] {
            let Delivered { rounds, per_s, cpu_us, busy, load_us, .. } = delivered;
            let load = load_us.map_or(String::new(), |load| format!("; load {load:.3} µs, with reading"));
            writeln!(
                out,
                "{name}          {per_s:.0} deliveries a second in {rounds} rounds, {cpu_us:.3} µs of processor time for each, \
                 {busy:.2} processors busy{load}"
            )?;
        }
        writeln!(out, "ratio        {ratio:.2} (goal: at least {goal:.1})")
    }
}
