//! A session: a small client of the real-time protocol that stays subscribed, whatever happens to the server.
//!
//! It keeps every event that it was sent, in the order in which they came, and drops none: what the server sends
//! twice stands there twice.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, protocol::CloseFrame},
};

use crate::{api::EventLine, wait::SOON};

/// Pause before the next connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Observer {
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

/// What an observer knows.
#[derive(Debug, Default, Clone)]
pub struct Seen {
    /// The events, in the order in which they came.
    pub events: Vec<EventLine>,
    /// How often it was subscribed.
    pub subscribed: usize,
    /// The last close that a server sent: code and reason.
    pub closed: Option<(u16, String)>,
    /// Why it gave up; `None` while it goes on.
    pub trouble: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Reply {
    id: u32,
    error: Option<Box<RawValue>>,
    subscribe: Option<Subscribed>,
    push: Option<Push>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subscribed {
    epoch: String,
    offset: u64,
    recovered: bool,
    publications: Vec<Publication>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Push {
    r#pub: Option<Publication>,
}

#[derive(Deserialize)]
struct Publication {
    data: Box<RawValue>,
    offset: u64,
}

/// A client that keeps its position.
struct Client {
    address: String,
    token: String,
    conversation: String,
    offset: u64,
    epoch: String,
    seen: watch::Sender<Seen>,
}

impl Observer {
    /// Subscribes to a conversation from its beginning.
    pub fn start(url: &str, token: &str, conversation: &str) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let client = Client {
            address: url.trim_start_matches("http://").to_owned(),
            token: token.to_owned(),
            conversation: conversation.to_owned(),
            offset: 0,
            epoch: String::new(),
            seen: sender,
        };
        Self { seen, task: tokio::spawn(client.run()) }
    }

    /// What it knows now.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until `enough` holds for what was seen.
    ///
    /// # Errors
    /// It does not hold in time, or the observer had to give up.
    pub async fn until(&self, what: &str, mut enough: impl FnMut(&Seen) -> bool) -> anyhow::Result<Seen> {
        let mut watched = self.seen.clone();
        let wait = watched.wait_for(|seen| seen.trouble.is_some() || enough(seen));
        let Ok(seen) = timeout(SOON, wait).await else {
            let seen = self.seen.borrow();
            bail!(
                "waited in vain for {what}; seen {} events, last {:?}",
                seen.events.len(),
                seen.events.last()
            );
        };
        let seen = seen.context("the observer ended")?.clone();
        match &seen.trouble {
            Some(trouble) => bail!("the observer gave up: {trouble}"),
            None => Ok(seen),
        }
    }

    /// Waits until it was subscribed so many times.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn subscribed(&self, times: usize) -> anyhow::Result<Seen> {
        self.until("the subscription", |seen| seen.subscribed >= times).await
    }

    /// Waits until the event at `offset`, or a later one, was seen.
    ///
    /// # Errors
    /// As [`Self::until`].
    pub async fn reached(&self, offset: u64) -> anyhow::Result<Seen> {
        let reached = |seen: &Seen| seen.events.last().is_some_and(|event| event.offset >= offset);
        self.until(&format!("the event at {offset}"), reached).await
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Client {
    async fn run(mut self) {
        loop {
            match self.session().await {
                Ok(()) => sleep(RECONNECT_PAUSE).await,
                Err(error) => {
                    self.seen.send_modify(|seen| seen.trouble = Some(format!("{error:#}")));
                    return;
                }
            }
        }
    }

    /// One connection, from its beginning to its end. An error is one that a client must not meet.
    async fn session(&mut self) -> anyhow::Result<()> {
        let Ok(socket) = TcpStream::connect(&self.address).await else { return Ok(()) };
        let url = format!("ws://{}/connection/websocket", self.address);
        let Ok((mut socket, _)) = client_async(url, socket).await else { return Ok(()) };
        let connect = json!({"id": 1, "connect": {"token": self.token}});
        let Self { conversation, offset, epoch, .. } = &*self;
        let subscribe = json!({"channel": conversation, "recover": true, "offset": offset, "epoch": epoch});
        let subscribe = json!({"id": 2, "subscribe": subscribe});
        if socket.send(Message::text(format!("{connect}\n{subscribe}"))).await.is_err() {
            return Ok(());
        }
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Text(text) => self.take(&text, &mut socket).await?,
                Message::Close(frame) => self.closed(frame)?,
                _ => {}
            }
        }
        Ok(())
    }

    async fn take(&mut self, text: &str, socket: &mut WebSocketStream<TcpStream>) -> anyhow::Result<()> {
        for line in text.lines() {
            let reply: Reply = serde_json::from_str(line).with_context(|| format!("no reply: {line}"))?;
            if let Some(error) = reply.error {
                bail!("command {} was refused: {error}", reply.id);
            } else if let Some(subscribed) = reply.subscribe {
                self.subscribed(subscribed)?;
            } else if let Some(push) = reply.push {
                push.r#pub.map_or(Ok(()), |publication| self.publication(&publication))?;
            } else if reply.id == 0 {
                // A ping; an answer that does not go out shows at the next read.
                let _ = socket.send(Message::text("{}")).await;
            }
        }
        Ok(())
    }

    fn subscribed(&mut self, subscribed: Subscribed) -> anyhow::Result<()> {
        let Subscribed { epoch, offset, recovered, publications } = subscribed;
        if !recovered || !(self.epoch.is_empty() || self.epoch == epoch) {
            bail!("the position {} of epoch {:?} was lost: now {epoch:?}", self.offset, self.epoch);
        }
        self.epoch = epoch;
        for publication in &publications {
            self.publication(publication)?;
        }
        if publications.is_empty() {
            self.offset = offset;
        }
        self.seen.send_modify(|seen| seen.subscribed += 1);
        Ok(())
    }

    fn publication(&mut self, publication: &Publication) -> anyhow::Result<()> {
        let event = EventLine::read(publication.data.get())?;
        if event.offset != publication.offset {
            bail!("the event at {} was pushed with the offset {}", event.offset, publication.offset);
        }
        self.offset = event.offset;
        self.seen.send_modify(|seen| seen.events.push(event));
        Ok(())
    }

    fn closed(&mut self, frame: Option<CloseFrame>) -> anyhow::Result<()> {
        let Some(CloseFrame { code, reason }) = frame else { return Ok(()) };
        let (code, reason) = (u16::from(code), reason.to_string());
        if (3_500..4_000).contains(&code) {
            bail!("closed for good: {code} {reason}");
        }
        self.seen.send_modify(|seen| seen.closed = Some((code, reason)));
        Ok(())
    }
}
