//! Stands between a session and its node, and has one bug, which strikes once. Everything else goes through byte for byte.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async, tungstenite::Message};

/// What a server might do wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// The first event after the client's position is left out of the answer to a resume.
    SkipAtResume,
    /// The last event of the answer to a resume is sent again.
    DoubleAtResume,
    /// A live event is left out.
    SkipLive,
    /// A live event is sent twice.
    DoubleLive,
    /// Two live events are sent the wrong way round.
    SwapLive,
}

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    url: String,
    struck: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

/// What one connection needs.
#[derive(Debug, Clone)]
struct Doctor {
    bug: Option<Bug>,
    struck: Arc<AtomicBool>,
    /// A later connection is one that resumes.
    resumes: bool,
    /// Held back, to be sent after the next one.
    held: Option<String>,
}

type Fields = BTreeMap<String, Box<RawValue>>;

impl Proxy {
    /// Listens for sessions of the node at `url`.
    pub(crate) async fn start(url: String, bug: Option<Bug>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let struck = Arc::new(AtomicBool::new(false));
        let node = url.trim_start_matches("http://").to_owned();
        let doctor = Doctor { bug, struck: Arc::clone(&struck), resumes: false, held: None };
        let task = tokio::spawn(accept(listener, node, doctor));
        Ok(Self { url: format!("http://{address}"), struck, task })
    }

    /// Where sessions connect.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    /// Whether the bug has struck.
    pub(crate) fn struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, node: String, doctor: Doctor) {
    let (count, mut connections) = (AtomicUsize::new(0), JoinSet::new());
    while let Ok((client, _)) = listener.accept().await {
        let resumes = count.fetch_add(1, Ordering::SeqCst) > 0;
        let (node, doctor) = (node.clone(), Doctor { resumes, ..doctor.clone() });
        connections.spawn(async move {
            // Whatever ends it, the client comes back.
            let _ = pass(client, &node, doctor).await;
        });
    }
}

async fn pass(client: TcpStream, node: &str, mut doctor: Doctor) -> anyhow::Result<()> {
    let mut client: WebSocketStream<TcpStream> = accept_async(client).await?;
    let socket = TcpStream::connect(node).await?;
    let (mut server, _) = client_async(format!("ws://{node}/connection/websocket"), socket).await?;
    loop {
        tokio::select! {
            message = client.next() => match message {
                Some(message) => server.send(message?).await?,
                None => return Ok(()),
            },
            message = server.next() => match message {
                Some(Ok(Message::Text(text))) => {
                    let text = doctor.treat(&text)?;
                    if !text.is_empty() {
                        client.send(Message::text(text)).await?;
                    }
                }
                Some(message) => client.send(message?).await?,
                None => return Ok(()),
            },
        }
    }
}

impl Doctor {
    /// What the client gets instead of `text`.
    fn treat(&mut self, text: &str) -> anyhow::Result<String> {
        let mut lines = Vec::new();
        for line in text.lines() {
            let is_event = line.starts_with(r#"{"push""#) && line.contains(r#""pub""#);
            match self.bug.filter(|_| !self.struck.load(Ordering::SeqCst)) {
                Some(Bug::SkipAtResume | Bug::DoubleAtResume) if self.resumes && !is_event => {
                    lines.push(self.treat_reply(line)?);
                }
                Some(Bug::SkipLive) if is_event => self.strike(),
                Some(Bug::DoubleLive) if is_event => {
                    self.strike();
                    lines.extend([line.to_owned(), line.to_owned()]);
                }
                Some(Bug::SwapLive) if is_event => match self.held.take() {
                    Some(held) => {
                        self.strike();
                        lines.extend([line.to_owned(), held]);
                    }
                    None => self.held = Some(line.to_owned()),
                },
                _ => lines.push(line.to_owned()),
            }
        }
        Ok(lines.join("\n"))
    }

    /// The same for an answer, which may be one to a resume.
    fn treat_reply(&self, line: &str) -> anyhow::Result<String> {
        let mut reply: Fields = serde_json::from_str(line)?;
        let Some(subscribe) = reply.get_mut("subscribe") else { return Ok(line.to_owned()) };
        let mut fields: Fields = serde_json::from_str(subscribe.get())?;
        let Some(publications) = fields.get_mut("publications") else { return Ok(line.to_owned()) };
        let mut events: Vec<Box<RawValue>> = serde_json::from_str(publications.get())?;
        // One that is left out must not be the only one, or the client would not move on.
        if events.len() < 2 {
            return Ok(line.to_owned());
        }
        self.strike();
        if self.bug == Some(Bug::SkipAtResume) {
            events.remove(0);
        } else {
            events.extend(events.last().cloned());
        }
        *publications = serde_json::value::to_raw_value(&events)?;
        *subscribe = serde_json::value::to_raw_value(&fields)?;
        Ok(serde_json::to_string(&reply)?)
    }

    fn strike(&self) {
        self.struck.store(true, Ordering::SeqCst);
    }
}
