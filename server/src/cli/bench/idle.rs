//! `tidings bench idle`: what the server holds for a session that does nothing.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use serde::Serialize;

use super::{OwnServerArgs, crowd::CrowdArgs};
use crate::measure::{Cores, Held, Server, hold};

/// Bytes that a session may hold.
const GOAL: f64 = 4.5 * 1_024.0;
const KIB: f64 = 1_024.0;

const EXAMPLES: &str = "\
Examples:
  tidings bench idle                        10,000 sessions
  tidings bench idle --sessions 1000 --conversations 1 --json

Each session shows a token of its own and has one subscription, from which it could
be brought up to date at any time. What counts is by how much the resident memory of
the server's process has grown when they have done nothing for a while but answer to
pings. What the system holds for a socket is not in it. Each session is an open file
in both processes: if a process may not have so many (ulimit -n), the limit is raised
as far as the system allows, and if that is too little nothing is measured.";

/// Measure what the server holds for a session that does nothing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IdleArgs {
    #[command(flatten)]
    crowd: CrowdArgs,
    /// How long they do nothing, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    seconds: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    held: Held,
    goal: f64,
}

pub(super) async fn run(args: IdleArgs) -> anyhow::Result<ExitCode> {
    args.crowd.make_room()?;
    let (cores, rest) = (Cores::choose(), Duration::from_secs(args.seconds));
    let measure = async |server: &Server| {
        let pid = server.process().id();
        let held = args.crowd.on(server, cores, move |place, sessions, progress| {
            hold(place, pid, sessions, rest, |count| progress.set_position(count))
        });
        Ok(Report { held: held.await?, goal: GOAL })
    };
    args.own.run_on(cores, measure).await
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Held { sessions, before, at_once, after, each } = &self.held;
        let mib = |bytes: u64| bytes >> 20;
        writeln!(out, "idle         {sessions} sessions, each with a subscription")?;
        writeln!(
            out,
            "memory       {} MiB before, {} MiB when all were in, {} MiB after a while",
            mib(*before),
            mib(*at_once),
            mib(*after)
        )?;
        writeln!(out, "each         {:.2} KiB (goal: at most {:.1})", each / KIB, self.goal / KIB)
    }
}
