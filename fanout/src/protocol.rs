//! The client protocol: Centrifuge, version 2, in its forms.
//!
//! Only here is a conversation called "channel". `proto/client.proto` defines the messages; a [`Form`] is how they stand on
//! the wire. A frame carries one or more messages. The client sends [`Command`]s, the server [`Reply`]s: answers, and pushes
//! of its own accord. An empty reply is a ping, an empty command a pong.
//!
//! - `message`: the messages, and what a command asks for;
//! - `form`: JSON and Protobuf, and what of it there is in an event stream; `json`: where the JSON is not that of serde's
//!   defaults;
//! - `frame`: the WebSocket frame around them;
//! - `code`: the codes by which clients decide what to do next.

mod code;
mod event_id;
mod event_stream;
mod form;
mod frame;
mod json;
mod message;

pub use code::{Disconnect, ErrorCode, Unsubscribe};
pub(crate) use event_id::EventId;
pub(crate) use form::{Channel, Form, PerForm};
pub(crate) use frame::close;
pub(crate) use message::*;
