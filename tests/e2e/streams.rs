//! A conversation as server-sent events, read with the real `curl -N`.

use std::process::Stdio;

use anyhow::Context;
use tests::{Api, Server, tools, wait::SOON};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// A `curl -N` that runs.
struct Curl {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// The id and the data of an event.
type Seen = (String, String);

impl Curl {
    fn follow(address: &str, token: Option<&str>, last: Option<&str>) -> anyhow::Result<Self> {
        let mut command = Command::new("curl");
        command.args(["-sSN", "--fail"]);
        if let Some(token) = token {
            command.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        if let Some(last) = last {
            command.args(["-H", &format!("Last-Event-ID: {last}")]);
        }
        let mut process = command.arg(address).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lines = BufReader::new(process.stdout.take().context("no output")?).lines();
        Ok(Self { process, lines })
    }

    /// The next so many events.
    async fn read(&mut self, len: usize) -> anyhow::Result<Vec<Seen>> {
        let (mut seen, mut id) = (Vec::new(), String::new());
        while seen.len() < len {
            let line = timeout(SOON, self.lines.next_line()).await.context("no event in time")??;
            let line = line.with_context(|| format!("the stream ended after {} events", seen.len()))?;
            if let Some(next) = line.strip_prefix("id: ") {
                next.clone_into(&mut id);
            } else if let Some(data) = line.strip_prefix("data: ") {
                seen.push((id.clone(), data.to_owned()));
            }
        }
        Ok(seen)
    }

    async fn cut(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }
}

async fn post(ann: &Api, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    for number in numbers {
        ann.post("tea", &format!("m-{number}"), &format!("number {number}: é \u{2028} 🍵\n\ndata: x"))
            .await
            .accepted()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_stream_cut_and_resumed_over_a_restart_is_the_history_byte_for_byte() -> anyhow::Result<()> {
    if tools::find("curl").is_none() {
        return tools::skip("a stream over curl", "curl is not installed");
    }
    let mut server = Server::start().await?;
    let ann = server.api("ann").await?;
    ann.create("tea").await?;
    post(&ann, 0..100).await?;
    let address = format!("{}/v1/conversations/tea/stream?from=0", server.url());
    let mut curl = Curl::follow(&address, Some(ann.token()), None)?;
    let mut seen = curl.read(60).await?;
    curl.cut().await?;
    post(&ann, 100..150).await?;
    server.kill().await?;
    server.restart().await?;
    let last = seen.last().map(|(id, _)| id.clone());
    let mut curl = Curl::follow(&address, Some(ann.token()), last.as_deref())?;
    seen.extend(curl.read(91).await?);
    // And what is written while it looks on.
    post(&ann, 150..160).await?;
    seen.extend(curl.read(10).await?);
    let events = ann.events("tea").await?;
    anyhow::ensure!(events.len() == 161, "{} events", events.len());
    let history: Vec<_> = events.iter().map(|event| event.json.as_str()).collect();
    let streamed: Vec<_> = seen.iter().map(|(_, data)| data.as_str()).collect();
    anyhow::ensure!(streamed == history, "the stream is not the history");
    // As a browser, which has no header for its token.
    let mut browser = Curl::follow(&format!("{address}&access_token={}", ann.token()), None, None)?;
    anyhow::ensure!(browser.read(161).await? == seen, "the token in the query gives another stream");
    Ok(())
}
