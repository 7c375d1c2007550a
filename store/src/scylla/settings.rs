//! Where the servers are, and how they are spoken to.

use std::{fmt, path::PathBuf, str::FromStr};

const SCHEME: &str = "scylla://";
const PORT_DEFAULT: u16 = 9_042;
/// The servers allow 48 bytes.
const KEYSPACE_LEN_MAX: usize = 48;
const FACTOR_MAX: u8 = 9;

/// How a history in Scylla or Cassandra is reached. Every read and write asks a quorum of the replicas in the local datacenter
/// (`LOCAL_QUORUM`), so that a read sees what was written before.
#[derive(Clone, PartialEq, Eq)]
pub struct ScyllaSettings {
    /// Some of the servers, as `HOST:PORT`; the others are found through them. At least one.
    pub nodes: Vec<String>,
    /// Where the tables are.
    pub keyspace: Keyspace,
    /// Who to log in as, and the password, where the servers want to know.
    pub login: Option<Login>,
    /// The datacenter whose replicas are asked, the same wherever this history is used. Needed where it is kept in more than one.
    pub datacenter: Option<String>,
    /// How connections are encrypted; `None`: they are not, so keep them within a network of your own.
    pub tls: Option<Tls>,
}

/// How connections are encrypted, and how both sides know each other. The files are PEM, and are read when a history is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The authorities one of which has to vouch for each server, and no others.
    pub authorities: PathBuf,
    /// Whether the certificate of a server has to bear the address at which it is reached. Without that, any server for which an
    /// authority vouches passes for any other.
    pub check_address: bool,
    /// How this process shows the servers who it is, where they want to know.
    pub identity: Option<Identity>,
}

/// A certificate and what proves that it is ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and behind it those that lead to an authority.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
}

/// A user of the servers.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The secret.
    pub password: String,
}

/// Names a keyspace: a lower-case letter, then up to 47 lower-case letters, digits and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyspace(String);

/// On how many servers each row is kept. Settled when the keyspace is made; later it is changed with the servers' own tools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replication {
    factor: u8,
    datacenters: Vec<String>,
}

/// Why settings were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not `scylla://HOST:PORT[,HOST:PORT]/KEYSPACE`.
    #[error("a history in Scylla or Cassandra is named scylla://HOST:PORT[,HOST:PORT]/KEYSPACE")]
    Form,
    /// The text holds an `@`.
    #[error("name the user and the password in the settings, not in the address, where others may see them")]
    Secret,
    /// Not a node.
    #[error("{0:?} is no node; write HOST:PORT")]
    Node(String),
    /// Not a keyspace.
    #[error("{0:?} is no keyspace: up to 48 lower-case letters, digits and _, beginning with a letter")]
    Keyspace(String),
    /// Not a replication.
    #[error("each row is kept on 1 to {FACTOR_MAX} servers of each datacenter, not on {0}")]
    Factor(u8),
    /// Not a datacenter.
    #[error("{0:?} is no datacenter: letters, digits and _ . - are")]
    Datacenter(String),
}

impl FromStr for ScyllaSettings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let (nodes, keyspace) =
            text.strip_prefix(SCHEME).and_then(|rest| rest.rsplit_once('/')).ok_or(SettingsError::Form)?;
        if nodes.contains('@') {
            return Err(SettingsError::Secret);
        }
        let nodes = nodes.split(',').map(node).collect::<Result<_, _>>()?;
        Ok(Self { nodes, keyspace: keyspace.parse()?, login: None, datacenter: None, tls: None })
    }
}

/// A node with its port.
fn node(text: &str) -> Result<String, SettingsError> {
    let wrong = || SettingsError::Node(text.to_owned());
    let (host, port) = match text.rsplit_once(':') {
        // The last colon of a bare IPv6 address is none before a port.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
        _ => (text, PORT_DEFAULT),
    };
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let good = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        }
    };
    if good && port != 0 { Ok(format!("{host}:{port}")) } else { Err(wrong()) }
}

impl fmt::Display for ScyllaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.nodes.join(","), self.keyspace)
    }
}

