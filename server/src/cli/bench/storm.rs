//! `tidings bench storm`: everybody is dropped at once, and comes back at once.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use futures_util::future::try_join_all;
use serde::Serialize;
use tokio::time::timeout;

use super::{OwnServerArgs, delivering::frame_bytes, filling};
use crate::{
    cpu,
    measure::{Floor, Latencies, Server, Session, make_room, pushes},
};

const CONVERSATION: &str = "storm";
/// Bytes of a message.
const MESSAGE_LEN: usize = 200;
/// How long a session may take to be back.
const PATIENCE: Duration = Duration::from_mins(1);

const EXAMPLES: &str = "\
Examples:
  tidings bench storm                       1,000 sessions, each has missed 100 events
  tidings bench storm --sessions 100 --events 10 --json

A server in a process of its own, on a fresh folder beside the data folder. What counts
is the time until the last session is back with all it has missed. The floor is one
thread that takes connections in and answers to a line with as many ready frames of the
length of a delivery, in one write; as many connect to it at once, read them all with
the same code, before and after, and the shorter time counts. The handshake of the
WebSocket, the token and the look-up of what was missed are in ours alone. Server and
load are on any processor.";

/// Measure how long it takes until all are back who were dropped at once
///
/// Sessions of one conversation lose their connections, events are posted, and then all connect and resume at the same moment.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct StormArgs {
    /// How many sessions
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=15_000))]
    sessions: u32,
    /// How many events each has missed
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    events: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    sessions: u32,
    events: u64,
    /// Until so many were back with all they had missed.
    half_ms: f64,
    all_ms: f64,
    /// Of the server, for each session.
    cpu_us: Option<f64>,
    /// Until all were back at the floor: the shorter of before and after.
    floor_ms: f64,
    floor_before_ms: f64,
    floor_after_ms: f64,
    ratio: f64,
}

pub(super) async fn run(args: StormArgs) -> anyhow::Result<ExitCode> {
    // Both ends of each at the floor are in this process.
    make_room(2 * u64::from(args.sessions))?;
    args.own.run(async |server| measure(server, &args).await).await
}

async fn measure(server: &Server, args: &StormArgs) -> anyhow::Result<Report> {
    let client = server.client().await?;
    let (known, epoch) = filling::fill(&client, CONVERSATION, 1, MESSAGE_LEN).await?;
    let coming = (0..args.sessions).map(async |_| {
        let mut session = Session::connect(server.address(), server.token()).await?;
        session.subscribe(CONVERSATION, None).await?;
        anyhow::Ok(session)
    });
    drop(try_join_all(coming).await?);
    filling::fill(&client, CONVERSATION, 1 + args.events, MESSAGE_LEN).await?;
    let frame_bytes = frame_bytes(server, None).await?;
    let floor_before_ms = floor(frame_bytes, args).await?;
    let (begun, cpu_before) = (Instant::now(), server.cpu());
    let back = (0..args.sessions).map(async |_| {
        timeout(PATIENCE, resume(server, known, &epoch, args.events))
            .await
            .context("a session is not back")??;
        anyhow::Ok(begun.elapsed())
    });
    let back = Latencies::new(try_join_all(back).await?);
    let cpu = cpu::between(cpu_before, server.cpu());
    let floor_after_ms = floor(frame_bytes, args).await?;
    let floor_ms = floor_before_ms.min(floor_after_ms);
    let ms = |share| back.at(share).as_secs_f64() * 1e3;
    Ok(Report {
        sessions: args.sessions,
        events: args.events,
        half_ms: ms(0.5),
        all_ms: ms(1.0),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(args.sessions)),
        floor_ms,
        floor_before_ms,
        floor_after_ms,
        ratio: ms(1.0) / floor_ms,
    })
}

/// Comes back with the position that is known, and reads until nothing is missed.
async fn resume(server: &Server, known: u64, epoch: &str, events: u64) -> anyhow::Result<()> {
    let mut session = Session::connect(server.address(), server.token()).await?;
    let came = session.subscribe(CONVERSATION, Some((known, epoch))).await?.len() as u64;
    read(session, came, events).await
}

/// How long it takes until as many are back at the floor, in milliseconds.
async fn floor(frame_bytes: usize, args: &StormArgs) -> anyhow::Result<f64> {
    let floor = Floor::start(frame_bytes, None)?;
    let begun = Instant::now();
    let back = (0..args.sessions).map(async |_| {
        let resume =
            async { read(Session::at_the_floor(floor.address, args.events).await?, 0, args.events).await };
        timeout(PATIENCE, resume).await.context("a session is not back at the floor")?
    });
    try_join_all(back).await?;
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// Reads until all events are there of which some came already.
async fn read(mut session: Session, mut came: u64, events: u64) -> anyhow::Result<()> {
    while came < events {
        session.next(|payload, _| came += pushes(payload).count() as u64).await?;
    }
    ensure!(came == events, "{came} events came to a session that missed {events}");
    Ok(())
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { sessions, events, half_ms, all_ms, cpu_us, .. } = self;
        writeln!(out, "storm        {sessions} sessions, {events} events missed by each")?;
        writeln!(out, "back         half after {half_ms:.0} ms, all after {all_ms:.0} ms")?;
        if let Some(cpu_us) = cpu_us {
            writeln!(out, "cpu          {cpu_us:.0} µs of the server's processor time for each session")?;
        }
        let Self { floor_ms, floor_before_ms, floor_after_ms, ratio, .. } = self;
        writeln!(
            out,
            "floor        all after {floor_ms:.0} ms ({floor_before_ms:.0} before, {floor_after_ms:.0} after), with neither handshake nor token"
        )?;
        writeln!(out, "ratio        {ratio:.2}")
    }
}
