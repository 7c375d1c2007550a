//! What the server sends: replies and pushes, and the WebSocket frames around them.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use kernel::mirror::LiveEvent;
use schemas::Position;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Disconnect, ErrorCode, Unsubscribe};

/// A result, under the name of its command.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome<'a> {
    Connect(ConnectResult<'a>),
    Subscribe(SubscribeResult<'a>),
    Unsubscribe(Empty),
    Publish(Empty),
    Presence(PresenceResult),
    PresenceStats(PresenceStats),
    History(HistoryResult<'a>),
    Rpc(RpcResult),
    Refresh(RefreshResult<'a>),
    Error(ErrorBody<'a>),
}

#[derive(Debug, Serialize)]
pub(crate) struct Empty {}

#[derive(Debug, Serialize)]
pub(crate) struct ConnectResult<'a> {
    pub(crate) client: &'a str,
    pub(crate) version: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) expires: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) ttl: u32,
    pub(crate) ping: u32,
    pub(crate) pong: bool,
}

#[expect(clippy::struct_excessive_bools, reason = "the fields of the protocol")]
#[derive(Debug, Serialize)]
pub(crate) struct SubscribeResult<'a> {
    pub(crate) recoverable: bool,
    pub(crate) positioned: bool,
    pub(crate) epoch: &'a str,
    pub(crate) offset: Position,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) was_recovering: bool,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) recovered: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) publications: Vec<Publication<'a>>,
}

#[derive(Debug, Serialize)]
pub(crate) struct HistoryResult<'a> {
    pub(crate) publications: Vec<Publication<'a>>,
    pub(crate) epoch: &'a str,
    pub(crate) offset: Position,
}

/// An event as clients get it.
#[derive(Debug, Serialize)]
pub(crate) struct Publication<'a> {
    data: &'a RawValue,
    offset: Position,
}

impl<'a> Publication<'a> {
    pub(crate) fn new(event: &'a LiveEvent) -> Option<Self> {
        let json = std::str::from_utf8(event.json()).ok()?;
        // Borrowed, not copied; the event's JSON is ours, so it is valid.
        let data = serde_json::from_str(json).ok()?;
        Some(Self { data, offset: event.position })
    }
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientInfo {
    pub(crate) user: String,
    pub(crate) client: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct PresenceResult {
    pub(crate) presence: BTreeMap<String, ClientInfo>,
}

#[derive(Debug, Serialize)]
pub(crate) struct PresenceStats {
    pub(crate) num_clients: usize,
    pub(crate) num_users: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct RpcResult {
    pub(crate) data: Box<RawValue>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RefreshResult<'a> {
    pub(crate) client: &'a str,
    pub(crate) version: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) expires: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) ttl: u32,
}

#[derive(Debug, Serialize)]
pub(crate) struct ErrorBody<'a> {
    code: u32,
    message: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    temporary: bool,
}

impl<'a> ErrorBody<'a> {
    pub(crate) fn new(error: ErrorCode, message: &'a str) -> Self {
        Self { code: error.code, message, temporary: error.temporary }
    }
}

impl From<ErrorCode> for ErrorBody<'_> {
    fn from(error: ErrorCode) -> Self {
        Self::new(error, error.message)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct Reply<'a> {
    id: u32,
    #[serde(flatten)]
    outcome: &'a Outcome<'a>,
}

/// The frame of one reply.
pub(crate) fn reply(id: u32, outcome: &Outcome<'_>) -> Bytes {
    frame(&to_json(&Reply { id, outcome }))
}

/// The ping: an empty reply.
pub(crate) fn ping() -> Bytes {
    Bytes::from_static(&[FIN_TEXT, 2, b'{', b'}'])
}

/// A frame that tells of somebody who came (`join`) or went.
pub(crate) fn signal(channel: &str, join: bool, info: &ClientInfo) -> Bytes {
    let name = if join { "join" } else { "leave" };
    let push = serde_json::json!({"push": {"channel": channel, name: {"info": info}}});
    frame(&to_json(&push))
}

/// A frame that ends a subscription.
pub(crate) fn unsubscribe(channel: &str, why: Unsubscribe) -> Bytes {
    let body = serde_json::json!({"code": why.code, "reason": why.reason});
    frame(&to_json(&serde_json::json!({"push": {"channel": channel, "unsubscribe": body}})))
}

/// The frames of some events of one conversation: as many to a frame as fit. Clients stop at frames of 1 MiB.
pub(crate) fn publications<'a>(channel: &str, events: impl IntoIterator<Item = &'a LiveEvent>) -> Bytes {
    let mut frames = BytesMut::new();
    let mut payload = Vec::new();
    for event in events {
        // A conversation id needs no escaping in JSON, and the event's JSON stands ready.
        let json = event.json();
        if !payload.is_empty() && payload.len() + json.len() > FRAME_LEN_AIM {
            put_frame(&mut frames, &payload);
            payload.clear();
        }
        if !payload.is_empty() {
            payload.push(b'\n');
        }
        payload.extend_from_slice(b"{\"push\":{\"channel\":\"");
        payload.extend_from_slice(channel.as_bytes());
        payload.extend_from_slice(b"\",\"pub\":{\"data\":");
        payload.extend_from_slice(json);
        payload.extend_from_slice(b",\"offset\":");
        payload.extend_from_slice(event.position.to_string().as_bytes());
        payload.extend_from_slice(b"}}}");
    }
    if !payload.is_empty() {
        put_frame(&mut frames, &payload);
    }
    frames.freeze()
}

