//! The published language of Tidings: what stands on the topic and what clients are told.
//!
//! Start at [`event`]: every fact that can happen in a conversation. [`position`] says how places in
//! the topic are counted, [`codec`] how an event becomes the bytes of a record, [`json`] how it looks
//! to HTTP and WebSocket clients, [`caps`] which limits everybody obeys. [`signal`] is what nodes tell each
//! other beside the log.
//!
//! Invariant: no I/O here and no dependency on another crate of the workspace, so that a consumer of
//! the topic can take this crate alone. Ids and texts are checked once, when they are made; past that
//! nobody checks them again.

pub mod answer;
pub mod caps;
pub mod codec;
pub mod event;
pub mod id;
pub mod json;
mod mention;
pub mod position;
pub mod signal;
mod string;
pub mod text;
pub mod time;

pub use answer::Answer;
pub use event::{ChatEvent, EventBody, Role, Visibility};
pub use id::{ConversationId, Epoch, EventId, NodeId, SessionId, UserId};
pub use position::{Offset, Partition, Position};
pub use signal::{Signal, SignalBody};
pub use text::{Emoji, MessageText, PartingWords, Title};
pub use time::Timestamp;
