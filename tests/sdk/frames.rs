//! The frames that a client sent, out of the bytes of its connection, and what is in them.

use std::io::Cursor;

use anyhow::Context;
use prost::Message;
use serde::{Deserialize, de::IgnoredAny};
use tokio_tungstenite::tungstenite::protocol::frame::{FrameHeader, coding::OpCode};

use crate::matrix::Form;

/// The end of the request that a connection begins with.
const REQUEST_END: &[u8] = b"\r\n\r\n";

/// The payloads of the whole data frames in what a client sent.
///
/// # Errors
/// It is not what a WebSocket client sends.
pub(crate) fn frames(sent: &[u8]) -> anyhow::Result<Vec<Vec<u8>>> {
    let end = sent.windows(REQUEST_END.len()).position(|window| window == REQUEST_END);
    let begin = end.context("no request")? + REQUEST_END.len();
    let mut rest = sent.get(begin..).unwrap_or_default();
    let mut frames = Vec::new();
    loop {
        let mut cursor = Cursor::new(rest);
        let Some((header, len)) = FrameHeader::parse(&mut cursor)? else { return Ok(frames) };
        let begin = usize::try_from(cursor.position())?;
        let end = begin + usize::try_from(len)?;
        let Some(payload) = rest.get(begin..end) else { return Ok(frames) };
        if let OpCode::Data(_) = header.opcode {
            let mask = header.mask.context("a frame without a mask")?;
            frames.push(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect());
        }
        rest = rest.get(end..).unwrap_or_default();
    }
}

/// How many commands of a frame ask to refresh.
///
/// # Errors
/// The frame is not in this form.
pub(crate) fn refreshes(form: Form, mut frame: &[u8]) -> anyhow::Result<usize> {
    #[derive(Deserialize)]
    struct Json {
        refresh: Option<IgnoredAny>,
    }
    #[derive(Message)]
    struct Protobuf {
        #[prost(message, optional, tag = "14")]
        refresh: Option<Anything>,
    }
    #[derive(Message)]
    struct Anything {}

    let mut count = 0;
    match form {
        Form::Json => {
            for command in serde_json::Deserializer::from_slice(frame).into_iter::<Json>() {
                count += usize::from(command?.refresh.is_some());
            }
        }
        Form::Protobuf => {
            while !frame.is_empty() {
                let command = Protobuf::decode_length_delimited(&mut frame)?;
                count += usize::from(command.refresh.is_some());
            }
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request, `{}` under a mask, a ping, and the beginning of another frame.
    const SENT: &[u8] =
        b"GET / HTTP/1.1\r\n\r\n\x81\x82\x01\x02\x03\x04\x7a\x7f\x89\x80\x01\x02\x03\x04\x81\x82\x01";

    #[test]
    fn whole_data_frames_are_found() {
        assert_eq!(frames(SENT).unwrap(), [b"{}"]);
        assert!(frames(b"nothing").is_err());
    }

    #[test]
    fn commands_that_refresh_are_counted_in_both_forms() {
        let json = b"{\"id\":1,\"refresh\":{\"token\":\"t\"}}\n{\"id\":2,\"rpc\":{}}\n{}";
        assert_eq!(refreshes(Form::Json, json).unwrap(), 1);
        // Id 1 with field 14; id 2 with field 13; an empty command.
        let protobuf = b"\x07\x08\x01\x72\x03\x0a\x01t\x04\x08\x02\x6a\x00\x00";
        assert_eq!(refreshes(Form::Protobuf, protobuf).unwrap(), 1);
    }
}
