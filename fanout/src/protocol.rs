//! The client protocol: Centrifuge, version 2, in its JSON form.
//!
//! Only here is a conversation called "channel". A frame carries one or more messages, separated by a line break. The client
//! sends [`Command`]s, the server [`reply`]s and pushes; an empty reply is a ping, an empty command a pong.
//!
//! The JSON is not that of protobuf's canonical mapping: names are in `snake_case`, `bytes` fields hold JSON values, 64-bit
//! numbers are plain numbers, and zero values are left out except where clients rely on them.

mod code;
mod command;
pub(crate) mod reply;

pub use code::{Disconnect, ErrorCode, Unsubscribe};
pub(crate) use command::{
    Command, ConnectRequest, HistoryRequest, Method, PublishRequest, RefreshRequest, RpcRequest,
    SubscribeRequest, commands,
};
