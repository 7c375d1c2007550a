//! A session that costs its client little: frames are cut from the bytes, and nothing in them is parsed.

use std::time::Instant;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a server sends to see whether the session lives, and what it wants to hear.
const PING: &[u8] = b"{}";
const TEXT: u8 = 1;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Says that the length is in the next two bytes.
const LEN_IN_TWO: u8 = 0x7e;
/// A mask that changes nothing.
const MASK: [u8; 4] = [0; 4];
/// What is read at once, and what the buffer shrinks back to.
const READ_LEN: usize = 64 * 1_024;
/// Longest head of an answer to a handshake.
const HEAD_LEN_MAX: usize = 4 * 1_024;

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
        session.ask("connect", &json!({"token": token})).await?;
        Ok(session)
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
        let Subscribed { publications } = serde_json::from_value(self.ask("subscribe", &request).await?)?;
        Ok(publications.into_iter().map(|publication| publication.offset).collect())
    }

    async fn upgrade(&mut self) -> anyhow::Result<()> {
        let upgrade = "GET /connection/websocket HTTP/1.1\r\nhost: bench\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.stream.write_all(upgrade.as_bytes()).await?;
        let end = b"\r\n\r\n";
        let head = loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|bytes| bytes == end) {
                break self.buffer.drain(..at + end.len()).collect::<Vec<_>>();
            }
            ensure!(self.buffer.len() < HEAD_LEN_MAX, "the answer to the handshake does not end");
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
        };
        let status = String::from_utf8_lossy(&head);
        let status = status.lines().next().unwrap_or_default();
        ensure!(status.contains(" 101 "), "no session: {status}");
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
    async fn ask(&mut self, method: &str, request: &Value) -> anyhow::Result<Value> {
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
        let mut reply: Value = serde_json::from_slice(&reply)?;
        match reply.get_mut(method) {
            Some(result) => Ok(result.take()),
            None => bail!("{method} is refused: {}", reply.get("error").unwrap_or(&Value::Null)),
        }
    }

    async fn send(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = head(payload.len(), MASKED)?;
        frame.extend(MASK);
        frame.extend(payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Takes whole frames out of the buffer.
    fn take_frames(&mut self, mut take: impl FnMut(&[u8]) -> Taking) -> anyhow::Result<()> {
        let mut taken = 0;
        while let Some((opcode, payload, len)) = frame(self.buffer.get(taken..).unwrap_or_default()) {
            ensure!(
                opcode == TEXT,
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

/// The pushes in a payload.
pub fn pushes(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    payload.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"{\"push\""))
}

/// A frame as a server sends it.
///
/// # Errors
/// It is longer than 64 KiB.
pub fn text_frame(payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut frame = head(payload.len(), 0)?;
    frame.extend(payload);
    Ok(frame)
}

fn head(len: usize, masked: u8) -> anyhow::Result<Vec<u8>> {
    let mut head = vec![FINAL | TEXT];
    match u8::try_from(len) {
        Ok(len) if len < LEN_IN_TWO => head.push(masked | len),
        _ => {
            head.push(masked | LEN_IN_TWO);
            head.extend(u16::try_from(len).context("too long for one frame")?.to_be_bytes());
        }
    }
    Ok(head)
}

/// The first frame if it is whole: its type, what it carries, and its length.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk()?;
    let (len, rest) = match second {
        LEN_IN_TWO => {
            rest.split_first_chunk().map(|(len, rest)| (usize::from(u16::from_be_bytes(*len)), rest))?
        }
        127 => {
            let (len, rest) = rest.split_first_chunk()?;
            (usize::try_from(u64::from_be_bytes(*len)).ok()?, rest)
        }
        len => (usize::from(len), rest),
    };
    let payload = rest.get(..len)?;
    Some((first & 0x0f, payload, bytes.len() - rest.len() + len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_are_cut_where_they_end() {
        for len in [0_usize, 5, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![FINAL | TEXT];
            match len {
                0..126 => bytes.push(u8::try_from(len).unwrap()),
                126..65_536 => {
                    bytes.extend([126].into_iter().chain(u16::try_from(len).unwrap().to_be_bytes()));
                }
                _ => bytes.extend([127].into_iter().chain((len as u64).to_be_bytes())),
            }
            bytes.extend(vec![b'x'; len]);
            let whole = bytes.len();
            assert_eq!(frame(&bytes[..whole - 1]), None, "{len}");
            bytes.push(FINAL);
            let (opcode, payload, frame_len) = frame(&bytes).unwrap();
            assert_eq!((opcode, payload.len(), frame_len), (TEXT, len, whole));
        }
    }
}
