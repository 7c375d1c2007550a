//! What differs between servers that deliver to sessions: how one comes in, says something, and knows what was delivered.
//!
//! - [`Channels`]: the client protocol, as Tidings and the servers that it comes from speak it;
//! - [`Returning`]: the same, for those who come back;
//! - [`crate::measure::Floor`] has one of its own.

use std::fmt;

mod channels;
mod returning;

pub use channels::Channels;
pub use returning::Returning;

/// How a kind of server is spoken to. Everything that is sent and awaited goes over one TCP connection.
pub trait Dialect: fmt::Debug + Send + Sync {
    /// What somebody says, one after the other, to be told what is published to a conversation. `number` tells the sessions of a run
    /// from each other.
    ///
    /// # Errors
    /// It cannot be said.
    fn joining(&self, number: u64, conversation: &str) -> anyhow::Result<Vec<Step>>;

    /// What somebody says to publish to a conversation without being told of it; `None`: whoever publishes is told.
    ///
    /// # Errors
    /// It cannot be said.
    fn publishing(&self, number: u64, conversation: &str) -> anyhow::Result<Option<Vec<Step>>>;

    /// The bytes that publish a text. `number` rises over the messages of a connection, from 0.
    ///
    /// # Errors
    /// The text is too long.
    fn publish(&self, number: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>>;

    /// How many messages a payload delivers.
    fn deliveries(&self, payload: &[u8]) -> u64;

    /// What to answer to a payload that only asks whether the session lives.
    fn pong(&self, payload: &[u8]) -> Option<&'static [u8]> {
        let _ = payload;
        None
    }

    /// Whether a payload says that something was not published.
    fn is_refusal(&self, payload: &[u8]) -> bool {
        let _ = payload;
        false
    }
}

/// Something that is said, and what has to be heard before more is said.
#[derive(Debug)]
pub struct Step {
    /// The bytes.
    pub says: Vec<u8>,
    /// What is awaited.
    pub until: Until,
}

/// What is awaited.
#[derive(Debug)]
pub enum Until {
    /// The answer to a handshake.
    Upgraded,
    /// A payload that begins like this; any other one that comes meanwhile counts for nothing.
    Begins(String),
}
