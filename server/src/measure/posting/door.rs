//! How one posts: over HTTP, or over a session.

use std::{
    fmt,
    io::{Read, Write},
    net::TcpStream,
};

use anyhow::{Context, ensure};
use serde_json::json;

use crate::measure::{
    Channels, Dialect, Step, Until,
    frame::{self, Frame},
};

/// Longest head of an answer.
const HEAD_LEN_MAX: usize = 8 * 1_024;
const HEAD_END: &[u8] = b"\r\n\r\n";

/// See the module.
pub trait Door: fmt::Debug + Send + Sync {
    /// Says what has to be said before the first message, and hears the answers. `number` tells connections from each other.
    ///
    /// # Errors
    /// The server refuses.
    fn come_in(&self, stream: &mut TcpStream, number: u64) -> anyhow::Result<()>;

    /// The bytes that post a text; `turn` rises over the messages of a connection, and `number` is that of no other message.
    ///
    /// # Errors
    /// The text is too long.
    fn post(&self, turn: u64, number: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>>;

    /// What stands first in these bytes, if it is whole.
    ///
    /// # Errors
    /// It says that a message was not accepted, or it is no answer.
    fn cut(&self, bytes: &[u8]) -> anyhow::Result<Option<Cut>>;
}

/// What was cut.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut {
    /// Its bytes.
    pub len: usize,
    /// Whether it says that a message was accepted.
    pub accepted: bool,
    /// What there is to say to it.
    pub says: &'static [u8],
}

/// Requests on a connection that is kept.
pub struct OverHttp {
    token: String,
}

/// `publish` over a session.
#[derive(Debug)]
pub struct OverSession(Channels);

impl OverHttp {
    /// With the token of who posts.
    pub fn with_token(token: String) -> Self {
        Self { token }
    }
}

impl OverSession {
    /// As the owner of what is imported.
    pub fn new(channels: Channels) -> Self {
        Self(channels)
    }
}

impl fmt::Debug for OverHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OverHttp").finish_non_exhaustive()
    }
}

impl Door for OverHttp {
    fn come_in(&self, _: &mut TcpStream, _: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn post(&self, _: u64, number: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        let body = json!({"client_message_id": format!("b-{number}"), "text": text}).to_string();
        let (token, len) = (&self.token, body.len());
        let request = format!(
            "POST /v1/conversations/{conversation}/messages HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
             content-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
        );
        Ok(request.into_bytes())
    }

    fn cut(&self, bytes: &[u8]) -> anyhow::Result<Option<Cut>> {
        let Some(at) = bytes.windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END) else {
            ensure!(bytes.len() < HEAD_LEN_MAX, "the head of an answer does not end");
            return Ok(None);
        };
        let head = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default());
        let mut lines = head.lines();
        let status = lines.next().unwrap_or_default();
        let length = lines.filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        let len = at + HEAD_END.len() + length.context("an answer that does not say how long it is")??;
        let Some(answer) = bytes.get(..len) else { return Ok(None) };
        let accepted = status.split(' ').nth(1).is_some_and(|code| code.starts_with('2'));
        ensure!(accepted, "a message is not accepted: {}", String::from_utf8_lossy(answer));
        Ok(Some(Cut { len, accepted, says: b"" }))
    }
}

impl Door for OverSession {
    fn come_in(&self, stream: &mut TcpStream, number: u64) -> anyhow::Result<()> {
        let steps = self.0.publishing(number, "")?.context("whoever publishes is told")?;
        let mut heard = Vec::new();
        for Step { says, until } in steps {
            stream.write_all(&says)?;
            loop {
                let len = match &until {
                    Until::Upgraded => frame::upgraded(&heard)?,
                    Until::Begins(begins) => frame::first(&heard)
                        .map(|Frame { payload, len, .. }| {
                            let text = String::from_utf8_lossy(payload);
                            ensure!(payload.starts_with(begins.as_bytes()), "the server refused: {text}");
                            anyhow::Ok(len)
                        })
                        .transpose()?,
                };
                if let Some(len) = len {
                    heard.drain(..len);
                    break;
                }
                let mut more = [0; 1_024];
                let len = stream.read(&mut more)?;
                ensure!(len > 0, "the server closed a session");
                heard.extend(more.get(..len).unwrap_or_default());
            }
        }
        Ok(())
    }

    fn post(&self, turn: u64, _: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        self.0.publish(turn, conversation, text)
    }

    fn cut(&self, bytes: &[u8]) -> anyhow::Result<Option<Cut>> {
        let Some(Frame { opcode, payload, len, .. }) = frame::first(bytes) else { return Ok(None) };
        let text = String::from_utf8_lossy(payload);
        ensure!(opcode == frame::TEXT, "the server sent a frame of type {opcode}: {text}");
        ensure!(!self.0.is_refusal(payload), "a message is not accepted: {text}");
        Ok(Some(match self.0.pong(payload) {
            Some(_) => Cut { len, accepted: false, says: PONG },
            None => Cut { len, accepted: true, says: b"" },
        }))
    }
}

/// A frame that says what a ping wants to hear.
const PONG: &[u8] = b"\x81\x82\0\0\0\0{}";

#[cfg(test)]
mod tests {
    use kernel::identity::TokenKey;

    use super::*;
    use crate::measure::frame::{client_frame, text_frame};

    #[test]
    fn an_answer_over_http_is_cut_where_it_ends() {
        let door = OverHttp::with_token("t".to_owned());
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{\"a\":1}HTTP/1.1 2";
        let len = answer.len() - 10;
        for part in [10, len - 8, len - 1] {
            assert_eq!(door.cut(&answer[..part]).unwrap(), None, "{part}");
        }
        assert_eq!(door.cut(answer).unwrap(), Some(Cut { len, accepted: true, says: b"" }));
        let refused = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope";
        assert!(door.cut(refused).unwrap_err().to_string().contains("nope"));
        assert!(door.cut(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }

    #[test]
    fn an_answer_over_a_session_is_a_reply_and_no_ping() {
        let door = OverSession::new(Channels::with_tokens(TokenKey::new(&[7; 32])));
        let reply = text_frame(b"{\"id\":3,\"publish\":{}}").unwrap();
        let cut = Cut { len: reply.len(), accepted: true, says: b"" };
        assert_eq!(door.cut(&[&reply[..], b"\x81"].concat()).unwrap(), Some(cut));
        assert_eq!(door.cut(&reply[..reply.len() - 1]).unwrap(), None);
        let ping = door.cut(&text_frame(b"{}").unwrap()).unwrap().unwrap();
        assert!(!ping.accepted);
        assert_eq!(ping.says, client_frame(b"{}").unwrap());
        assert!(door.cut(&text_frame(b"{\"id\":3,\"error\":{\"code\":103}}").unwrap()).is_err());
    }
}