/// The close frame.
pub(crate) fn close(why: Disconnect) -> Bytes {
    let reason = why.reason.as_bytes();
    let mut frame = BytesMut::with_capacity(4 + reason.len());
    frame.put_u8(FIN_CLOSE);
    // A control frame has at most 125 bytes; reasons are checked to be shorter.
    frame.put_u8(u8::try_from(2 + reason.len()).unwrap_or(125));
    frame.put_u16(why.code);
    frame.put_slice(reason);
    frame.freeze()
}

/// A message that grows beyond this goes out, and the next begins.
const FRAME_LEN_AIM: usize = 64 * 1_024;
/// The first byte of an unfragmented text frame (RFC 6455, 5.2).
const FIN_TEXT: u8 = 0x81;
/// The same of a close frame.
const FIN_CLOSE: u8 = 0x88;

fn to_json(message: &impl Serialize) -> Vec<u8> {
    // Plain structs with string keys: nothing that JSON cannot write.
    serde_json::to_vec(message).unwrap_or_default()
}

fn frame(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    put_frame(&mut frame, payload);
    frame.freeze()
}

/// A text frame from a server: not masked.
fn put_frame(out: &mut BytesMut, payload: &[u8]) {
    out.put_u8(FIN_TEXT);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::{ChatEvent, Offset, Partition, Timestamp, event::MessagePosted};

    use super::*;

    fn event(offset: u64, text: &str) -> LiveEvent {
        let body = MessagePosted {
            text: text.parse().unwrap(),
            style: schemas::event::Style::Plain,
            reply_to: None,
        };
        let event = ChatEvent {
            event_id: "m-1".parse().unwrap(),
            conversation: "tea".parse().unwrap(),
            actor: "ann".parse().unwrap(),
            occurred_at: Timestamp::from_millis(0),
            body: body.into(),
        };
        LiveEvent::new(Partition(0), Offset::new(offset), Timestamp::from_millis(0), Arc::new(event), 0)
    }

    /// The payloads of some frames.
    fn payloads(mut bytes: &[u8]) -> Vec<String> {
        let mut payloads = Vec::new();
        while let [FIN_TEXT, len, rest @ ..] = bytes {
            let (len, rest) = match len {
                126 => (u16::from_be_bytes(rest[..2].try_into().unwrap()) as usize, &rest[2..]),
                127 => {
                    let len = u64::from_be_bytes(rest[..8].try_into().unwrap());
                    (usize::try_from(len).unwrap(), &rest[8..])
                }
                len => (*len as usize, rest),
            };
            payloads.push(String::from_utf8(rest[..len].to_vec()).unwrap());
            bytes = &rest[len..];
        }
        assert!(bytes.is_empty());
        payloads
    }

    #[test]
    fn an_empty_result_is_there() {
        assert_eq!(payloads(&reply(7, &Outcome::Publish(Empty {}))), [r#"{"id":7,"publish":{}}"#]);
    }

    #[test]
    fn an_error_says_whether_to_try_again() {
        let error = reply(7, &Outcome::Error(ErrorCode::INTERNAL.into()));
        let expected = r#"{"id":7,"error":{"code":100,"message":"internal server error","temporary":true}}"#;
        assert_eq!(payloads(&error), [expected]);
    }

    #[test]
    fn events_of_one_batch_share_frames_of_bounded_length() {
        let events: Vec<_> = (0..10).map(|n| event(n, &"x".repeat(16_000))).collect();
        let frames = payloads(&publications("tea", &events));
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| frame.len() < 2 * FRAME_LEN_AIM));
        let pushes: Vec<serde_json::Value> =
            frames.iter().flat_map(|frame| frame.lines().map(|l| serde_json::from_str(l).unwrap())).collect();
        let offsets: Vec<_> = pushes.iter().map(|p| p["push"]["pub"]["offset"].as_u64().unwrap()).collect();
        assert_eq!(offsets, (1..=10).collect::<Vec<_>>());
        assert_eq!(pushes[0]["push"]["channel"], "tea");
        assert_eq!(pushes[0]["push"]["pub"]["data"]["type"], "MessagePosted");
    }

    #[test]
    fn frame_headers_at_their_limits() {
        for len in [0, 125, 126, 65_535, 65_536] {
            let text = "x".repeat(len);
            assert_eq!(payloads(&frame(text.as_bytes())), [text]);
        }
    }

    #[test]
    fn a_close_frame_carries_code_and_reason() {
        assert_eq!(&close(Disconnect::SHUTDOWN)[..], b"\x88\x0a\x0b\xb9shutdown");
    }
}
