//! WebSocket frames, cut from bytes and made: nothing in them is parsed.

use std::io::BufRead;
use std::iter::from_fn;

use anyhow::Context;

/// A frame that goes on with the message of the one before.
pub(super) const MORE: u8 = 0;
/// A frame that carries text, or the beginning of one.
pub(super) const TEXT: u8 = 1;
/// A frame that ends the connection.
pub(super) const CLOSE: u8 = 8;
/// A frame that wants the same back, as a [`PONG`].
pub(super) const PING: u8 = 9;
/// The answer to it.
pub(super) const PONG: u8 = 10;

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
/// Says that the length is in the next two bytes.
const LEN_IN_TWO: u8 = 0x7e;
/// A mask that changes nothing.
const MASK: [u8; 4] = [0; 4];
/// Longest head of an answer to a handshake.
const HEAD_LEN_MAX: usize = 4 * 1_024;

/// The pushes in a payload.
pub fn pushes(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    lines(payload).filter(|line| line.starts_with(b"{\"push\""))
}

/// The lines of a payload, without their ends.
pub fn lines(mut payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    from_fn(move || {
        let rest = payload;
        // Not a split at each byte that fits: this one looks at many bytes at a time.
        let len = payload.skip_until(b'\n').ok().filter(|len| *len > 0)?;
        let line = rest.get(..len)?;
        Some(line.strip_suffix(b"\n").unwrap_or(line))
    })
}

/// A frame as a server sends it.
///
/// # Errors
/// It is longer than 64 KiB.
pub fn text_frame(payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut frame = head(TEXT, payload.len(), 0)?;
    frame.extend(payload);
    Ok(frame)
}

/// A frame as a client sends it.
///
/// # Errors
/// It is longer than 64 KiB.
pub fn client_frame(payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    masked(TEXT, payload)
}

/// The same, of any type.
pub(super) fn masked(opcode: u8, payload: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut frame = head(opcode, payload.len(), MASKED)?;
    frame.extend(MASK);
    frame.extend(payload);
    Ok(frame)
}

fn head(opcode: u8, len: usize, masked: u8) -> anyhow::Result<Vec<u8>> {
    let mut head = vec![FINAL | opcode];
    match u8::try_from(len) {
        Ok(len) if len < LEN_IN_TWO => head.push(masked | len),
        _ => {
            head.push(masked | LEN_IN_TWO);
            head.extend(u16::try_from(len).context("too long for one frame")?.to_be_bytes());
        }
    }
    Ok(head)
}

/// A frame that was cut.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Its type.
    pub(super) opcode: u8,
    /// Whether the message ends with it.
    pub(super) is_last: bool,
    /// What it carries.
    pub(super) payload: &'a [u8],
    /// Its own length, with its head.
    pub(super) len: usize,
}

/// The first frame if it is whole.
pub(super) fn first(bytes: &[u8]) -> Option<Frame<'_>> {
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
    let len = bytes.len() - rest.len() + len;
    Some(Frame { opcode: first & 0x0f, is_last: first & FINAL != 0, payload, len })
}

/// Where the head of an answer to a handshake ends; `None`: not yet.
///
/// # Errors
/// It is no leave to go on with frames.
pub(super) fn upgraded(bytes: &[u8]) -> anyhow::Result<Option<usize>> {
    let end = b"\r\n\r\n";
    let Some(at) = bytes.windows(end.len()).position(|bytes| bytes == end) else {
        anyhow::ensure!(bytes.len() < HEAD_LEN_MAX, "the answer to the handshake does not end");
        return Ok(None);
    };
    let head = String::from_utf8_lossy(bytes.get(..at).unwrap_or_default());
    let status = head.lines().next().unwrap_or_default();
    anyhow::ensure!(status.contains(" 101 "), "no session: {status}");
    Ok(Some(at + end.len()))
}

/// A handshake that asks for a path.
pub fn upgrade(path: &str) -> Vec<u8> {
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nhost: bench\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    upgrade.into_bytes()
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
            assert_eq!(first(&bytes[..whole - 1]), None, "{len}");
            bytes.push(FINAL);
            let frame = first(&bytes).unwrap();
            assert_eq!((frame.opcode, frame.payload.len(), frame.len), (TEXT, len, whole));
        }
    }

    #[test]
    fn frames_that_are_made_are_cut_to_what_they_carry() {
        for payload in [&b""[..], b"{}", &[b'x'; 126], &vec![b'x'; 60_000]] {
            let frame = text_frame(payload).unwrap();
            let cut = Frame { opcode: TEXT, is_last: true, payload, len: frame.len() };
            assert_eq!(first(&frame), Some(cut));
            // Between head and payload stands the mask.
            assert_eq!(client_frame(payload).unwrap().len(), frame.len() + MASK.len());
        }
        assert!(text_frame(&vec![0; 65_536]).is_err());
    }

    #[test]
    fn pushes_are_the_lines_that_begin_as_such() {
        let payload = b"{\"push\":1}\n{\"id\":2,\"publish\":{}}\n{\"push\":3}\n{}\n{\"push\":4}";
        let found: Vec<_> = pushes(payload).collect();
        assert_eq!(found, [&b"{\"push\":1}"[..], b"{\"push\":3}", b"{\"push\":4}"]);
        assert_eq!(pushes(b"{}").count(), 0);
        assert_eq!(pushes(b"").count(), 0);
    }

    #[test]
    fn a_handshake_ends_where_its_head_does_and_only_with_101() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n\x81\x02{}";
        assert_eq!(upgraded(&answer[..20]).unwrap(), None);
        assert_eq!(upgraded(answer).unwrap(), Some(answer.len() - 4));
        let refused = upgraded(b"HTTP/1.1 403 Forbidden\r\n\r\n").unwrap_err().to_string();
        assert!(refused.contains("403"), "{refused}");
    }
}
