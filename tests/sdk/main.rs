//! The official client SDKs, as they come from npm and `PyPI`, against the real server.
//!
//! Each script is a program that uses the SDK alone. It judges what it can see; what it was sent is judged here, byte for
//! byte against what the log says.

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Api, Server, api::Answer, tools, tools::Kit, wait::until};

/// Steps that a `protocol` script goes through.
const STEPS: usize = 13;
/// Events that are posted while a `follow` script looks on; the server is killed twice in between.
const POSTS: usize = 300;

#[tokio::test]
async fn the_javascript_sdk_speaks_with_us() -> anyhow::Result<()> {
    let Some(kit) = tools::node("the JavaScript SDK", &["sdk/js"]).await? else { return Ok(()) };
    protocol(&kit, "protocol.mjs").await
}

#[tokio::test]
async fn the_javascript_sdk_sees_everything_once_over_kills() -> anyhow::Result<()> {
    let Some(kit) = tools::node("the JavaScript SDK over kills", &["sdk/js"]).await? else { return Ok(()) };
    follow(&kit, "follow.mjs").await
}

#[tokio::test]
async fn the_python_sdk_speaks_with_us() -> anyhow::Result<()> {
    let Some(kit) = tools::python("the Python SDK", &["sdk/python"]).await? else { return Ok(()) };
    protocol(&kit, "protocol.py").await
}

#[tokio::test]
async fn the_python_sdk_sees_everything_once_over_kills() -> anyhow::Result<()> {
    let Some(kit) = tools::python("the Python SDK over kills", &["sdk/python"]).await? else { return Ok(()) };
    follow(&kit, "follow.py").await
}

/// A server with one conversation, and what a script must know of it.
struct Stage {
    server: Server,
    ann: Api,
    settings: Vec<(&'static str, String)>,
}

const CONVERSATION: &str = "tea";

impl Stage {
    async fn set() -> anyhow::Result<Self> {
        let server = Server::start().await?;
        let ann = server.api("ann").await?;
        let created = ann.create(CONVERSATION).await?;
        let settings = vec![
            ("SOCKET_URL", server.socket_url()),
            ("ANN_TOKEN", ann.token().to_owned()),
            ("BOB_TOKEN", server.token("bob").await?),
            ("EXPIRED_TOKEN", server.expired_token("ann")?),
            ("CONVERSATION", CONVERSATION.to_owned()),
            ("EPOCH", created.epoch),
        ];
        Ok(Self { server, ann, settings })
    }

    fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The events of the log, each as its line.
    async fn log(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.ann.events(CONVERSATION).await?.into_iter().map(|event| event.json).collect())
    }
}

fn strings(result: &Value, field: &str) -> anyhow::Result<Vec<String>> {
    let value = result.get(field).with_context(|| format!("no {field} in the result"))?;
    Ok(serde_json::from_value(value.clone())?)
}

async fn protocol(kit: &Kit, script: &str) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let result = kit.run(script, &stage.settings()).await?;
    let steps = strings(&result, "steps")?;
    ensure!(steps.len() == STEPS, "some steps were left out: {steps:#?}");
    let log = stage.log().await?;
    ensure!(
        strings(&result, "ann")? == log,
        "who came at the start was not sent the log:\n{log:#?}\n{result:#}"
    );
    // Bob came after the conversation was created, which is the first event.
    let rest = log.get(1..).unwrap_or_default();
    ensure!(strings(&result, "bob")? == rest, "who came later was not sent the rest:\n{log:#?}\n{result:#}");
    Ok(())
}

async fn follow(kit: &Kit, script: &str) -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    let mut follower = kit.start(script, &stage.settings())?;
    follower.expect("subscribed 1").await?;
    for number in 0..POSTS {
        if number == POSTS / 3 || number == 2 * POSTS / 3 {
            // The poster goes on while the server is away: what it sends then is sent again.
            stage.server.kill().await?;
            ensure!(matches!(post(&stage.ann, number).await, Answer::Unknown(_)), "nobody can have answered");
            stage.server.restart().await?;
        }
        until("an answer", async || match post(&stage.ann, number).await {
            Answer::Accepted(accepted) => Ok(Some(accepted)),
            Answer::Unknown(_) => Ok(None),
            Answer::Refused(status, code) => anyhow::bail!("refused: {status} {code}"),
        })
        .await?;
    }
    let log = stage.ann.events(CONVERSATION).await?;
    let last = log.last().context("the log is empty")?;
    follower.tell(&last.offset.to_string()).await?;
    let result = follower.result().await?;
    let recovered: Vec<bool> = serde_json::from_value(result.get("recovered").cloned().unwrap_or_default())?;
    ensure!(recovered.len() >= 3, "two kills are at least three subscriptions, not {recovered:?}");
    ensure!(recovered.iter().all(|recovered| *recovered), "a position was lost: {recovered:?}");
    let (seen, log) =
        (strings(&result, "events")?, log.into_iter().map(|event| event.json).collect::<Vec<_>>());
    let differ = log.iter().zip(&seen).find(|(log, seen)| log != seen);
    ensure!(
        log == seen,
        "{} events in the log, {} seen; the first that differ: {differ:?}",
        log.len(),
        seen.len()
    );
    Ok(())
}

async fn post(api: &Api, number: usize) -> Answer {
    api.post(CONVERSATION, &format!("m-{number}"), &format!("number {number}: é \u{2028} 🍵 <b>")).await
}
