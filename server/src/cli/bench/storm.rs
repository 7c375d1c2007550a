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

use super::{OwnServerArgs, filling};
use crate::{
    cpu,
    measure::{Latencies, Server, Session, pushes},
};

const CONVERSATION: &str = "storm";
/// Bytes of a message.
const MESSAGE_LEN: usize = 200;
/// How long a session may take to be back.
const PATIENCE: Duration = Duration::from_mins(1);

/// Measure how long it takes until all are back who were dropped at once
///
/// Sessions of one conversation lose their connections, events are posted, and then all connect and resume at the same moment.
#[derive(Debug, Args)]
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
}

pub(super) async fn run(args: StormArgs) -> anyhow::Result<ExitCode> {
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
    let (begun, cpu_before) = (Instant::now(), server.cpu());
    let back = (0..args.sessions).map(async |_| {
        timeout(PATIENCE, resume(server, known, &epoch, args.events))
            .await
            .context("a session is not back")??;
        anyhow::Ok(begun.elapsed())
    });
    let back = Latencies::new(try_join_all(back).await?);
    let cpu = cpu::between(cpu_before, server.cpu());
    let ms = |share| back.at(share).as_secs_f64() * 1e3;
    Ok(Report {
        sessions: args.sessions,
        events: args.events,
        half_ms: ms(0.5),
        all_ms: ms(1.0),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / f64::from(args.sessions)),
    })
}

/// Comes back with the position that is known, and reads until nothing is missed.
async fn resume(server: &Server, known: u64, epoch: &str, events: u64) -> anyhow::Result<()> {
    let mut session = Session::connect(server.address(), server.token()).await?;
    let mut came = session.subscribe(CONVERSATION, Some((known, epoch))).await?.len() as u64;
    while came < events {
        session.next(|payload, _| came += pushes(payload).count() as u64).await?;
    }
    ensure!(came == events, "{came} events came to a session that missed {events}");
    Ok(())
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { sessions, events, half_ms, all_ms, cpu_us } = self;
        writeln!(out, "storm        {sessions} sessions, {events} events missed by each")?;
        writeln!(out, "back         half after {half_ms:.0} ms, all after {all_ms:.0} ms")?;
        if let Some(cpu_us) = cpu_us {
            writeln!(out, "cpu          {cpu_us:.0} µs of the server's processor time for each session")?;
        }
        Ok(())
    }
}
