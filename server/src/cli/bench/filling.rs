//! Conversations with many events in them.

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;

use crate::client::{Client, patiently};

/// Lines of one request.
const LINES: u64 = 1_000;

/// Puts `len` messages of `text_len` bytes into a conversation, which is made, and waits until the history has them.
/// Gives the last position, and the epoch.
pub(super) async fn fill(
    client: &Client,
    conversation: &str,
    len: u64,
    text_len: usize,
) -> anyhow::Result<(u64, String)> {
    let style =
        ProgressStyle::with_template("filling {bar:30} {human_pos} of {human_len} events, {eta} left")?;
    let progress = ProgressBar::new(len).with_style(style);
    for first in (0..len).step_by(usize::try_from(LINES)?) {
        let numbers = first..len.min(first + LINES);
        let lines: String = numbers.map(|number| line(conversation, number, text_len)).collect();
        let body = Bytes::from(lines);
        let _: IgnoredAny =
            patiently(|| client.post(&["v1", "import"], "application/x-ndjson", body.clone())).await?;
        progress.inc(LINES);
    }
    progress.finish_and_clear();
    newest(client, conversation).await
}

/// The last position of a conversation, and the epoch, when the history has it.
pub(super) async fn newest(client: &Client, conversation: &str) -> anyhow::Result<(u64, String)> {
    let path = ["v1", "conversations", conversation, "messages"];
    let query = [("limit", "1".to_owned())];
    let newest: Newest = patiently(|| client.get(&path, &query)).await?;
    Ok((newest.offset, newest.epoch))
}

/// Where the history is.
#[derive(Deserialize)]
struct Newest {
    offset: u64,
    epoch: String,
}

fn line(conversation: &str, number: u64, text_len: usize) -> String {
    let text = format!("message {number} ");
    let text = format!("{text:x<text_len$}");
    let id = format!("f-{number}");
    let line = json!({
        "conversation": conversation, "at": "2024-02-29T10:00:00.000Z", "author": "bench", "kind": "message",
        "text": text, "reply_to": null, "id": id,
    });
    format!("{line}\n")
}
