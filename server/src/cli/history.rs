//! `tidings history`: proves that the history says what the log says, or builds it anew.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kernel::{
    clock::SystemClock,
    event_log::{SharedLog, sqlite::SqliteLog},
    history::sqlite::SqliteHistory,
};
use store::{RebuildStep, rebuild};

use super::args::DATA_DEFAULT;
use crate::{
    app::EMBEDDED_PARTITIONS,
    data_dir::{DataDir, DataLock},
};

const EXAMPLES: &str = "\
Examples:
  tidings history verify           exit 0: the same, row for row; exit 1: it differs, and where
  tidings history rebuild          remove it and fold the log again";

/// Prove that the history says what the log says, or build it anew
///
/// The history is a projection of the log: it may be deleted at any time, and the next start builds it again. Both
/// commands need the data folder for themselves, so stop its server first.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    #[command(subcommand)]
    what: What,
    /// Data folder
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", default_value = DATA_DEFAULT, global = true)]
    data: PathBuf,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Fold the log into a second history and compare the two, table by table
    Verify,
    /// Remove the history and fold the log again
    Rebuild,
}

/// A folder that nobody else uses, with its log and its history.
struct Opened {
    _lock: DataLock,
    log: SharedLog,
    history: SqliteHistory,
}

/// Does what is asked.
pub(super) async fn run(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Verify => {
            let opened = open(&args.data, |_| Ok(()))?;
            verify(opened, &args.data.join("history.verify.sqlite")).await
        }
        What::Rebuild => {
            // Removed, not emptied: what cannot be opened any more can be rebuilt too.
            let opened = open(&args.data, remove)?;
            fold(&opened.log, &opened.history, "rebuilding").await?;
            write!(io::stdout(), "{}", opened.history.digest().await?)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Opens a folder, after its history was prepared.
fn open(data: &Path, prepare: fn(&Path) -> anyhow::Result<()>) -> anyhow::Result<Opened> {
    let dir = DataDir::open_existing(data)?;
    let Some(lock) = dir.lock()? else {
        bail!("a server uses the data folder {}: stop it first", data.display());
    };
    let log = SqliteLog::open(dir.log(), EMBEDDED_PARTITIONS, Arc::new(SystemClock))?;
    prepare(&dir.history())?;
    let history = SqliteHistory::open(dir.history())
        .context("the history cannot be opened; `tidings history rebuild` makes it anew")?;
    Ok(Opened { _lock: lock, log: Arc::new(log), history })
}

/// Brings the kept history up to the log's tail, folds the log into a second one, and compares.
async fn verify(opened: Opened, second: &Path) -> anyhow::Result<ExitCode> {
    let Opened { _lock, log, history } = opened;
    fold(&log, &history, "catching up").await?;
    remove(second)?;
    let rebuilt = SqliteHistory::open(second)?;
    fold(&log, &rebuilt, "folding the log").await?;
    let (kept, rebuilt_digest) = (history.digest().await?, rebuilt.digest().await?);
    drop(rebuilt);
    remove(second)?;
    let mut out = io::stdout().lock();
    for (kept, rebuilt) in kept.tables.iter().zip(&rebuilt_digest.tables) {
        let verdict = if kept == rebuilt { "same" } else { "DIFFERENT" };
        writeln!(out, "{:<14} {:>9} rows  {verdict}", kept.table, kept.rows)?;
    }
    if kept == rebuilt_digest {
        writeln!(out, "The history is what the log says.")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "The history is NOT what the log says; `tidings history rebuild` mends it.")?;
    Ok(ExitCode::FAILURE)
}

/// Folds the log into a history, from where that is, and shows how far it is.
async fn fold(log: &SharedLog, history: &SqliteHistory, what: &'static str) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3}%  {per_sec}  {eta} left");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what);
    let told = |step: RebuildStep| {
        bar.set_length(step.to.get());
        bar.set_position(step.place.get());
    };
    let folded = rebuild(Arc::clone(log), Arc::new(history.clone()), told).await;
    bar.finish_and_clear();
    folded.with_context(|| format!("{what} stopped"))
}

/// Removes a history's files, if they are there.
fn remove(history: &Path) -> anyhow::Result<()> {
    for ending in ["", "-wal", "-shm"] {
        let mut path = history.as_os_str().to_owned();
        path.push(ending);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", Path::new(&path).display()));
            }
            _ => {}
        }
    }
    Ok(())
}
