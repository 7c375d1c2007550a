//! `tidings bench project`: how fast the history follows the log, next to the same rows inserted and nothing else.

use std::{
    io::{self, StdoutLock, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use indicatif::ProgressBar;
use kernel::{
    clock::SystemClock,
    event_log::{BATCH_LEN_MAX, EventLog, SharedLog, sqlite::SqliteLog},
    history::{SharedHistory, reach, sqlite::SqliteHistory},
};
use rusqlite::{Connection, OpenFlags, params_from_iter, types::Value};
use schemas::Partition;
use serde::Serialize;
use store::Projector;

use super::{beside, progress::spinner, records::Records};
use crate::{
    backing::EMBEDDED_PARTITIONS,
    cli::args::DATA_DEFAULT,
    cpu,
    measure::{Cores, in_place_of_a_server, tell, unless_stopped},
};

/// Conversations that the messages are in.
const CONVERSATIONS: u64 = 16;
/// The only partition of an embedded log.
const PARTITION: Partition = Partition(0);
/// Tables of the history that have rows then, and in which order they come.
const TABLES: [(&str, &str); 4] = [
    ("events", "offset"),
    ("event_ids", "offset"),
    ("messages", "offset"),
    ("conversations", "created_stamp"),
];
/// Events whose rows go into one transaction of the floor.
const EVENTS_OF_A_TRANSACTION: usize = 1_000;
/// How long the projector may take.
const PATIENCE: Duration = Duration::from_hours(1);

const EXAMPLES: &str = "\
Examples:
  tidings bench project                         300,000 events
  tidings bench project --events 10000 --json

A log on a fresh folder beside the data folder is filled with messages of 200 bytes in
16 conversations. Then a projector, which is what keeps the history of a server, brings
them into a fresh history, in this process: it reads, decodes, folds and writes until it
has caught up. The floor inserts the rows that came of it into another file with the
same tables and settings, those of 1,000 events in a transaction, from memory; it is
taken twice, and the faster counts. Both have one processor, where there are two.";

/// Measure how fast the history follows the log
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ProjectArgs {
    /// How many events are in the log
    #[arg(long, value_name = "N", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    events: u64,
    /// The files are in a folder that is made beside this one, on the same disk
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    /// Of the four tables.
    rows: u64,
    ours: Brought,
    /// The faster of two times.
    floor: Brought,
    floors_per_s: [f64; 2],
    ratio: f64,
}

/// How fast events came into a history.
#[derive(Debug, Clone, Copy, Serialize)]
struct Brought {
    /// Events a second.
    per_s: f64,
    rows_per_s: f64,
    /// Processor time of this process for each event, in microseconds.
    cpu_us: Option<f64>,
}

/// Rows as they stand in the tables.
struct Rows(Vec<Table>);

struct Table {
    insert: String,
    rows: Vec<Vec<Value>>,
}

/// What bringing events in took.
#[derive(Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Option<Duration>,
}

pub(super) async fn run(args: ProjectArgs) -> anyhow::Result<ExitCode> {
    let (cores, folder) = (Cores::choose(), beside(&args.data)?);
    let (path, events) = (folder.path().to_owned(), args.events);
    let progress = spinner();
    let told = progress.clone();
    let measured = unless_stopped(in_place_of_a_server(cores, move || measure(path, events, told))).await;
    progress.finish_and_clear();
    folder.close().context("cannot remove the temporary folder")?;
    tell(&measured?, args.json)?;
    Ok(ExitCode::SUCCESS)
}

async fn measure(folder: PathBuf, events: u64, progress: ProgressBar) -> anyhow::Result<Report> {
    let log: SharedLog =
        Arc::new(SqliteLog::open(folder.join("log"), EMBEDDED_PARTITIONS, Arc::new(SystemClock))?);
    progress.set_message("filling the log");
    let events = fill(&*log, events).await?;
    progress.set_message("projecting");
    let file = folder.join("history");
    let ours = project(&log, &file).await?;
    let rows = Rows::of(&file)?;
    ensure!(
        rows.count_of("events") == events,
        "{} events are in the history, not {events}",
        rows.count_of("events")
    );
    progress.set_message("floor");
    let [first, second] = ["first", "second"].map(|name| insert(&rows, &folder.join(name)));
    let (first, second) = (first?, second?);
    let rows = rows.count();
    let [ours, first, second] = [ours, first, second].map(|took| Brought::new(events, rows, took));
    let floor = if second.per_s > first.per_s { second } else { first };
    let floors_per_s = [first.per_s, second.per_s];
    Ok(Report { events, rows, ours, floor, floors_per_s, ratio: ours.per_s / floor.per_s })
}

/// Puts messages into the log, and before them their conversations; gives how many events that were.
async fn fill(log: &dyn EventLog, messages: u64) -> anyhow::Result<u64> {
    let (records, conversations) = (Records::new()?, Records::conversations(CONVERSATIONS)?);
    let creations = conversations.iter().map(|conversation| records.creation(conversation));
    log.append(creations.collect::<anyhow::Result<_>>()?).await?;
    let mut in_turn = conversations.iter().cycle().zip(0..messages);
    loop {
        let some = in_turn.by_ref().take(BATCH_LEN_MAX);
        let some = some.map(|(conversation, number)| records.message(conversation, number));
        let some: Vec<_> = some.collect::<anyhow::Result<_>>()?;
        if some.is_empty() {
            return Ok(CONVERSATIONS + messages);
        }
        log.append(some).await?;
    }
}

/// Brings the log into a fresh history in this file.
async fn project(log: &SharedLog, file: &Path) -> anyhow::Result<Took> {
    let history: SharedHistory = Arc::new(SqliteHistory::open(file)?);
    let tail = log.tail(PARTITION).await?;
    let (begun, before) = (Instant::now(), cpu::of_this_process());
    let projector = Projector::start(Arc::clone(log), Arc::clone(&history));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    reach(&*history, PARTITION, tail, &log.epoch(), deadline).await?;
    let took = Took { wall: begun.elapsed(), cpu: cpu::between(before, cpu::of_this_process()) };
    projector.stop().await?;
    Ok(took)
}

/// Inserts the rows into a fresh history in this file.
fn insert(rows: &Rows, file: &Path) -> anyhow::Result<Took> {
    let mut history = SqliteHistory::connection(file)?;
    let (begun, before) = (Instant::now(), cpu::of_this_process());
    for number in 0..rows.transactions() {
        let transaction = history.transaction()?;
        for Table { insert, rows } in &rows.0 {
            let mut insert = transaction.prepare_cached(insert)?;
            for row in rows.chunks(EVENTS_OF_A_TRANSACTION).nth(number).unwrap_or_default() {
                insert.execute(params_from_iter(row))?;
            }
        }
        transaction.commit()?;
    }
    Ok(Took { wall: begun.elapsed(), cpu: cpu::between(before, cpu::of_this_process()) })
}

impl Rows {
    /// Those of a history.
    fn of(file: &Path) -> anyhow::Result<Self> {
        let history = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let table = |(name, order): (&str, &str)| {
            let mut select = history.prepare(&format!("SELECT * FROM {name} ORDER BY {order}"))?;
            let columns = select.column_count();
            let row = |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
            let rows = select.query_map([], row)?.collect::<Result<_, _>>()?;
            let places = vec!["?"; columns].join(", ");
            anyhow::Ok(Table { insert: format!("INSERT INTO {name} VALUES ({places})"), rows })
        };
        TABLES.into_iter().map(table).collect::<anyhow::Result<_>>().map(Self)
    }

    fn count_of(&self, name: &str) -> u64 {
        let of = TABLES.iter().zip(&self.0).find(|((of, _), _)| *of == name);
        of.map_or(0, |(_, table)| table.rows.len() as u64)
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|table| table.rows.len() as u64).sum()
    }

    fn transactions(&self) -> usize {
        let longest = self.0.iter().map(|table| table.rows.len()).max();
        longest.unwrap_or_default().div_ceil(EVENTS_OF_A_TRANSACTION)
    }
}

