//! A session: a small client of the real-time protocol that stays subscribed, whatever happens to the servers. When its node
//! is gone it goes on at the next one, from its position.
//!
//! It keeps every event that it was sent, in the order in which they came, and drops none: what the server sends
//! twice stands there twice.

use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::{
    api::EventLine,
    wait::SOON,
    wire::{self, ANSWER_WAIT, Publication, Reply, Socket, Subscribed},
};

/// Pause before the next connection.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Observer {
    seen: watch::Receiver<Seen>,
    wishes: watch::Sender<Wishes>,
    task: JoinHandle<()>,
}

/// What the test wants of a session.
#[derive(Debug, Default, Clone, Copy)]
struct Wishes {
    /// It reads nothing.
    paused: bool,
    /// How often it was told to go to another node.
    moves: usize,
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

/// A client that keeps its position.
struct Client {
    addresses: Vec<String>,
    /// Which connection this is.
    turn: usize,
    token: String,
    conversation: String,
    offset: u64,
    epoch: String,
    seen: watch::Sender<Seen>,
    wishes: watch::Receiver<Wishes>,
}

/// Whether a session goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Read,
    /// There is nothing more to come from this connection.
    Reconnect,
}

impl Observer {
    /// Subscribes to a conversation from its beginning.
    pub fn start(url: &str, token: &str, conversation: &str) -> Self {
        Self::roaming(&[url.to_owned()], token, conversation)
    }

    /// The same, at the first of several nodes; at the next one whenever its connection ends.
    pub fn roaming(urls: &[String], token: &str, conversation: &str) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let (wishes, heard) = watch::channel(Wishes::default());
        let client = Client {
            addresses: urls.iter().map(|url| wire::host_of(url)).collect(),
            turn: 0,
            token: token.to_owned(),
            conversation: conversation.to_owned(),
            offset: 0,
            epoch: String::new(),
            seen: sender,
            wishes: heard,
        };
        Self { seen, wishes, task: tokio::spawn(client.run()) }
    }

    /// From now on it reads nothing, or reads again.
    pub fn pause(&self, paused: bool) {
        self.wishes.send_modify(|wishes| wishes.paused = paused);
    }

    /// Lets it end its connection and go on at the next node.
    pub fn move_on(&self) {
        self.wishes.send_modify(|wishes| wishes.moves += 1);
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
        let deadline = Instant::now() + ANSWER_WAIT;
        let turn = self.turn % self.addresses.len();
        self.turn += 1;
        let address = self.addresses.get(turn).context("no address")?;
        let Ok(Some(mut socket)) = timeout(ANSWER_WAIT, wire::dial(address)).await else { return Ok(()) };
        let Self { conversation, offset, epoch, .. } = &*self;
        let subscribe = json!({"channel": conversation, "recover": true, "offset": offset, "epoch": epoch});
        let subscribe = json!({"id": 2, "subscribe": subscribe});
        let first = format!("{}\n{subscribe}", wire::connect(&self.token));
        if socket.send(Message::text(first)).await.is_err() {
            return Ok(());
        }
        let (before, moves) = (self.seen.borrow().subscribed, self.wishes.borrow().moves);
        loop {
            let Wishes { paused, moves: now } = *self.wishes.borrow_and_update();
            if now > moves {
                return Ok(());
            }
            let waits = !paused && self.seen.borrow().subscribed == before;
            tokio::select! {
                message = socket.next(), if !paused => {
                    let Some(Ok(message)) = message else { return Ok(()) };
                    let next = match message {
                        Message::Text(text) => self.take(&text, &mut socket).await?,
                        Message::Close(frame) => self.closed(frame)?,
                        _ => Next::Read,
                    };
                    if next == Next::Reconnect {
                        return Ok(());
                    }
                }
                changed = self.wishes.changed() => changed.context("the observer is gone")?,
                () = sleep_until(deadline), if waits => return Ok(()),
            }
        }
    }

    async fn take(&mut self, text: &str, socket: &mut Socket) -> anyhow::Result<Next> {
        for line in text.lines() {
            let reply: Reply = serde_json::from_str(line).with_context(|| format!("no reply: {line}"))?;
            if let Some(error) = reply.error {
                if error.temporary {
                    return Ok(Next::Reconnect);
                }
                bail!("command {} was refused: {error:?}", reply.id);
            } else if let Some(subscribed) = reply.subscribe {
                self.subscribed(subscribed)?;
            } else if let Some(push) = reply.push {
                match push.unsubscribe {
                    Some(end) if end.is_passing() => return Ok(Next::Reconnect),
                    Some(end) => bail!("the subscription ended for good: {} {}", end.code, end.reason),
                    None => push.r#pub.map_or(Ok(()), |publication| self.publication(&publication))?,
                }
            } else if reply.id == 0 {
                // A ping; an answer that does not go out shows at the next read.
                let _ = socket.send(Message::text("{}")).await;
            }
        }
        Ok(Next::Read)
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

    fn closed(&mut self, frame: Option<CloseFrame>) -> anyhow::Result<Next> {
        let Some(CloseFrame { code, reason }) = frame else { return Ok(Next::Read) };
        let (code, reason) = (u16::from(code), reason.to_string());
        if (3_500..4_000).contains(&code) {
            bail!("closed for good: {code} {reason}");
        }
        self.seen.send_modify(|seen| seen.closed = Some((code, reason)));
        Ok(Next::Read)
    }
}
