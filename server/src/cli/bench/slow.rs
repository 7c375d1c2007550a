//! `tidings bench slow`: a session that stops reading, and those that do not.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, ensure};
use clap::Args;
use schemas::Position;
use serde::Serialize;
use tokio::time::timeout;

use super::{
    OwnServerArgs,
    caught_up::{CaughtUp, offset},
    filling,
    memory::watched,
    progress::spinner,
};
use crate::{
    client::Selection,
    measure::{Cores, Pace, Percentiles, Server, Session, Work, make_room, pushes},
};

const CONVERSATION: &str = "slow";
/// Bytes of a message.
const MESSAGE_LEN: usize = 200;
/// How long the session may wait for the next events when it reads again.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often it may have to come back.
const RETURNS_MAX: u32 = 3;
const MIB: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  tidings bench slow                        one of 1,000 sessions reads nothing for a minute
  tidings bench slow --stop 10 --rate 200 --json

A server in a process of its own delivers messages to sessions at a steady rate: first
to all but one, for as long as that one will not read, and then again while that one
is there and does not read. The latency of the others, from when a message was due
until it was at a session, and the memory of the server are taken both times. Then the
session reads again. A server may have closed it: then it comes back with the position
of the last event it got. It must get every event once and in order, or the run fails.
The system holds some hundred KiB for a session that does not read: until those are
full, which takes some ten seconds at 47 a second, the server notices nothing.";

/// Measure what a session that stops reading does to the others
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SlowArgs {
    /// Sessions, with the one that stops
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(2..=15_000))]
    sessions: u32,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 47, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long it reads nothing, in seconds
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    stop: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    without: Others,
    with: Others,
    /// The p99 of the others with it, as a multiple of that without.
    p99_ratio: f64,
    /// What it got in the end, each once and in order.
    events: u64,
    /// How often it was closed and came back.
    returns: u32,
    /// How long it took to get all when it read again.
    caught_up_ms: f64,
    /// Most memory of the server meanwhile.
    memory_catching_up: Option<u64>,
}

/// Those who read, and the most memory of the server meanwhile.
#[derive(Debug, Serialize)]
struct Others {
    latency: Percentiles,
    memory: Option<u64>,
}

/// The one that stops.
struct Slow<'a> {
    server: &'a Server,
    session: Session,
    epoch: String,
    seen: CaughtUp,
    returns: u32,
}

pub(super) async fn run(args: SlowArgs) -> anyhow::Result<ExitCode> {
    make_room(u64::from(args.sessions))?;
    let cores = Cores::choose();
    args.own.run_on(cores, async |server| measure(server, cores, &args).await).await
}

async fn measure(server: &Server, cores: Option<Cores>, args: &SlowArgs) -> anyhow::Result<Report> {
    let client = server.client().await?;
    filling::fill(&client, CONVERSATION, 1, MESSAGE_LEN).await?;
    let progress = spinner();
    progress.set_message("without");
    let without = Others::measure(server, cores, args).await?;
    progress.set_message("with a session that does not read");
    let (known, epoch) = filling::newest(&client, CONVERSATION).await?;
    let mut slow = Slow::begin(server, known, epoch).await?;
    let with = Others::measure(server, cores, args).await?;
    progress.set_message("it reads again");
    let (last, _) = filling::newest(&client, CONVERSATION).await?;
    let begun = std::time::Instant::now();
    let (caught_up, memory_catching_up) = watched(server, slow.catch_up(last)).await;
    caught_up?;
    let caught_up_ms = begun.elapsed().as_secs_f64() * 1e3;
    let selection = Selection::after(CONVERSATION.parse()?, Position::try_from(i64::try_from(known)?)?);
    let mut events = client.events(&selection).await?;
    while events.next().await?.is_some() {}
    ensure!(
        slow.seen.events == events.count(),
        "{} events came to the session that stopped, not {}",
        slow.seen.events,
        events.count()
    );
    progress.finish_and_clear();
    Ok(Report {
        p99_ratio: with.latency.p99_ms / without.latency.p99_ms,
        without,
        with,
        events: slow.seen.events,
        returns: slow.returns,
        caught_up_ms,
        memory_catching_up,
    })
}

impl Others {
    async fn measure(server: &Server, cores: Option<Cores>, args: &SlowArgs) -> anyhow::Result<Self> {
        let work = Work { conversations: 1, sessions: args.sessions - 1, pace: Pace::PerSecond(args.rate) };
        let time = Duration::from_secs(args.stop);
        let conversations = vec![CONVERSATION.to_owned()];
        let load = server.under_load(cores, conversations, move |place| work.measure(place, time));
        let (taken, memory) = watched(server, load).await;
        Ok(Self { latency: taken?.latency.context("no message was due")?, memory })
    }
}

impl<'a> Slow<'a> {
    /// Subscribes, and then reads nothing.
    async fn begin(server: &'a Server, known: u64, epoch: String) -> anyhow::Result<Self> {
        let seen = CaughtUp { events: 0, last: known };
        let session = Session::connect(server.address(), server.token()).await?;
        let mut slow = Self { server, session, epoch, seen, returns: 0 };
        slow.subscribe().await?;
        Ok(slow)
    }

    async fn subscribe(&mut self) -> anyhow::Result<()> {
        let from = Some((self.seen.last, self.epoch.as_str()));
        for offset in self.session.subscribe(CONVERSATION, from).await? {
            self.seen.take(Some(offset))?;
        }
        Ok(())
    }

    /// Reads until it has what stands before `last`, and comes back if it has been closed.
    async fn catch_up(&mut self, last: u64) -> anyhow::Result<()> {
        while self.seen.last < last {
            let (seen, mut outcome) = (&mut self.seen, Ok(()));
            let next = self.session.next(|payload, _| {
                for push in pushes(payload) {
                    let taken = seen.take(offset(push));
                    outcome = std::mem::replace(&mut outcome, Ok(())).and(taken);
                }
            });
            let read = timeout(SILENCE_MAX, next).await.context("nothing comes any more")?;
            outcome?;
            if let Err(closed) = read {
                self.returns += 1;
                ensure!(self.returns <= RETURNS_MAX, "it is closed again and again: {closed}");
                self.session = Session::connect(self.server.address(), self.server.token()).await?;
                self.subscribe().await?;
            }
        }
        Ok(())
    }
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let mib = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| (bytes / MIB).to_string());
        for (name, Others { latency, memory }) in [("without", &self.without), ("with", &self.with)] {
            let Percentiles { p50_ms, p99_ms, max_ms } = latency;
            writeln!(
                out,
                "others       {name:<9}   p50 {p50_ms:.2} ms   p99 {p99_ms:.2}   max {max_ms:.2}   server's memory at most {} MiB",
                mib(*memory)
            )?;
        }
        writeln!(out, "p99          {:.2} times that without (goal: at most 1.10)", self.p99_ratio)?;
        let Self { events, returns, caught_up_ms, memory_catching_up, .. } = self;
        writeln!(
            out,
            "the slow one {events} events, each once and in order, {caught_up_ms:.0} ms after it read again; closed {returns} times; \
             memory at most {} MiB",
            mib(*memory_catching_up)
        )
    }
}
