//! A session that sends commands, and no more: `rpc` over WebSocket, one after the other.

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    api::Answer,
    sent::Sent,
    wire::{self, ANSWER_WAIT, Reply, Socket},
};

/// One person's session, which moves to the next node when it breaks.
#[derive(Debug)]
pub struct Caller {
    addresses: Vec<String>,
    turn: usize,
    token: String,
    socket: Option<Socket>,
    last_id: u32,
}

impl Caller {
    /// Dials the first of the nodes at `urls` when there is something to send.
    pub fn new(urls: &[String], token: String) -> Self {
        let addresses = urls.iter().map(|url| wire::host_of(url)).collect();
        Self { addresses, turn: 0, token, socket: None, last_id: 1 }
    }

    /// Sends a command once.
    pub async fn send(&mut self, sent: &Sent) -> Answer {
        let answer = timeout(ANSWER_WAIT, self.ask(sent)).await;
        let answer = answer.context("no answer in time").and_then(|answer| answer);
        answer.unwrap_or_else(|error| {
            // The rest of the answer would pass for that of the next command.
            self.socket = None;
            self.turn += 1;
            Answer::Unknown(format!("{error:#}"))
        })
    }

    async fn ask(&mut self, sent: &Sent) -> anyhow::Result<Answer> {
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => {
                let turn = self.turn % self.addresses.len();
                let address = self.addresses.get(turn).context("no address")?;
                let mut socket = wire::dial(address).await.context("nobody is there")?;
                socket.send(Message::text(wire::connect(&self.token))).await?;
                none.insert(socket)
            }
        };
        self.last_id += 1;
        let (id, (method, data)) = (self.last_id, sent.rpc());
        let command = json!({"id": id, "rpc": {"method": method, "data": data}});
        socket.send(Message::text(command.to_string())).await?;
        loop {
            let Message::Text(text) = socket.next().await.context("the end")?? else { continue };
            for line in text.lines() {
                let reply: Reply = serde_json::from_str(line)?;
                if reply.id == id {
                    return answer(reply);
                } else if reply.id == 0 && reply.push.is_none() {
                    socket.send(Message::text("{}")).await?;
                }
            }
        }
    }
}

fn answer(reply: Reply) -> anyhow::Result<Answer> {
    Ok(match (reply.rpc, reply.error) {
        (Some(done), _) => Answer::Accepted(serde_json::from_str(done.data.get())?),
        (None, Some(error)) if error.temporary => Answer::Unknown(error.message),
        (None, Some(error)) => Answer::Refused(error.code, error.message),
        (None, None) => bail!("an answer that says nothing"),
    })
}
