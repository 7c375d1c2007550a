//! `tidings bench`: what a server does, next to what the machine can.
//!
//! - `post`: how fast messages are accepted;
//! - `resume`: how fast a session that is far behind catches up, and what that costs the others;
//! - `storm`: how long it takes until all are back who were dropped at once.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use tempfile::TempDir;

mod filling;
mod floor;
mod load;
mod post;
mod process;
mod resume;
mod storm;

/// Measure a server
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Post(post::PostArgs),
    Resume(resume::ResumeArgs),
    Storm(storm::StormArgs),
}

/// Runs the measurement.
pub(super) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Post(args) => post::run(args).await,
        What::Resume(args) => resume::run(args).await,
        What::Storm(args) => storm::run(args).await,
    }
}

/// A fresh folder on the disk of `data`.
fn beside(data: &Path) -> anyhow::Result<TempDir> {
    let parent = data.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_owned);
    tempfile::Builder::new()
        .prefix("tidings-bench-")
        .tempdir_in(&parent)
        .with_context(|| format!("cannot make a temporary folder in {}", parent.display()))
}
