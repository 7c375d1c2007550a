//! `tidings history`: makes the tables, proves that the history says what the log says, or builds it anew.
//!
//! - `embedded`: in a data folder; `servers`: on Kafka and Scylla.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use kernel::{
    event_log::SharedLog,
    history::{Digest, SharedHistory, sqlite::SqliteHistory},
};
use store::{RebuildStep, rebuild};

use super::{args::DATA_DEFAULT, backing::BackingArgs};
use crate::{
    backing::{OpenedLog, open_log},
    settings::{Backing, Servers},
};

mod embedded;
mod servers;

const EXAMPLES: &str = "\
Examples:
  tidings history verify           exit 0: the same, row for row; exit 1: it differs, and where
  tidings history rebuild          remove it and fold the log again
  tidings history migrate --history scylla://127.0.0.1:9042/tidings --replication 1
  tidings history verify --log kafka://127.0.0.1:9092/tidings --history scylla://127.0.0.1:9042/tidings";

/// Make the tables of the history, prove that it says what the log says, or build it anew
///
/// The history is a projection of the log: it may be deleted at any time, and is built again from the log. In a data
/// folder, verify and rebuild need the folder for themselves, so stop its server first. On servers, verify may run beside
/// the others; stop every process with the role store before a rebuild.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct HistoryArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Fold the log into a second history and compare the two, table by table
    Verify(PlaceArgs),
    /// Remove the history and fold the log again
    Rebuild(PlaceArgs),
    /// Make the tables in the history's keyspace, or bring them to the form that this version wants; twice does no harm
    Migrate(servers::MigrateArgs),
}

/// Which log and which history.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// Data folder, where log and history are embedded
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA")]
    data: Option<PathBuf>,
    #[command(flatten)]
    backing: BackingArgs,
}

/// Does what is asked.
pub(super) async fn run(args: HistoryArgs) -> anyhow::Result<ExitCode> {
    let (place, anew) = match args.what {
        What::Migrate(args) => return servers::migrate_tables(&args).await,
        What::Verify(place) => (place, false),
        What::Rebuild(place) => (place, true),
    };
    let file = place.backing.file()?;
    match (place.backing.backing(&file)?, anew) {
        (Backing::Embedded, _) => {
            let data = place.data.or(file.data).unwrap_or_else(|| DATA_DEFAULT.into());
            if anew { embedded::rebuild(&data).await } else { embedded::verify(&data).await }
        }
        (Backing::Servers(servers), anew) => {
            let Servers { log, registry, history } = *servers;
            let OpenedLog { log, .. } = open_log(&log, registry.as_ref()).await?;
            if anew { servers::rebuild(&log, &history).await } else { servers::verify(&log, history).await }
        }
    }
}

/// Folds the log into a second history, in a file of its own, and says what it came to.
async fn fold_anew(log: &SharedLog, second: SqliteHistory) -> anyhow::Result<Digest> {
    fold(log, Arc::new(second.clone()), "folding the log").await?;
    Ok(second.digest().await?)
}

/// Says table by table whether two histories are the same.
fn compare(kept: &Digest, rebuilt: &Digest) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    for (kept, rebuilt) in kept.tables.iter().zip(&rebuilt.tables) {
        let verdict = if kept == rebuilt { "same" } else { "DIFFERENT" };
        writeln!(out, "{:<14} {:>9} rows  {verdict}", kept.table, kept.rows)?;
    }
    if kept == rebuilt {
        writeln!(out, "The history is what the log says.")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "The history is NOT what the log says; `tidings history rebuild` mends it.")?;
    Ok(ExitCode::FAILURE)
}

/// Folds the log into a history, from where that is, and shows how far it is.
async fn fold(log: &SharedLog, history: SharedHistory, what: &'static str) -> anyhow::Result<()> {
    let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3}%  {per_sec}  {eta} left");
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr())
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        .with_message(what);
    let partitions = log.partitions();
    let told = |step: RebuildStep| {
        if partitions > 1 {
            bar.set_message(format!("{what}, partition {} of {partitions}", step.partition.0 + 1));
        }
        bar.set_length(step.to.get());
        bar.set_position(step.place.get());
    };
    let folded = rebuild(Arc::clone(log), history, told).await;
    bar.finish_and_clear();
    folded.with_context(|| format!("{what} stopped"))
}
