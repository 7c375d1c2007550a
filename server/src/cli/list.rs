//! `tidings list`: the conversations of a user.

use std::io::{self, Write};

use clap::Args;
use schemas::{ConversationId, caps};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{args::TargetArgs, text::visible};
use crate::client::{CallError, Client, patiently};

const EXAMPLES: &str = "\
Examples:
  tidings list                    of dev, who owns what was imported
  tidings list --user ann         of ann
  tidings list --json | jq .conversation";

/// List the conversations of a user
///
/// Those that the user is a member of, by id, with the time of the last event.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ListArgs {
    /// One JSON object a line, as the server tells it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Deserialize)]
struct Page {
    conversations: Vec<Box<RawValue>>,
    more: bool,
}

/// What the table shows of a conversation.
#[derive(Deserialize)]
struct Row {
    conversation: ConversationId,
    title: Option<String>,
    visibility: String,
    archived: bool,
    last_at: Option<String>,
}

/// Prints the list.
pub(super) async fn run(args: ListArgs) -> anyhow::Result<()> {
    let client = Client::resolve(&args.target.to_read()).await?;
    let printed = print(&client, args.json).await;
    client.close().await?;
    printed
}

async fn print(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut after = None;
    loop {
        let page = patiently(|| page(client, after.as_ref())).await?;
        let mut out = io::BufWriter::new(io::stdout().lock());
        for item in &page.conversations {
            let row: Row = serde_json::from_str(item.get())?;
            if json {
                writeln!(out, "{}", item.get())?;
            } else {
                writeln!(out, "{}", line(&row))?;
            }
            after = Some(row.conversation);
        }
        out.flush()?;
        if !page.more || page.conversations.is_empty() {
            return Ok(());
        }
    }
}

async fn page(client: &Client, after: Option<&ConversationId>) -> Result<Page, CallError> {
    let mut query = vec![("limit", caps::PAGE_LEN_MAX.to_string())];
    query.extend(after.map(|after| ("after", after.to_string())));
    client.get(&["v1", "conversations"], &query).await
}

fn line(row: &Row) -> String {
    let Row { conversation, title, visibility, archived, last_at } = row;
    let last_at = last_at.as_deref().unwrap_or("-");
    let archived = if *archived { ", archived" } else { "" };
    let title = title.as_deref().filter(|title| *title != conversation.as_str()).unwrap_or_default();
    let line = format!(
        "{:<32}  {last_at:<24}  {:<17}  {title}",
        conversation.as_str(),
        format!("{visibility}{archived}")
    );
    visible(line.trim_end()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_tells_what_is_special() {
        let row: Row = serde_json::from_str(
            r#"{"conversation":"tea","title":"Tea\u001b","visibility":"open","archived":true,"standing":"owner",
                "last_offset":4,"last_at":"2024-02-26T08:49:39.372Z","read_up_to":0}"#,
        )
        .unwrap();
        assert_eq!(
            line(&row),
            "tea                               2024-02-26T08:49:39.372Z  open, archived     Tea\\u{1b}"
        );
    }
}
