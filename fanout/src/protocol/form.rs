//! How messages stand on the wire: which form a session speaks, frames to commands, replies to frames.

#[cfg(test)]
mod tests;

use std::{cell::OnceCell, mem};

use bytes::{Buf, Bytes, BytesMut};
use kernel::mirror::LiveEvent;
use prost::Message;
use schemas::{ConversationId, Epoch};

use super::{
    Command, Push, Reply, event_stream,
    frame::{self, Kind},
};

/// A message that grows beyond this goes out, and the next begins: clients stop at frames of 1 MiB.
const FRAME_LEN_AIM: usize = 64 * 1_024;
/// Most commands in one frame: as many as a session may have subscriptions, which clients renew all at once, and some.
pub(crate) const COMMANDS_LEN_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text frames; messages are separated by line breaks.
    Json,
    /// Binary frames; each message stands behind its length, a varint.
    Protobuf,
    /// Server-sent events in the body of an answer; see [`event_stream`].
    EventStream,
}

/// A conversation as those who write events of it must know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel<'a> {
    pub(crate) name: &'a ConversationId,
    /// The epoch of its positions.
    pub(crate) epoch: &'a Epoch,
}

/// Why a frame is not understood; the text is for the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoCommand {
    #[error("a command is no JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("a command is no JSON object")]
    NoObject,
    #[error("a command is no Protobuf: {0}")]
    Protobuf(#[from] prost::DecodeError),
    #[error("the frame holds more than {COMMANDS_LEN_MAX} commands")]
    TooMany,
}

impl Form {
    const LEN: usize = 3;

    /// The commands of a frame, in order.
    ///
    /// # Errors
    /// One of them is none, or they are too many.
    pub(crate) fn commands(self, mut payload: &[u8]) -> Result<Vec<Command>, NoCommand> {
        let mut commands = Vec::new();
        match self {
            Self::Json => {
                let payload = payload.strip_suffix(b"\n").unwrap_or(payload);
                for line in payload.split(|byte| *byte == b'\n') {
                    // An array would pass for the fields in their order.
                    if !line.trim_ascii_start().starts_with(b"{") {
                        return Err(NoCommand::NoObject);
                    }
                    add(&mut commands, serde_json::from_slice(line)?)?;
                }
            }
            Self::Protobuf => {
                while payload.has_remaining() {
                    add(&mut commands, Command::decode_length_delimited(&mut payload)?)?;
                }
            }
            // Nobody can say anything there.
            Self::EventStream => {}
        }
        Ok(commands)
    }

    /// The frame of one reply.
    pub(crate) fn reply(self, reply: Reply) -> Bytes {
        let (mut payload, mut frame) = (Vec::new(), BytesMut::new());
        self.put(&mut payload, reply);
        self.put_frame(&mut frame, &payload);
        frame.freeze()
    }

    /// The frame of one push.
    pub(crate) fn push(self, push: Push) -> Bytes {
        self.reply(Reply::of(push))
    }

    /// The ping: an empty reply.
    pub(crate) fn ping(self) -> Bytes {
        Bytes::from_static(match self {
            Self::Json => b"\x81\x02{}",
            Self::Protobuf => b"\x82\x01\0",
            Self::EventStream => event_stream::PING,
        })
    }

