//! `tidings bench replay`: how fast a conversation is read again, next to a plain scan of its rows.

use std::{
    io::{self, StdoutLock, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::ensure;
use clap::Args;
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;
use tokio::runtime::Builder;

use super::{OwnServerArgs, filling};
use crate::{
    client::{Client, Selection},
    cpu,
    measure::{Server, on_the_load},
};

const CONVERSATION: &str = "replay";
/// Bytes of a message.
const MESSAGE_LEN: usize = 200;
/// Events a second, as a share of the scan's.
const GOAL: f64 = 0.5;
const ROWS: &str = "SELECT offset, recorded_at, event_id, type, void, value FROM events WHERE conversation = ?1 ORDER BY offset";
const MIB: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  tidings bench replay                      a million events
  tidings bench replay --events 100000 --json

A server in a process of its own, on a fresh folder beside the data folder, is filled
first; that takes a minute or two for a million events. Then the conversation is read
over HTTP as `tidings replay` and `tidings export` read it: each line checked for its
position, and not shown. The floor is a scan of the same rows in the file of the
history, on one thread, in which every column is looked at; it is taken before and
after, and the faster of the two counts. Server and client are on any processor.";

/// Measure how fast a conversation is read again
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArgs {
    /// How many events
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    events: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    /// Of the lines.
    bytes: u64,
    per_s: f64,
    /// Of the server, for each event.
    cpu_us: Option<f64>,
    floor_per_s: f64,
    floor_before_per_s: f64,
    floor_after_per_s: f64,
    ratio: f64,
    goal: f64,
}

/// How much was read, and how long that took.
struct Read {
    rows: u64,
    bytes: u64,
    took: Duration,
}

pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<ExitCode> {
    args.own.run(async |server| measure(server, &args).await).await
}

async fn measure(server: &Server, args: &ReplayArgs) -> anyhow::Result<Report> {
    filling::fill(&server.client().await?, CONVERSATION, args.events, MESSAGE_LEN).await?;
    let scanned = async || {
        let file = server.history();
        on_the_load(None, move || scan(&file)).await
    };
    let before = scanned().await?;
    let cpu_before = server.cpu();
    let (target, runtime) = (server.target()?, Builder::new_current_thread().enable_all().build()?);
    let replay = async move { replay(&Client::resolve(&target).await?).await };
    let read = on_the_load(None, move || runtime.block_on(replay)).await?;
    let cpu = cpu::between(cpu_before, server.cpu());
    let after = scanned().await?;
    ensure!(
        read.rows == before.rows && read.rows == after.rows,
        "{} events came, not {}",
        read.rows,
        before.rows
    );
    let (floor_before_per_s, floor_after_per_s) = (before.per_s(), after.per_s());
    let floor_per_s = floor_before_per_s.max(floor_after_per_s);
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred million")]
    let events = read.rows as f64;
    Ok(Report {
        events: read.rows,
        bytes: read.bytes,
        per_s: read.per_s(),
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / events),
        floor_per_s,
        floor_before_per_s,
        floor_after_per_s,
        ratio: read.per_s() / floor_per_s,
        goal: GOAL,
    })
}

/// Reads the conversation over HTTP.
async fn replay(client: &Client) -> anyhow::Result<Read> {
    let begun = Instant::now();
    let mut events =
        client.events(&Selection::after(CONVERSATION.parse()?, schemas::Position::new(0))).await?;
    let mut bytes = 0;
    while let Some(line) = events.next().await? {
        bytes += line.json.len() as u64;
    }
    Ok(Read { rows: events.count(), bytes, took: begun.elapsed() })
}

/// Looks at every column of its rows.
fn scan(file: &PathBuf) -> anyhow::Result<Read> {
    let history = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let begun = Instant::now();
    let mut statement = history.prepare(ROWS)?;
    let columns = statement.column_count();
    let mut rows = statement.query([CONVERSATION])?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            bytes += match row.get_ref(column)? {
                rusqlite::types::ValueRef::Text(value) | rusqlite::types::ValueRef::Blob(value) => {
                    value.len() as u64
                }
                _ => 8,
            };
        }
        count += 1;
    }
    Ok(Read { rows: count, bytes, took: begun.elapsed() })
}

impl Read {
    fn per_s(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most a hundred million")]
        let rows = self.rows as f64;
        rows / self.took.as_secs_f64()
    }
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self {
            events,
            bytes,
            per_s,
            floor_per_s,
            floor_before_per_s,
            floor_after_per_s,
            ratio,
            goal,
            ..
        } = self;
        writeln!(out, "replayed     {events} events ({} MiB)", bytes / MIB)?;
        write!(out, "rate         {per_s:.0} events a second")?;
        match self.cpu_us {
            Some(cpu_us) => writeln!(out, ", {cpu_us:.1} µs of the server's processor time for each")?,
            None => writeln!(out)?,
        }
        writeln!(
            out,
            "floor        {floor_per_s:.0} rows a second ({floor_before_per_s:.0} before, {floor_after_per_s:.0} after)"
        )?;
        writeln!(out, "ratio        {ratio:.2} (goal: at least {goal:.1})")
    }
}
