//! `tidings bench storm`: everybody is dropped at once, and comes back at once.

use std::{
    io::{self, StdoutLock, Write},
    net::SocketAddr,
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{OwnServerArgs, delivering::frame_bytes, filling};
use crate::{
    cpu,
    measure::{Again, Channels, Dialect, Drive, Floor, Returning, Server, make_room, on_the_load},
};

const CONVERSATION: &str = "storm";
/// Bytes of a message.
const MESSAGE_LEN: usize = 200;
/// Until all are back, in milliseconds.
const GOAL_MS: f64 = 150.0;

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
    /// Until all were back with all they had missed.
    all_ms: f64,
    goal_ms: f64,
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
    let (address, sessions) = (server.socket_address()?, u64::from(args.sessions));
    let channels = || Ok::<_, anyhow::Error>(Channels::with_tokens(server.token_key()?));
    let first = channels()?;
    on_the_load(None, move || {
        Drive::new(&first, address, &[CONVERSATION.to_owned()])?.join(sessions, |_| {})
    })
    .await?;
    filling::fill(&client, CONVERSATION, 1 + args.events, MESSAGE_LEN).await?;
    let frame_bytes = frame_bytes(server, None).await?;
    let before = floor(frame_bytes, args).await?;
    let cpu_before = server.cpu();
    let returning = Returning::to(channels()?, known, epoch);
    let back = come_back(returning, address, args).await?;
    let cpu = cpu::between(cpu_before, server.cpu());
    let after = floor(frame_bytes, args).await?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(Report {
        sessions: args.sessions,
        events: args.events,
        all_ms: ms(back),
        goal_ms: GOAL_MS,
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(args.sessions)),
        floor_ms: ms(before.min(after)),
        floor_before_ms: ms(before),
        floor_after_ms: ms(after),
        ratio: back.as_secs_f64() / before.min(after).as_secs_f64(),
    })
}

/// How long it takes until as many are back at the floor.
async fn floor(frame_bytes: usize, args: &StormArgs) -> anyhow::Result<Duration> {
    let floor = Floor::start(frame_bytes, None)?;
    come_back(Again(args.events), floor.address, args).await
}

async fn come_back(
    dialect: impl Dialect + 'static,
    address: SocketAddr,
    &StormArgs { sessions, events, .. }: &StormArgs,
) -> anyhow::Result<Duration> {
    on_the_load(None, move || {
        Drive::new(&dialect, address, &[CONVERSATION.to_owned()])?.come_back(u64::from(sessions), events)
    })
    .await
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { sessions, events, all_ms, goal_ms, cpu_us, .. } = self;
        writeln!(out, "storm        {sessions} sessions, {events} events missed by each")?;
        writeln!(out, "back         all after {all_ms:.0} ms (goal: at most {goal_ms:.0})")?;
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
