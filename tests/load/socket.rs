//! A session that costs little: frames are cut from the bytes, and of an event only its id is looked for.

use std::time::Instant;

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{http::Connection, message};

/// What a server sends to see whether the session lives, and what it wants to hear.
const PING: &[u8] = b"{}";
const TEXT: u8 = 1;
const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Says that the length is in the next two bytes.
const LEN_IN_TWO: u8 = 0x7e;
/// A mask that changes nothing.
const MASK: [u8; 4] = [0; 4];

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Session {
    /// Connects to `HOST:PORT`, and subscribes to a conversation from now on.
    pub(crate) async fn subscribe(address: &str, token: &str, conversation: &str) -> anyhow::Result<Self> {
        let mut connection = Connection::open(address).await?;
        let upgrade = "GET /connection/websocket HTTP/1.1\r\nhost: bench\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                       sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        let status = connection.call(upgrade.as_bytes()).await?.status;
        ensure!(status == 101, "no session: status {status}");
        let mut session = Self { stream: connection.into_stream(), buffer: Vec::with_capacity(16 * 1_024) };
        session.ask(&format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#), r#"{"id":1,"#).await?;
        let subscribe = format!(r#"{{"id":2,"subscribe":{{"channel":"{conversation}"}}}}"#);
        session.ask(&subscribe, r#"{"id":2,"#).await?;
        Ok(session)
    }

    /// Connects to a [bare relay](crate::bare::Bare::relay).
    pub(crate) async fn bare(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 * 1_024) })
    }

    /// Reads until something came, and tells of each message in it. Goes on until the connection ends or fails.
    pub(crate) async fn next(&mut self, mut seen: impl FnMut(u64, Instant)) -> anyhow::Result<()> {
        ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the session");
        let now = Instant::now();
        let mut pings = 0;
        self.take_frames(|payload| {
            message::numbers(payload, |number| seen(number, now));
            pings += usize::from(payload == PING);
        })?;
        for _ in 0..pings {
            self.send(PING).await?;
        }
        Ok(())
    }

    /// Sends a command and waits for its reply, which begins in this way.
    async fn ask(&mut self, command: &str, begins: &str) -> anyhow::Result<()> {
        self.send(command.as_bytes()).await?;
        let mut reply = None;
        while reply.is_none() {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the session");
            self.take_frames(|payload| {
                let text = String::from_utf8_lossy(payload);
                reply =
                    text.lines().find(|line| line.starts_with(begins)).map(str::to_owned).or(reply.take());
            })?;
        }
        match reply {
            Some(reply) if reply.contains("\"error\"") => bail!("the session is refused: {reply}"),
            _ => Ok(()),
        }
    }

    async fn send(&mut self, payload: &[u8]) -> anyhow::Result<()> {
        let mut frame = head(payload.len(), MASKED)?;
        frame.extend(MASK);
        frame.extend(payload);
        Ok(self.stream.write_all(&frame).await?)
    }

    /// Takes all whole frames out of the buffer.
    fn take_frames(&mut self, mut take: impl FnMut(&[u8])) -> anyhow::Result<()> {
        let mut taken = 0;
        while let Some((opcode, payload, len)) = frame(self.buffer.get(taken..).unwrap_or_default()) {
            ensure!(
                opcode == TEXT,
                "the server sent a frame of type {opcode}: {}",
                String::from_utf8_lossy(payload)
            );
            take(payload);
            taken += len;
        }
        self.buffer.drain(..taken);
        Ok(())
    }
}

/// A frame as a server sends it.
pub(crate) fn text_frame(payload: &[u8]) -> anyhow::Result<Vec<u8>> {
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
