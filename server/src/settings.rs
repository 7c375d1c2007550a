//! What the operator decides. Only this crate reads it; the services are handed what they need.
//!
//! - this page: the settings as the server takes them;
//! - [`mod@file`]: the same as they stand in a settings file.

use std::{collections::BTreeSet, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use kernel::{event_log::kafka::KafkaSettings, identity::Expected};
use store::scylla::ScyllaSettings;

use crate::{key_set::KeySource, registry::client::RegistryAddress};

pub mod file;

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

/// A part of the work that a process may take on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Takes commands over HTTP.
    Ingest,
    /// Delivers to sessions. Commands that come over a session are taken in the same process.
    Fanout,
    /// Keeps the history up to date, and answers questions about it.
    Store,
}

/// What a process does: at least one role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roles(BTreeSet<Role>);

/// Where the log and the history are: both in the data folder, or both on servers. A history in the folder of one
/// process would know only the partitions that this process happens to project, so there is nothing in between.
#[derive(Debug, Clone)]
pub enum Backing {
    /// In the data folder; one process does everything.
    Embedded,
    /// On servers that many processes share.
    Servers(Box<Servers>),
}

impl Backing {
    /// The same for a node without sessions: see [`KafkaSettings::unhurried`].
    #[must_use]
    pub fn unhurried(self) -> Self {
        match self {
            Self::Embedded => Self::Embedded,
            Self::Servers(servers) => {
                let Servers { log, registry, history } = *servers;
                Self::Servers(Box::new(Servers { log: log.unhurried(), registry, history }))
            }
        }
    }
}

/// The servers that log and history are on.
#[derive(Debug, Clone)]
pub struct Servers {
    /// The log.
    pub log: KafkaSettings,
    /// Where the schemas of its records are registered, and get their ids; `None`: this server is the registry.
    pub registry: Option<RegistryAddress>,
    /// The history.
    pub history: ScyllaSettings,
}

/// Settings of `tidings serve`.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder that holds the token key and, where they are embedded, the log and the history.
    pub data: PathBuf,
    /// Where the log and the history are.
    pub backing: Backing,
    /// What this process does.
    pub roles: Roles,
    /// The file of the key that signs tokens, where it is not that of the folder. Must exist.
    pub token_key: Option<PathBuf>,
    /// Where the keys of an issuer are, whose tokens count beside those of the key above; `None`: there is no issuer.
    pub jwks: Option<KeySource>,
    /// What tokens must say.
    pub expected: Expected,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether anybody may have a token for any handle; `None`: only when listening on loopback.
    pub guests: Option<bool>,
    /// Origins, besides our own, whose pages may open the WebSocket. Over HTTP there is no leave for pages of others.
    pub allowed_origins: Vec<String>,
    /// Threads that deliver to sessions; at least 1.
    pub shards: usize,
    /// Where `/metrics` is served; `None`: beside everything else.
    pub metrics_listen: Option<SocketAddr>,
}

impl Settings {
    /// The defaults, on a data folder.
    pub fn on(data: PathBuf) -> Self {
        Self {
            data,
            backing: Backing::Embedded,
            roles: Roles::all(),
            token_key: None,
            jwks: None,
            expected: Expected::default(),
            listen: SocketAddr::from(([127, 0, 0, 1], 8_000)),
            guests: None,
            allowed_origins: Vec::new(),
            shards: 1,
            metrics_listen: None,
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

impl Role {
    /// Every role, in the order of the work.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Fanout, Self::Store];

    /// Its name in settings and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Fanout => "fanout",
            Self::Store => "store",
        }
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| format!("{text:?} is no role: ingest, fanout and store are"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Roles {
    /// Everything.
    pub fn all() -> Self {
        Self(Role::ALL.into())
    }

    /// These; all of them if none is named.
    pub fn of(roles: impl IntoIterator<Item = Role>) -> Self {
        let named: BTreeSet<_> = roles.into_iter().collect();
        if named.is_empty() { Self::all() } else { Self(named) }
    }

    /// Whether this process has the role.
    pub fn has(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    /// Whether this process does everything.
    pub fn are_all(&self) -> bool {
        self.0.len() == Role::ALL.len()
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|role| role.name()).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_no_role_has_all_of_them() {
        assert!(Roles::of([]).are_all());
        let some = Roles::of(["store".parse().unwrap(), Role::Ingest, Role::Store]);
        assert_eq!(some.to_string(), "ingest,store");
        assert!(some.has(Role::Store) && !some.has(Role::Fanout) && !some.are_all());
        assert!("projector".parse::<Role>().is_err());
    }
}