impl fmt::Debug for ScyllaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, keyspace, login, datacenter, tls } = self;
        f.debug_struct("ScyllaSettings")
            .field("nodes", nodes)
            .field("keyspace", keyspace)
            .field("login", login)
            .field("datacenter", datacenter)
            .field("tls", tls)
            .finish()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Keyspace {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Keyspace {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let good = text.len() <= KEYSPACE_LEN_MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if good { Ok(Self(text.to_owned())) } else { Err(SettingsError::Keyspace(text.to_owned())) }
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Replication {
    /// So many copies in each of the datacenters named; in each that there is, if none is named.
    ///
    /// # Errors
    /// The factor is not 1 to 9, or a name is none of a datacenter.
    pub fn new(factor: u8, datacenters: Vec<String>) -> Result<Self, SettingsError> {
        if !(1..=FACTOR_MAX).contains(&factor) {
            return Err(SettingsError::Factor(factor));
        }
        let good = |name: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
            !name.is_empty() && name != "class" && name.chars().all(fits)
        };
        match datacenters.iter().find(|name| !good(name)) {
            Some(wrong) => Err(SettingsError::Datacenter(wrong.clone())),
            None => Ok(Self { factor, datacenters }),
        }
    }

    /// As CQL has it.
    pub(super) fn cql(&self) -> String {
        let factor = self.factor;
        let by_name = |name: &String| format!(", '{name}': {factor}");
        let factors = if self.datacenters.is_empty() {
            format!(", 'replication_factor': {factor}")
        } else {
            self.datacenters.iter().map(by_name).collect()
        };
        format!("{{'class': 'NetworkTopologyStrategy'{factors}}}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_nodes_and_keyspace() {
        let settings: ScyllaSettings = "scylla://db-1:9142,10.0.0.2,[::1]:7/tidings".parse().unwrap();
        assert_eq!(settings.nodes, ["db-1:9142", "10.0.0.2:9042", "[::1]:7"]);
        assert_eq!(settings.keyspace.as_str(), "tidings");
        assert_eq!(settings.to_string(), "scylla://db-1:9142,10.0.0.2:9042,[::1]:7/tidings");
        assert_eq!(settings.to_string().parse(), Ok(settings));
        assert_eq!(node("[::1]"), Ok("[::1]:9042".to_owned()));
    }

    #[test]
    fn what_is_no_address_is_refused_with_what_is_wrong() {
        let refused = |text: &str| text.parse::<ScyllaSettings>().unwrap_err();
        for text in ["", "kafka://h:1/k", "scylla://h:1", "h:1/k"] {
            assert_eq!(refused(text), SettingsError::Form, "{text}");
        }
        assert_eq!(refused("scylla://ann:secret@h:1/k"), SettingsError::Secret);
        for node in ["", "h:0", "h:x", "h:65536", "a b:1", "::1:9042", "h/x:1"] {
            let text = format!("scylla://{node}/k");
            assert!(matches!(refused(&text), SettingsError::Node(_)), "{text}");
        }
        for keyspace in ["", "K", "1k", "k-k", "k;", "_k", &"k".repeat(49)] {
            assert_eq!(keyspace.parse::<Keyspace>(), Err(SettingsError::Keyspace(keyspace.to_owned())));
        }
        assert!("k".repeat(48).parse::<Keyspace>().is_ok());
    }

    #[test]
    fn the_password_is_shown_to_nobody() {
        let mut settings: ScyllaSettings = "scylla://h:1/k".parse().unwrap();
        settings.login = Some(Login { user: "ann".to_owned(), password: "hush".to_owned() });
        let shown = format!("{settings} {settings:?}");
        assert!(shown.contains("ann") && !shown.contains("hush"), "{shown}");
    }

    #[test]
    fn replication_is_by_datacenter() {
        let everywhere = Replication::new(3, vec![]).unwrap();
        assert_eq!(everywhere.cql(), "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}");
        let named = Replication::new(2, vec!["dc1".to_owned(), "eu-1".to_owned()]).unwrap();
        assert_eq!(named.cql(), "{'class': 'NetworkTopologyStrategy', 'dc1': 2, 'eu-1': 2}");
        assert_eq!(Replication::new(0, vec![]), Err(SettingsError::Factor(0)));
        let wrong = "dc'1".to_owned();
        assert_eq!(Replication::new(1, vec![wrong.clone()]), Err(SettingsError::Datacenter(wrong)));
    }
}
