//! A session that costs its client little: frames are cut from the bytes, and nothing in them is parsed.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use anyhow::{Context, bail, ensure};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::{Value, json, value::RawValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Lines,
    frame::{self, Frame},
};

/// What a server sends to see whether the session lives, and what it wants to hear.
const PING: &[u8] = b"{}";
/// What is read at once, and what the buffer shrinks back to.
const READ_LEN: usize = 64 * 1_024;

/// See the module.
#[derive(Debug)]
pub struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
    commands: u32,
}

impl Session {
    /// Connects to `HOST:PORT` with a token.
    ///
    /// # Errors
    /// Nobody listens there, or the session is refused.
    pub async fn connect(address: &str, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("no way to {address}"))?;
        stream.set_nodelay(true)?;
        let mut session = Self::over(stream);
        session.upgrade().await?;
        let _: IgnoredAny = session.ask("connect", &json!({"token": token})).await?;
        Ok(session)
    }

    /// Comes back to the [floor](super::Floor), which sends so many frames at once. There is no handshake, and no token.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn at_the_floor(address: SocketAddr, frames: u64) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).await.context("no way to the floor")?;
        stream.set_nodelay(true)?;
        stream.write_all(&Lines::again(frames, "floor")).await?;
        Ok(Self::over(stream))
    }

    /// A session on a connection over which nothing but frames goes.
    pub fn over(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(READ_LEN), commands: 0 }
    }

    /// Subscribes to a conversation, from now on or from a position (offset and epoch); gives the offsets of the events that
    /// come with the reply. Of other
    /// conversations nothing must be awaited: it is lost.
    ///
    /// # Errors
    /// The server refuses, or ends the session.
    pub async fn subscribe(
        &mut self,
        conversation: &str,
        from: Option<(u64, &str)>,
    ) -> anyhow::Result<Vec<u64>> {
        #[derive(Deserialize)]
        struct Subscribed {
            #[serde(default)]
            publications: Vec<Publication>,
        }
        #[derive(Deserialize)]
        struct Publication {
            offset: u64,
        }
        let mut request = json!({"channel": conversation});
        if let Some((offset, epoch)) = from {
            request = json!({"channel": conversation, "recover": true, "offset": offset, "epoch": epoch});
        }
        let Subscribed { publications } = self.ask("subscribe", &request).await?;
        Ok(publications.into_iter().map(|publication| publication.offset).collect())
    }

    async fn upgrade(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&frame::upgrade("/connection/websocket")).await?;
        let head_len = loop {
            if let Some(len) = frame::upgraded(&self.buffer)? {
                break len;
            }
            self.read().await?;
        };
        self.buffer.drain(..head_len);
        Ok(())
    }

    /// Reads until something came, and shows the payload of each frame in it, with the time. Goes on until the connection ends
    /// or fails.
    ///
    /// # Errors
    /// It did, or the server sent something else than text.
    pub async fn next(&mut self, mut seen: impl FnMut(&[u8], Instant)) -> anyhow::Result<()> {
        let (mut pings, mut frames) = (0, 0);
        while frames == 0 {
            let now = Instant::now();
            self.take_frames(|payload| {
                seen(payload, now);
                pings += usize::from(payload == PING);
                frames += 1;
                Taking::On
            })?;
            if frames == 0 {
                self.read().await?;
            }
        }
        for _ in 0..pings {
            self.send(PING).await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(READ_LEN);
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the session");
        Ok(())
    }

    /// Sends a command and waits for its result.
    async fn ask<R: DeserializeOwned>(&mut self, method: &str, request: &Value) -> anyhow::Result<R> {
        self.commands += 1;
        let id = self.commands;
        self.send(json!({"id": id, method: request}).to_string().as_bytes()).await?;
        let begins = format!("{{\"id\":{id},");
        let mut reply = None;
        let reply = loop {
            self.take_frames(|payload| {
                let is_reply = payload.starts_with(begins.as_bytes());
                reply = is_reply.then(|| payload.to_vec());
                if is_reply { Taking::Enough } else { Taking::On }
            })?;
            match reply {
                Some(reply) => break reply,
                None => self.read().await?,
            }
        };
        // A page of events may be in it, of which only the fields that are asked for are looked at.
        let reply: HashMap<&str, &RawValue> = serde_json::from_slice(&reply)?;
        match (reply.get(method), reply.get("error")) {
            (Some(result), _) => Ok(serde_json::from_str(result.get())?),
            (None, Some(error)) => bail!("{method} is refused: {error}"),
            (None, None) => bail!("{method} is not answered"),
        }
    }

    async fn send(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        Ok(self.stream.write_all(&frame::client_frame(payload)?).await?)
    }

    /// Takes whole frames out of the buffer.
    fn take_frames(&mut self, mut take: impl FnMut(&[u8]) -> Taking) -> anyhow::Result<()> {
        let mut taken = 0;
        while let Some(Frame { opcode, payload, len, .. }) =
            frame::first(self.buffer.get(taken..).unwrap_or_default())
        {
            ensure!(
                opcode == frame::TEXT,
                "the server sent a frame of type {opcode}: {}",
                String::from_utf8_lossy(payload)
            );
            taken += len;
            if let Taking::Enough = take(payload) {
                break;
            }
        }
        self.buffer.drain(..taken);
        Ok(())
    }
}

/// Whether the next frame is wanted too.
enum Taking {
    On,
    Enough,
}
