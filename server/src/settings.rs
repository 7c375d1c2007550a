//! What the operator decides. Only this crate reads it; the services are handed what they need.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// Who acts where nobody is named: the owner of what is imported, and the person of the greeting.
pub const DEV_USER: &str = "dev";
/// How long SIGTERM may take to close all sessions.
pub const DRAIN_WINDOW: Duration = Duration::from_secs(3);
/// Longest life of a guest's token, in seconds: a day.
pub const GUEST_TOKEN_TTL_S: i64 = 24 * 3_600;

/// Who may have a token under any name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guests {
    /// Nobody.
    Off,
    /// Whoever sits at this machine.
    Local,
    /// Whoever can connect; the operator said so.
    Anywhere,
}

/// Settings of `tidings serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that holds the log, the history and the token key.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether anybody may have a token for any handle; `None`: only when listening on loopback.
    pub guests: Option<bool>,
    /// Origins, besides our own, whose pages may connect.
    pub allowed_origins: Vec<String>,
    /// Threads that deliver to sessions; at least 1.
    pub shards: usize,
    /// Whether the schema registry answers without a token.
    pub open_schemas: bool,
}

impl Settings {
    /// The defaults, on a data folder.
    pub fn on(data: PathBuf) -> Self {
        Self {
            data,
            listen: SocketAddr::from(([127, 0, 0, 1], 8_000)),
            guests: None,
            allowed_origins: Vec::new(),
            shards: 1,
            open_schemas: true,
        }
    }

    /// Whether guests are let in, and from where.
    pub fn guests(&self) -> Guests {
        match self.guests {
            Some(true) => Guests::Anywhere,
            None if self.listen.ip().is_loopback() => Guests::Local,
            Some(false) | None => Guests::Off,
        }
    }
}
