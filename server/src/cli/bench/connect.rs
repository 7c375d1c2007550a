//! `tidings bench connect`: what it takes to let a session in.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
};

use clap::Args;
use serde::Serialize;

use super::{OwnServerArgs, crowd::CrowdArgs};
use crate::measure::{CameIn, Cores, Server, come_in};

/// Sessions for a second of the server's processor time.
const GOAL: f64 = 10_000.0;

const EXAMPLES: &str = "\
Examples:
  tidings bench connect                     10,000 sessions
  tidings bench connect --sessions 1000 --conversations 1 --json

Each session opens a connection, asks for a WebSocket, shows a token of its own, which
the server verifies, and subscribes to a conversation; 64 do so at a time. What counts
is the processor time of the server's process from the first to the last of them.";

/// Measure what it takes to let a session in
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConnectArgs {
    #[command(flatten)]
    crowd: CrowdArgs,
    #[command(flatten)]
    own: OwnServerArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    came_in: CameIn,
    goal: f64,
}

pub(super) async fn run(args: ConnectArgs) -> anyhow::Result<ExitCode> {
    args.crowd.make_room()?;
    let cores = Cores::choose();
    let measure = async |server: &Server| {
        let came_in = args.crowd.on(server, cores, |place, sessions, progress| {
            Ok(come_in(place, sessions, |count| progress.set_position(count))?.1)
        });
        Ok(Report { came_in: came_in.await?, goal: GOAL })
    };
    args.own.run_on(cores, measure).await
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let CameIn { sessions, seconds, cpu_us, per_cpu_s, load_us } = &self.came_in;
        writeln!(
            out,
            "came in      {sessions} sessions in {seconds:.1} s, each with its token and a subscription"
        )?;
        write!(out, "cpu          {cpu_us:.1} µs of the server's processor time for each")?;
        match load_us {
            Some(load_us) => writeln!(out, ", {load_us:.1} of the load's")?,
            None => writeln!(out)?,
        }
        writeln!(
            out,
            "rate         {per_cpu_s:.0} for a second of the server's processor time (goal: at least {:.0})",
            self.goal
        )
    }
}
