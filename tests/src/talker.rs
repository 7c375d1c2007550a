//! A session that asks, and keeps what it is told in between: raw commands and pushes of the real-time protocol.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::wire::{self, ANSWER_WAIT, Socket};

/// See the module. Its connection ends with it.
#[derive(Debug)]
pub struct Talker {
    socket: Socket,
    last_id: u32,
    pushes: VecDeque<Value>,
}

impl Talker {
    /// Connects to the node at `url`.
    ///
    /// # Errors
    /// Nobody is there, or the token is refused.
    pub async fn connect(url: &str, token: &str) -> anyhow::Result<Self> {
        let socket = wire::dial(&wire::host_of(url)).await.context("nobody is there")?;
        let mut talker = Self { socket, last_id: 0, pushes: VecDeque::new() };
        talker.ask("connect", json!({"token": token})).await?;
        Ok(talker)
    }

    /// Sends a command and gives its result. What is pushed meanwhile waits for [`Self::push`].
    ///
    /// # Errors
    /// It is refused, or there is no answer in time.
    pub async fn ask(&mut self, method: &str, request: Value) -> anyhow::Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        self.socket.send(Message::text(json!({"id": id, method: request}).to_string())).await?;
        let answer = timeout(ANSWER_WAIT, self.answer(id)).await.context("no answer in time")??;
        ensure!(answer.get("error").is_none(), "{method} was refused: {answer}");
        answer.get(method).cloned().with_context(|| format!("no result of {method}: {answer}"))
    }

    /// Does something by `rpc`, and gives the data of the answer.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn rpc(&mut self, method: &str, data: Value) -> anyhow::Result<Value> {
        let result = self.ask("rpc", json!({"method": method, "data": data})).await?;
        result.get("data").cloned().context("no data")
    }

    /// Subscribes, and wants to know who comes and goes.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn subscribe(&mut self, conversation: &str) -> anyhow::Result<()> {
        self.ask("subscribe", json!({"channel": conversation, "join_leave": true})).await.map(drop)
    }

    /// The users who are present, in order.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn present(&mut self, conversation: &str) -> anyhow::Result<Vec<String>> {
        let result = self.ask("presence", json!({"channel": conversation})).await?;
        let sessions = result.get("presence").and_then(Value::as_object).context("no sessions")?;
        let user = |info: &Value| Some(info.get("user")?.as_str()?.to_owned());
        let mut users = sessions.values().map(user).collect::<Option<Vec<_>>>().context("no user")?;
        users.sort();
        Ok(users)
    }

    /// The next push that came, or comes within `wait`.
    ///
    /// # Errors
    /// The connection ends.
    pub async fn push(&mut self, wait: Duration) -> anyhow::Result<Option<Value>> {
        let came = async {
            loop {
                if let Some(push) = self.pushes.pop_front() {
                    return Ok(push);
                }
                // An answer that nobody waits for is none.
                self.read().await?;
            }
        };
        timeout(wait, came).await.ok().transpose()
    }

    async fn answer(&mut self, id: u32) -> anyhow::Result<Value> {
        loop {
            let answers = self.read().await?;
            if let Some(answer) = answers.into_iter().find(|answer| answer.get("id") == Some(&id.into())) {
                return Ok(answer);
            }
        }
    }

    /// Takes the next frame: keeps pushes, answers pings, and gives the rest.
    async fn read(&mut self) -> anyhow::Result<Vec<Value>> {
        let message = self.socket.next().await.context("the connection ended")??;
        ensure!(!message.is_close(), "closed: {message:?}");
        let Message::Text(text) = message else { return Ok(Vec::new()) };
        let mut answers = Vec::new();
        for line in text.lines() {
            let mut reply: Value = serde_json::from_str(line)?;
            if let Some(push) = reply.get_mut("push") {
                self.pushes.push_back(push.take());
            } else if reply.get("id").is_some() {
                answers.push(reply);
            } else {
                self.socket.send(Message::text("{}")).await?;
            }
        }
        Ok(answers)
    }
}
