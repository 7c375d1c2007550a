//! WebSocket frames (RFC 6455, 5.2) from a server: whole and not masked.

use bytes::{BufMut, Bytes, BytesMut};

use super::Disconnect;

/// What a frame holds. The number is the first byte of one that is not fragmented.
#[derive(Debug, Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Text = 0x81,
    Binary = 0x82,
    Close = 0x88,
}

/// Of a frame: its kind, and its length in three ways.
const HEAD_LEN_MAX: usize = 10;

/// A frame of its own.
pub(super) fn of(kind: Kind, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    put(&mut frame, kind, payload);
    frame.freeze()
}

/// Adds a frame.
pub(super) fn put(out: &mut BytesMut, kind: Kind, payload: &[u8]) {
    out.reserve(HEAD_LEN_MAX + payload.len());
    out.put_u8(kind as u8);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len), _) if len < 126 => out.put_u8(len),
        (_, Ok(len)) => {
            out.put_u8(126);
            out.put_u16(len);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload.len() as u64);
        }
    }
    out.put_slice(payload);
}

/// The close frame.
pub(crate) fn close(why: Disconnect) -> Bytes {
    let mut payload = BytesMut::with_capacity(2 + why.reason.len());
    payload.put_u16(why.code);
    // A control frame has at most 125 bytes; reasons are checked to be shorter.
    payload.put_slice(why.reason.as_bytes());
    of(Kind::Close, &payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_at_their_limits() {
        for (len, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = vec![b'x'; len];
            assert_eq!(of(Kind::Text, &payload)[..], [header, payload].concat()[..]);
        }
    }

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        assert_eq!(&close(Disconnect::SHUTDOWN)[..], b"\x88\x0a\x0b\xb9shutdown");
    }
}
