//! Migrate, verify and rebuild on Kafka and Scylla.

use std::{
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::Context;
use clap::Args;
use kernel::{event_log::SharedLog, history::sqlite::SqliteHistory};
use store::scylla::{Migrated, Replication, ScyllaHistory, ScyllaSettings, migrate, wipe};

use super::{compare, fold, fold_anew};
use crate::cli::backing::{FileArgs, HistoryArgs};

/// Options of `tidings history migrate`.
#[derive(Debug, Args)]
pub(super) struct MigrateArgs {
    /// On how many nodes each row is kept, if the keyspace is to be made; one that exists keeps what it has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..))]
    replication: u8,
    /// In which datacenters, with commas [default: in each that there is]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    datacenter: Vec<String>,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    history: HistoryArgs,
}

/// Makes the tables, or says that they are there.
pub(super) async fn migrate_tables(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let settings = args.history.settings(&args.file.read()?)?.context(
        "the embedded history needs no migration; name a server with --history scylla://HOST:PORT/KEYSPACE",
    )?;
    let replication = Replication::new(args.replication, args.datacenter.clone())?;
    let Migrated { from, to } = migrate(&settings, &replication).await?;
    let keyspace = &settings.keyspace;
    match from {
        0 => writeln!(io::stdout(), "The tables are made in the keyspace {keyspace} (version {to}).")?,
        from if from == to => {
            writeln!(io::stdout(), "The tables in {keyspace} are those of version {to} already.")?;
        }
        from => writeln!(io::stdout(), "The tables in {keyspace} went from version {from} to {to}.")?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Brings the kept history up to the log's tail, folds the log into a second one in a file, and compares.
pub(super) async fn verify(log: &SharedLog, history: ScyllaSettings) -> anyhow::Result<ExitCode> {
    let kept = ScyllaHistory::open(history).await?;
    fold(log, Arc::new(kept.clone()), "catching up").await?;
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let rebuilt = fold_anew(log, SqliteHistory::open(folder.path().join("history.sqlite"))?).await?;
    compare(&kept.digest().await?, &rebuilt)
}

/// Drops the tables, makes them again and folds the log into them.
pub(super) async fn rebuild(log: &SharedLog, history: &ScyllaSettings) -> anyhow::Result<ExitCode> {
    wipe(history).await?;
    let history = ScyllaHistory::open(history.clone()).await?;
    fold(log, Arc::new(history.clone()), "rebuilding").await?;
    write!(io::stdout(), "{}", history.digest().await?)?;
    Ok(ExitCode::SUCCESS)
}
