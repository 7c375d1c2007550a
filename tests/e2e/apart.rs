//! One process for each role, on real servers, as operators see them: traces that go through all of them, and each one's own
//! metrics and checks.

use std::fs;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tests::{
    Api, Collector, Observer, Server, Site,
    collector::Span,
    scrape::Scrape,
    wait::{SOON, until},
};
use tokio::time::timeout;
use tokio_tungstenite::{client_async, tungstenite::Message};

use crate::traces::{PARENT, Posted, TRACE, is_whole, post_traced, tea};

struct Apart {
    ingest: Server,
    fanout: Server,
    store: Server,
    token: String,
}

impl Apart {
    /// `None`: the test is skipped, because there is no Kafka or no CQL store.
    async fn start(test: &str, options: &[&str]) -> anyhow::Result<Option<Self>> {
        // One partition: the tests know where a record will stand.
        let Some(site) = Site::fresh(test, 1).await? else { return Ok(None) };
        let shared = [&site.options()[..], options].concat();
        let ingest = Server::start_with(&[&["--role", "ingest"][..], &shared].concat()).await?;
        let key = ingest.data().join("token.key");
        let key = key.to_str().context("a path")?;
        let fanout =
            Server::start_with(&[&["--role", "fanout", "--token-key", key][..], &shared].concat()).await?;
        // It is told its role in its settings file.
        let file = ingest.folder().join("store.toml");
        fs::write(&file, "roles = [\"store\"]\n")?;
        let file = file.to_str().context("a path")?;
        let store =
            Server::start_with(&[&["--config", file, "--token-key", key][..], &shared].concat()).await?;
        let token = ingest.token("ann").await?;
        Ok(Some(Self { ingest, fanout, store, token }))
    }

    /// A session that has seen the new conversation.
    async fn tea(&self) -> anyhow::Result<Observer> {
        tea(&self.ingest.url(), &self.fanout.url(), &self.token).await
    }

    async fn post(&self) -> anyhow::Result<()> {
        let header = format!("00-{TRACE}-{PARENT}-01");
        post_traced(&self.ingest.url(), &self.store.url(), &self.token, ("traceparent", &header)).await
    }

    /// Ends all of them, so that they send what spans they have.
    async fn end(&mut self) -> anyhow::Result<()> {
        for server in [&mut self.ingest, &mut self.fanout, &mut self.store] {
            let status = server.terminate().await?;
            ensure!(status.success(), "it ended with {status}:\n{}", server.log_tail());
        }
        Ok(())
    }
}

#[tokio::test]
async fn one_trace_goes_through_three_processes() -> anyhow::Result<()> {
    let collector = Collector::start().await?;
    let options = ["--otlp-endpoint", &collector.url()];
    let Some(mut apart) = Apart::start("traces over processes", &options).await? else { return Ok(()) };
    let session = apart.tea().await?;
    apart.post().await?;
    session.reached(2).await?;
    post_over_a_session(&apart.fanout, &apart.token).await?;
    session.reached(3).await?;
    // It is in the history once a question is answered with it.
    let api = Api::new(apart.store.url(), apart.token.clone())?;
    ensure!(api.messages("tea").await?.len() == 2, "a message is missing");
    apart.end().await?;

    let by_http = collector.of(TRACE);
    let posted = Posted {
        parent: PARENT,
        offset: "1",
        taken_by: "ingest",
        delivered_by: "fanout",
        projected_by: "store",
    };
    is_whole(&by_http, &posted)?;
    ensure!(instances(&by_http) == 3, "not three processes: {by_http:#?}");
    // What comes over a session begins a trace of its own.
    let all = collector.all();
    let is_own = |span: &&Span| span.name == "command" && span.role == "fanout";
    let own = all.iter().find(is_own).with_context(|| format!("no command at fanout: {all:#?}"))?;
    let over_session = collector.of(&own.trace);
    let posted = Posted { parent: "", offset: "2", taken_by: "fanout", ..posted };
    is_whole(&over_session, &posted)
}

