//! A client that costs little: one connection, one request at a time, written and read as bytes.
//!
//! It knows just as much of HTTP as the answers of a `tidings` need: a head, and a body with `content-length`.

use std::{io, os::fd::AsFd};

use anyhow::{Context, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Largest answer that is read, in bytes.
const ANSWER_LEN_MAX: usize = 1 << 20;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// See the module.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Connection {
    /// Connects to `HOST:PORT`.
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(address).await.with_context(|| format!("no connection to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4_096) })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.answer().await
    }

    /// Waits for the whole answer to a request that was sent.
    pub(crate) async fn answer(&mut self) -> anyhow::Result<Answer<'_>> {
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "the server closed the connection");
            ensure!(self.buffer.len() <= ANSWER_LEN_MAX, "the answer does not end");
            if is_whole(&self.buffer)? {
                break;
            }
        }
        let (status, _, body) = parts(&self.buffer)?.context("a whole answer has its parts")?;
        Ok(Answer { status, body })
    }

    /// Another hold on the connection, by which a thread that does not wait for answers can send requests.
    pub(crate) fn sender(&self) -> io::Result<std::net::TcpStream> {
        Ok(self.stream.as_fd().try_clone_to_owned()?.into())
    }
}

/// A request with this body.
pub(crate) fn request(method: &str, path: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn is_whole(bytes: &[u8]) -> anyhow::Result<bool> {
    Ok(parts(bytes)?.is_some_and(|(_, len, body)| body.len() >= len))
}

/// Status, length of the body, and as much of the body as there is; `None` before the head is whole.
fn parts(bytes: &[u8]) -> anyhow::Result<Option<(u16, usize, &[u8])>> {
    let Some(end) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
        return Ok(None);
    };
    let (head, rest) = bytes.split_at(end);
    let head = std::str::from_utf8(head).context("the head of the answer is no text")?;
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).context("an answer without a status")?;
    let len = lines.find_map(|line| line.strip_prefix("content-length: ")).map_or(Ok(0), str::parse)?;
    Ok(Some((status.parse()?, len, rest.get(HEAD_END.len()..).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let whole = b"HTTP/1.1 201 Created\r\ncontent-type: a/b\r\ncontent-length: 4\r\n\r\n{\"a\"";
        for len in 0..whole.len() {
            assert!(!is_whole(&whole[..len]).unwrap(), "{len}");
        }
        assert!(is_whole(whole).unwrap());
        assert_eq!(parts(whole).unwrap(), Some((201, 4, &b"{\"a\""[..])));
    }

    #[test]
    fn an_upgrade_has_no_body() {
        assert_eq!(parts(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap(), Some((101, 0, &b""[..])));
    }
}