impl Brought {
    fn new(events: u64, rows: u64, took: Took) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "at most some ten million")]
        let [events, rows] = [events, rows].map(|count| count as f64);
        let seconds = took.wall.as_secs_f64();
        Self {
            per_s: events / seconds,
            rows_per_s: rows / seconds,
            cpu_us: took.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / events),
        }
    }
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { events, rows, ours, floor, floors_per_s: [first, second], ratio } = self;
        writeln!(out, "caught up    {events} events in {CONVERSATIONS} conversations, {rows} rows")?;
        for (name, brought) in [("projector", ours), ("floor", floor)] {
            let Brought { per_s, rows_per_s, cpu_us } = brought;
            let cpu =
                cpu_us.map_or(String::new(), |cpu_us| format!(", {cpu_us:.1} µs of processor time for each"));
            writeln!(out, "{name:<12} {per_s:.0} events a second, {rows_per_s:.0} rows{cpu}")?;
        }
        writeln!(out, "ratio        {ratio:.2} (floors {first:.0} and {second:.0} events a second)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_floor_has_the_rows_that_the_projector_made() {
        let folder = tempfile::tempdir().unwrap();
        let log: SharedLog = Arc::new(
            SqliteLog::open(folder.path().join("log"), EMBEDDED_PARTITIONS, Arc::new(SystemClock)).unwrap(),
        );
        assert_eq!(fill(&*log, 1_500).await.unwrap(), 1_516);
        let (ours, floor) = (folder.path().join("ours"), folder.path().join("floor"));
        project(&log, &ours).await.unwrap();
        let rows = Rows::of(&ours).unwrap();
        assert_eq!((rows.count_of("events"), rows.count_of("messages")), (1_516, 1_500));
        assert_eq!((rows.count(), rows.transactions()), (2 * 1_516 + 1_500 + 16, 2));
        insert(&rows, &floor).unwrap();
        let inserted = Rows::of(&floor).unwrap();
        for (inserted, table) in inserted.0.iter().zip(&rows.0) {
            assert!(inserted.rows == table.rows, "{}", table.insert);
        }
    }
}
