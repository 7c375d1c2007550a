//! Kafka and Cassandra on this machine, without Docker: for trying things, and for people who develop.
//!
//! `servers up` runs both in the foreground until Ctrl-C; what they hold stays in their folder. `servers down` ends an
//! `up` that runs elsewhere. They listen on loopback alone, and anybody on this machine may use them.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use tests::{
    Cassandra, Kafka,
    jvm::{Setup, Tuning},
    signal,
    wait::within,
};
use tokio::signal::unix::{SignalKind, signal as signals};

/// How long both may take to end.
const DOWN_WAIT: Duration = Duration::from_mins(2);

/// Kafka and Cassandra on this machine, without Docker.
#[derive(Debug, Parser)]
struct Cli {
    /// Where both keep what they hold.
    #[arg(long, global = true, default_value = "target/up")]
    data: PathBuf,
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Starts both and stays until Ctrl-C.
    Up {
        /// Kafka's port.
        #[arg(long, default_value_t = 9092)]
        kafka_port: u16,
        /// Cassandra's port for CQL.
        #[arg(long, default_value_t = 9042)]
        cql_port: u16,
    },
    /// Ends an `up` with the same data folder that runs elsewhere.
    Down,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    match cli.command {
        Action::Up { kafka_port, cql_port } => up(&cli.data, kafka_port, cql_port).await,
        Action::Down => down(&cli.data).await,
    }
}

async fn up(data: &Path, kafka_port: u16, cql_port: u16) -> anyhow::Result<()> {
    fs::create_dir_all(data).with_context(|| format!("{} cannot be made", data.display()))?;
    // Two on one folder would spoil it. The lock ends with the process.
    let Some(_lock) = lock(data)? else { bail!("an `up` runs on {} already", data.display()) };
    fs::write(pid_path(data), std::process::id().to_string())?;
    let (mut interrupted, mut terminated) =
        (signals(SignalKind::interrupt())?, signals(SignalKind::terminate())?);
    let mut ended = async || {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
    };
    let start = async || -> anyhow::Result<_> {
        let (Some(kafka), Some(cassandra)) = (Kafka::kit("Kafka").await?, Cassandra::kit("Cassandra").await?)
        else {
            bail!("nothing can be started");
        };
        say("starting; the first time the jars are fetched")?;
        let setup = |name, port| Setup {
            tuning: Tuning::Load,
            folder: Some(data.join(name)),
            port: Some(port),
            ..Setup::default()
        };
        let begun = Instant::now();
        let kafka = Kafka::start(&kafka, setup("kafka", kafka_port));
        let cassandra = Cassandra::start(&cassandra, setup("cassandra", cql_port));
        let both = tokio::try_join!(kafka, cassandra)?;
        say(&format!("both answer after {:.1} s", begun.elapsed().as_secs_f32()))?;
        Ok(both)
    };
    let (mut kafka, mut cassandra) = tokio::select! {
        both = start() => both?,
        () = ended() => return Ok(()),
    };
    say(&directions(data, &kafka, &cassandra))?;
    ended().await;
    say("ending both")?;
    tokio::try_join!(kafka.terminate(), cassandra.terminate())?;
    Ok(())
}

/// What to type next.
fn directions(data: &Path, kafka: &Kafka, cassandra: &Cassandra) -> String {
    let (kafka, cassandra) = (kafka.address(), cassandra.address());
    let (log, history) = (format!("kafka://{kafka}/tidings"), format!("scylla://{cassandra}/tidings"));
    format!(
        "
  Kafka      {kafka}
  Cassandra  {cassandra} (CQL)
  data       {data}

Once:
  tidings topics create --log {log} --replication 1
  tidings history migrate --history {history} --replication 1
Then:
  tidings serve --log {log} --history {history}

Ctrl-C here, or `just down`, ends both; the data stays.",
        data = data.display()
    )
}

async fn down(data: &Path) -> anyhow::Result<()> {
    if !data.exists() || lock(data)?.is_some() {
        return say(&format!("nothing runs on {}", data.display()));
    }
    // The lock is held, so the number is that of a living process.
    let pid = fs::read_to_string(pid_path(data))?.trim().parse()?;
    signal::send(pid, "TERM").await?;
    within(DOWN_WAIT, "both to end", async || lock(data)).await?;
    say("both have ended")
}

/// The lock on the folder. `None`: somebody else has it.
fn lock(data: &Path) -> anyhow::Result<Option<File>> {
    let file = File::create(data.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error).context("the folder cannot be locked"),
    }
}

fn pid_path(data: &Path) -> PathBuf {
    data.join("pid")
}

fn say(text: &str) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{text}")?)
}