fn instances(spans: &[Span]) -> usize {
    spans.iter().map(|span| &span.instance).collect::<std::collections::BTreeSet<_>>().len()
}

/// Posts over the real-time protocol.
async fn post_over_a_session(fanout: &Server, token: &str) -> anyhow::Result<()> {
    let address = fanout.url();
    let socket = tokio::net::TcpStream::connect(address.trim_start_matches("http://")).await?;
    let (mut socket, _) = client_async(fanout.socket_url(), socket).await?;
    let data = json!({"conversation": "tea", "client_message_id": "m-2", "text": "another secret"});
    let connect = json!({"id": 1, "connect": {"token": token}});
    let rpc = json!({"id": 2, "rpc": {"method": "message.post", "data": data}});
    socket.send(Message::text(format!("{connect}\n{rpc}"))).await?;
    let answered = async {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message? else { continue };
            for line in text.lines() {
                let reply: Value = serde_json::from_str(line)?;
                ensure!(reply.get("error").is_none(), "refused: {reply}");
                if reply.get("id").is_some_and(|id| *id == 2) {
                    return Ok(());
                }
            }
        }
        bail!("it was closed")
    };
    timeout(SOON, answered).await.context("no answer to the command")?
}

#[tokio::test]
async fn each_process_tells_of_its_own_work() -> anyhow::Result<()> {
    let Some(apart) = Apart::start("metrics of processes", &[]).await? else { return Ok(()) };
    let session = apart.tea().await?;
    apart.post().await?;
    session.reached(2).await?;
    for (server, checks, counted) in [
        (&apart.ingest, ["log", "mirror", "history", "draining"], [1.0, 0.0, 0.0]),
        (&apart.fanout, ["log", "mirror", "history", "draining"], [0.0, 1.0, 0.0]),
        (&apart.store, ["log", "history", "projector", "draining"], [0.0, 0.0, 2.0]),
    ] {
        let names = ready(server).await?;
        ensure!(names == checks, "{names:?} is not {checks:?}");
        // A number is counted a moment after what it counts.
        until(&format!("posts, deliveries and rows to be {counted:?}"), async || {
            let scrape = Scrape::of(&server.url()).await?;
            let posts = scrape.sum("tidings_commands_total", &["type=\"MessagePosted\"", "code=\"ok\""])?;
            let deliveries = scrape.sum("tidings_deliveries_total", &[])?;
            let rows = scrape.sum("tidings_history_events_total", &[])?;
            let mut told = [posts, deliveries, rows].into_iter().zip(counted);
            Ok(told.all(|(told, expected): (f64, f64)| (told - expected).abs() < 0.5).then_some(()))
        })
        .await
        .with_context(|| format!("the node with the checks {checks:?}"))?;
        // The driver hands on what the servers advise, at every batch; that is not for operators.
        ensure!(!server.log_tail().contains(" scylla::"), "{}", server.log_tail());
    }
    // Looked up every few seconds.
    until("the watermark", async || {
        let watermark =
            Scrape::of(&apart.store.url()).await?.sum("tidings_history_position", &["partition=\"0\""]);
        Ok((watermark? >= 2.0).then_some(()))
    })
    .await
}

/// The names of the checks, once all of them pass.
async fn ready(server: &Server) -> anyhow::Result<Vec<String>> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let body = until("the node to be ready", async || {
        let answer = http.get(format!("{}/readyz", server.url())).send().await?;
        let ready = answer.status().is_success();
        let body: Value = answer.json().await?;
        Ok(ready.then_some(body))
    });
    let body = body.await?;
    let checks = body.pointer("/data/checks").and_then(Value::as_array).context("no checks")?;
    Ok(checks.iter().filter_map(|check| Some(check.get("name")?.as_str()?.to_owned())).collect())
}
