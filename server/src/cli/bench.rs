//! `tidings bench`: what a server does, next to what the machine can.
//!
//! - `post`: how fast messages are accepted;
//! - `ingest`: how many are, when the server gets as many as it takes;
//! - `project`: how fast the history follows the log;
//! - `fanout`: what it takes to deliver them;
//! - `scale`: whether that stays the same with more sessions;
//! - `cores`: how much more two processors deliver than one;
//! - `unwatched`: what an event costs a node at which nobody watches its conversation;
//! - `idle`: what a session holds that does nothing;
//! - `connect`: what it takes to let one in;
//! - `slow`: what a session that stops reading does to the others;
//! - `resume`: how fast a session that is far behind catches up, and what that costs the others;
//! - `storm`: how long it takes until all are back who were dropped at once;
//! - `replay`: how fast a conversation is read again.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Args, Subcommand};
use tempfile::TempDir;

use super::args::DATA_DEFAULT;
use crate::measure::{Cores, Report, Server, tell, unless_stopped};

mod caught_up;
mod connect;
mod cores;
mod crowd;
mod delivering;
mod fanout;
mod filling;
mod floor;
mod idle;
mod ingest;
mod load;
mod memory;
mod post;
mod progress;
mod project;
mod records;
mod replay;
mod resume;
mod scale;
mod slow;
mod storm;
mod unwatched;

/// Measure a server
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Post(post::PostArgs),
    Ingest(ingest::IngestArgs),
    Project(project::ProjectArgs),
    Fanout(fanout::FanoutArgs),
    Scale(scale::ScaleArgs),
    Cores(cores::CoresArgs),
    Unwatched(unwatched::UnwatchedArgs),
    Idle(idle::IdleArgs),
    Connect(connect::ConnectArgs),
    Slow(slow::SlowArgs),
    Resume(resume::ResumeArgs),
    Storm(storm::StormArgs),
    Replay(replay::ReplayArgs),
}

/// Where a server of the measurement's own is, and how the result is told.
#[derive(Debug, Args)]
struct OwnServerArgs {
    /// The server's folder is made beside this one, on the same disk
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

impl OwnServerArgs {
    /// Starts a server on a fresh folder, measures, and removes both.
    async fn run<R: Report>(
        &self,
        measure: impl AsyncFnOnce(&Server) -> anyhow::Result<R>,
    ) -> anyhow::Result<ExitCode> {
        self.run_on(None, measure).await
    }

    /// The same with the server on a processor of its own.
    async fn run_on<R: Report>(
        &self,
        cores: Option<Cores>,
        measure: impl AsyncFnOnce(&Server) -> anyhow::Result<R>,
    ) -> anyhow::Result<ExitCode> {
        self.tell(&self.on_fresh(cores, &[], measure).await?)
    }

    /// Does something with a server on a fresh folder, which has more options, and removes both.
    async fn on_fresh<R>(
        &self,
        cores: Option<Cores>,
        options: &[&str],
        work: impl AsyncFnOnce(&Server) -> anyhow::Result<R>,
    ) -> anyhow::Result<R> {
        let program = env::current_exe().context("this program's own file is not known")?;
        let folder = beside(&self.data)?;
        let server = Server::start(&program, &folder.path().join("data"), cores, options).await?;
        let done = unless_stopped(work(&server)).await;
        drop(server);
        folder.close().context("cannot remove the temporary folder")?;
        done
    }

    /// Says what came out.
    fn tell(&self, report: &impl Report) -> anyhow::Result<ExitCode> {
        tell(report, self.json)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs the measurement.
pub(super) async fn run(args: BenchArgs) -> anyhow::Result<ExitCode> {
    match args.what {
        What::Post(args) => post::run(args).await,
        What::Ingest(args) => ingest::run(args).await,
        What::Project(args) => project::run(args).await,
        What::Fanout(args) => fanout::run(args).await,
        What::Scale(args) => scale::run(args).await,
        What::Cores(args) => cores::run(args).await,
        What::Unwatched(args) => unwatched::run(args).await,
        What::Idle(args) => idle::run(args).await,
        What::Connect(args) => connect::run(args).await,
        What::Slow(args) => slow::run(args).await,
        What::Resume(args) => resume::run(args).await,
        What::Storm(args) => storm::run(args).await,
        What::Replay(args) => replay::run(args).await,
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
