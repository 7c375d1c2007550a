//! What a script finds: a server with one conversation, and somebody to ask for what.

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Api, Server, tools::Script};

use crate::steps::Done;

/// See the module.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) server: Server,
    pub(crate) ann: Api,
    settings: Vec<(&'static str, String)>,
}

/// The conversation. What is done in it first is that it is created.
pub(crate) const CONVERSATION: &str = "tea";
/// How long a token lasts that a script asks for, in seconds.
const TOKEN_LIFE_S: i64 = 3;

impl Stage {
    pub(crate) async fn set() -> anyhow::Result<Self> {
        let server = Server::start().await?;
        let ann = server.api("ann").await?;
        let created = ann.create(CONVERSATION).await?;
        let settings = vec![
            ("ANN_TOKEN", ann.token().to_owned()),
            ("BOB_TOKEN", server.token("bob").await?),
            ("EXPIRED_TOKEN", server.expired_token("ann")?),
            ("CONVERSATION", CONVERSATION.to_owned()),
            ("EPOCH", created.epoch),
        ];
        Ok(Self { server, ann, settings })
    }

    /// What a script must know.
    pub(crate) fn settings(&self) -> Vec<(&str, &str)> {
        self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    /// The events of the log, each as its line.
    pub(crate) async fn log(&self) -> anyhow::Result<Vec<String>> {
        Ok(self.ann.events(CONVERSATION).await?.into_iter().map(|event| event.json).collect())
    }

    /// Listens to a script to its end: notes its steps, and hands it a token when it asks for one. Gives its result.
    pub(crate) async fn listen(&self, mut script: Script, done: &mut Done) -> anyhow::Result<Value> {
        while let Some(line) = script.line().await? {
            if let Some(step) = line.strip_prefix("step ") {
                done.add(step)?;
            } else if line == "token" {
                script.tell(&self.server.short_token("ann", TOKEN_LIFE_S)?).await?;
            }
        }
        script.result().await
    }
}

/// What somebody was sent, whose lines are in a field of the result, is the log: each byte, in order, once.
///
/// # Errors
/// It is not.
pub(crate) fn ensure_sent(result: &Value, field: &str, log: &[String]) -> anyhow::Result<()> {
    let value = result.get(field).with_context(|| format!("no {field} in the result"))?;
    let sent: Vec<String> = serde_json::from_value(value.clone())?;
    let differ = log.iter().zip(&sent).find(|(log, sent)| log != sent);
    ensure!(
        log == sent,
        "{field}: {} events in the log, {} sent; the first that differ: {differ:#?}",
        log.len(),
        sent.len()
    );
    Ok(())
}