    /// The frames of some events of one conversation: as many to a frame as fit.
    pub(crate) fn publications<'a>(
        self,
        channel: Channel<'_>,
        events: impl IntoIterator<Item = &'a LiveEvent>,
    ) -> Bytes {
        let mut frames = BytesMut::new();
        let mut payload = Vec::new();
        for event in events {
            if !payload.is_empty() && payload.len() + event.json().len() > FRAME_LEN_AIM {
                self.put_frame(&mut frames, &payload);
                payload.clear();
            }
            let name = channel.name.as_str();
            match self {
                Self::Json => put_json_publication(&mut payload, name, event),
                Self::Protobuf => self.put(&mut payload, Reply::of(Push::publication(name, event))),
                Self::EventStream => event_stream::put_event(&mut payload, channel.epoch, event),
            }
        }
        self.put_frame(&mut frames, &payload);
        frames.freeze()
    }

    /// Adds a frame, where there are frames; nothing for an empty payload, which clients fail at.
    fn put_frame(self, out: &mut BytesMut, payload: &[u8]) {
        match self {
            _ if payload.is_empty() => {}
            Self::Json => frame::put(out, Kind::Text, payload),
            Self::Protobuf => frame::put(out, Kind::Binary, payload),
            Self::EventStream => out.extend_from_slice(payload),
        }
    }

    fn put(self, payload: &mut Vec<u8>, reply: Reply) {
        match self {
            Self::Json => put_json_reply(payload, reply),
            // It cannot fail: a vector takes everything.
            Self::Protobuf => reply.encode_length_delimited(payload).unwrap_or_default(),
            Self::EventStream => event_stream::put_reply(payload, &reply),
        }
    }
}

fn add(commands: &mut Vec<Command>, command: Command) -> Result<(), NoCommand> {
    if commands.len() >= COMMANDS_LEN_MAX {
        return Err(NoCommand::TooMany);
    }
    commands.push(command);
    Ok(())
}

/// What stands around an event's JSON, besides the name of its channel, at most.
const EVENT_MORE: usize = r#"{"push":{"channel":"","pub":{"data":,"offset":}}}"#.len() + 24;

/// Who resumes gets a page of events, whose JSON stands ready: it is put into the result as it is, not checked again.
fn put_json_reply(payload: &mut Vec<u8>, mut reply: Reply) {
    let page = reply.subscribe.as_mut().map(|result| mem::take(&mut result.publications)).unwrap_or_default();
    // It cannot fail: a vector takes everything, and what `bytes` hold was written or checked here as JSON.
    serde_json::to_writer(&mut *payload, &reply).unwrap_or_default();
    let Some((first, others)) = page.split_first() else { return };
    payload.reserve(page.iter().map(|event| event.data.len() + EVENT_MORE).sum());
    // The result is the last in the reply, and the page is the last in the result.
    payload.truncate(payload.len().saturating_sub(b"}}".len()));
    let begins: &[u8] = if payload.last() == Some(&b'{') { b"" } else { b"," };
    payload.extend_from_slice(begins);
    payload.extend_from_slice(b"\"publications\":[");
    put_json_event(payload, &first.data, first.offset);
    for event in others {
        payload.push(b',');
        put_json_event(payload, &event.data, event.offset);
    }
    payload.extend_from_slice(b"]}}");
}

/// The hot path: the event's JSON stands ready, and a conversation id needs no escaping.
fn put_json_publication(payload: &mut Vec<u8>, channel: &str, event: &LiveEvent) {
    payload.reserve(channel.len() + event.json().len() + EVENT_MORE);
    if !payload.is_empty() {
        payload.push(b'\n');
    }
    payload.extend_from_slice(b"{\"push\":{\"channel\":\"");
    payload.extend_from_slice(channel.as_bytes());
    payload.extend_from_slice(b"\",\"pub\":");
    put_json_event(payload, event.json(), event.position.get());
    payload.extend_from_slice(b"}}");
}

fn put_json_event(payload: &mut Vec<u8>, json: &[u8], position: u64) {
    payload.extend_from_slice(b"{\"data\":");
    payload.extend_from_slice(json);
    payload.extend_from_slice(b",\"offset\":");
    payload.extend_from_slice(position.to_string().as_bytes());
    payload.push(b'}');
}

/// What is made once for each form that somebody speaks.
#[derive(Debug)]
pub(crate) struct PerForm<T>([OnceCell<T>; Form::LEN]);

impl<T> Default for PerForm<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceCell::new()))
    }
}

impl<T> PerForm<T> {
    pub(crate) fn get(&self, form: Form, make: impl FnOnce() -> T) -> &T {
        let Self([json, protobuf, event_stream]) = self;
        match form {
            Form::Json => json,
            Form::Protobuf => protobuf,
            Form::EventStream => event_stream,
        }
        .get_or_init(make)
    }
}
