//! The command line: what can be asked for, and where it is done.
//!
//! - `args`: values and groups of options that several commands take;
//! - one module a command: `token`, `import`, `export`, `replay`, `tail`, `list`, `history`, `bench`;
//! - `render`, `pace`, `text`: how events become lines for people.
//!
//! Invariant: standard output holds results and nothing else; everything said about the work goes to standard
//! error, without colour or progress where that is no terminal. No business rule is here: a command asks a server.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    serve,
    telemetry::{self, Telemetry},
};

mod args;
mod backing;
mod bench;
mod export;
mod history;
mod import;
mod list;
mod pace;
mod render;
mod replay;
mod serving;
mod tail;
mod text;
mod token;
mod topics;

pub use text::visible;

const EXAMPLES: &str = "\
Examples:
  tidings                                        a server on this machine, data in ./tidings-data
  tidings import chat.ndjson.gz                  fill it with what was said elsewhere
  tidings replay --conversation tea --speed 60   watch a conversation again, a minute a second
  tidings export --conversation tea > tea.ndjson

Each command explains itself: tidings help import";

/// A chat message service in which the history is the log
///
/// What was accepted can be replayed, audited and exported, for ever and by anybody who may read it.
#[derive(Debug, Parser)]
#[command(name = "tidings", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serving::ServeArgs,
}

/// The commands; what each is for stands with its options.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serving::ServeArgs>),
    Token(token::TokenArgs),
    Import(import::ImportArgs),
    Export(export::ExportArgs),
    Replay(replay::ReplayArgs),
    Tail(tail::TailArgs),
    List(list::ListArgs),
    Topics(topics::TopicsArgs),
    History(history::HistoryArgs),
    Bench(bench::BenchArgs),
}

impl Cli {
    /// Begins logging, as much as the command wants, and what else a server tells.
    ///
    /// # Errors
    /// As [`telemetry::start`].
    pub fn start_telemetry(&self) -> anyhow::Result<Telemetry> {
        match &self.command {
            None => self.serve.start_telemetry(),
            Some(Command::Serve(args)) => args.start_telemetry(),
            Some(_) => telemetry::start(&telemetry::Settings::default(), telemetry::COMMAND, "command"),
        }
    }

    /// How many threads the runtime that runs it is to have.
    ///
    /// # Errors
    /// The settings file cannot be read.
    pub fn threads(&self) -> anyhow::Result<usize> {
        match &self.command {
            None => self.serve.threads(),
            Some(Command::Serve(args)) => args.threads(),
            Some(_) => Ok(serving::threads_default()),
        }
    }

    /// Runs the command to its end.
    ///
    /// # Errors
    /// What went wrong, why, and what to do, for one line. Exit codes that are not 0 without an error were explained
    /// by the command itself.
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let done = match self.command {
            None => Box::pin(serve::run(self.serve.settings()?)).await,
            Some(Command::Serve(args)) => Box::pin(serve::run(args.settings()?)).await,
            Some(Command::Token(args)) => token::run(&args),
            Some(Command::Import(args)) => return Box::pin(import::run(args)).await,
            Some(Command::Export(args)) => Box::pin(export::run(args)).await,
            Some(Command::Replay(args)) => Box::pin(replay::run(args)).await,
            Some(Command::Tail(args)) => Box::pin(tail::run(args)).await,
            Some(Command::List(args)) => Box::pin(list::run(args)).await,
            Some(Command::Topics(args)) => Box::pin(topics::run(args)).await,
            Some(Command::History(args)) => return Box::pin(history::run(args)).await,
            Some(Command::Bench(args)) => return Box::pin(bench::run(args)).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests;
