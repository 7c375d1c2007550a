//! `tidings import`: chat logs from elsewhere become events, with the times they had.
//!
//! ```text
//!   files --a thread--> lines --checked--> requests --one at a time--> POST /v1/import
//! ```
//!
//! Requests go one after another: so the order within a conversation is that of the files, and a failure tells
//! exactly how far it got. The next one is put together while one is on its way.
//!
//! Invariant: each line is counted once: added, there already, or refused with a reason. Running it again adds nothing.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::args::TargetArgs;
use crate::client::{CallError, Client, patiently};

mod progress;
mod requests;
mod source;
mod tally;

use progress::Progress;
use requests::{Origin, Request};
use source::Step;
use tally::Tally;

const EXAMPLES: &str = r#"Examples:
  tidings import chat.ndjson.gz                      into ./tidings-data
  tidings import --data /srv/tidings a.ndjson b.ndjson
  zcat old/*.gz | tidings import --url https://chat.example.org --token "$TOKEN" -

One JSON object a line, in the order of their times within a conversation, plain or gzip:
  {"conversation":"tea","at":"2024-02-29T10:00:00.000Z","author":"ann","kind":"message","text":"hi","reply_to":null,"id":"m-1"}
kind is message, action, join, leave or rename (author: the old name, text: the new one).

It can be run again at any time: what is there already is not added twice."#;

/// Bring in chat logs from elsewhere
///
/// They keep their times, and their conversations are made where needed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ImportArgs {
    /// Files to read, in this order; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
}

/// What the server says to a request of lines.
#[derive(Debug, Deserialize)]
struct Report {
    added: usize,
    already: usize,
    refused: Vec<RefusedLine>,
}

#[derive(Debug, Deserialize)]
struct RefusedLine {
    /// From 1, within the request.
    line: usize,
    code: String,
    message: String,
}

impl Report {
    /// So many lines it tells of.
    fn lines(&self) -> usize {
        self.added + self.already + self.refused.len()
    }
}

/// Imports the files.
pub(super) async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    let client = Client::resolve(&args.target.to_write()).await?;
    let imported = import(&client, args.files).await;
    client.close().await?;
    imported
}

async fn import(client: &Client, files: Vec<PathBuf>) -> anyhow::Result<ExitCode> {
    let progress = Progress::of(&files);
    let mut tally = Tally::new(progress.clone());
    let mut steps = source::read(files, Arc::clone(progress.bytes_read()))?;
    let sent = send_all(client, &mut steps, &mut tally).await;
    progress.finish();
    sent?;
    // Whether somebody reads the summary does not change how it went.
    if let Err(error) = tally.summary(&mut std::io::stdout())
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(error).context("the summary cannot be written");
    }
    Ok(if tally.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn send_all(
    client: &Client,
    steps: &mut mpsc::Receiver<Step>,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    while let Some(step) = steps.recv().await {
        match step {
            Step::Send(request) => {
                let report = send(client, &request).await.with_context(|| stopped(&request))?;
                tally.report(&request, &report);
                let (sent, told) = (request.origins.len(), report.lines());
                ensure!(
                    sent == told,
                    "the server tells of {told} lines where {sent} were sent; see its version"
                );
            }
            Step::Refused { origin, reason } => tally.refused_here(&origin, &reason),
            Step::Unreadable { what } => tally.unreadable(&what),
        }
    }
    Ok(())
}

/// Sends a request until it is answered: its lines bear ids, so that a second time does no harm.
async fn send(client: &Client, request: &Request) -> Result<Report, CallError> {
    let body = Bytes::copy_from_slice(&request.body);
    patiently(|| client.post(&["v1", "import"], "application/x-ndjson", Bytes::clone(&body))).await
}

fn stopped(request: &Request) -> String {
    let at = request.origins.first().map_or_else(String::new, Origin::to_string);
    format!("the import stopped at {at}; mend the cause and run it again, nothing is added twice")
}
