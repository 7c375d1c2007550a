//! The settings file: what stands on the command line or in the environment, written down once. TOML.
//!
//! ```toml
//! listen = "0.0.0.0:8000"
//! roles = ["fanout"]
//! log = "kafka://kafka-1:9092,kafka-2:9092/tidings"
//! history = "scylla://scylla-1:9042,scylla-2:9042/tidings"
//! token_key = "/etc/tidings/token.key"
//! jwks = "https://login.example.org/.well-known/jwks.json"
//! token_audience = ["https://chat.example.org"]
//! token_issuer = "https://login.example.org/"
//!
//! [kafka]                        # settings of librdkafka, as they are
//! security.protocol = "SASL_SSL"
//! sasl.mechanisms = "SCRAM-SHA-512"
//! sasl.username = "tidings"
//! sasl.password = "…"
//!
//! [scylla]
//! user = "tidings"
//! password = "…"
//! ca = "/etc/tidings/scylla-ca.pem"
//! ```
//!
//! Secrets belong here and not on a command line, which every user of the machine can read.

use std::{
    collections::BTreeMap,
    fmt, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer, de};

/// A settings file. What is absent was not said.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// See [`Settings::data`](super::Settings::data).
    pub data: Option<PathBuf>,
    /// See [`Settings::listen`](super::Settings::listen).
    pub listen: Option<SocketAddr>,
    /// See [`Settings::roles`](super::Settings::roles).
    pub roles: Vec<String>,
    /// `embedded` or `kafka://…`.
    pub log: Option<String>,
    /// `embedded` or `scylla://…`.
    pub history: Option<String>,
    /// `http://…`: see [`Servers::registry`](super::Servers::registry).
    pub schema_registry: Option<String>,
    /// See [`Settings::token_key`](super::Settings::token_key).
    pub token_key: Option<PathBuf>,
    /// A file or `http(s)://…`: see [`Settings::jwks`](super::Settings::jwks).
    pub jwks: Option<String>,
    /// See [`Expected::audiences`](kernel::identity::Expected::audiences).
    pub token_audience: Vec<String>,
    /// See [`Expected::issuer`](kernel::identity::Expected::issuer).
    pub token_issuer: Option<String>,
    /// See [`Settings::guests`](super::Settings::guests).
    pub guests: Option<bool>,
    /// See [`Settings::allowed_origins`](super::Settings::allowed_origins).
    pub allow_origin: Vec<String>,
    /// See [`Settings::shards`](super::Settings::shards).
    pub shards: Option<u16>,
    /// How many threads take requests.
    pub threads: Option<u16>,
    /// See [`Settings::metrics_listen`](super::Settings::metrics_listen).
    pub metrics_listen: Option<SocketAddr>,
    /// Settings of librdkafka.
    pub kafka: Properties,
    /// How to come into the history's cluster.
    pub scylla: Cluster,
}

/// Names with dots, and their values. In the file a dot may be written bare: TOML's tables are joined again.
#[derive(Default, Clone, PartialEq, Eq)]
pub struct Properties(pub BTreeMap<String, String>);

/// How this process comes into the history's cluster.
#[derive(Default, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Its name.
    pub user: Option<String>,
    /// And its secret.
    pub password: Option<String>,
    /// The datacenter to ask; any, if none is named.
    pub datacenter: Option<String>,
    /// See [`Tls::authorities`](store::scylla::Tls::authorities): connections are encrypted if it is named.
    pub ca: Option<PathBuf>,
    /// See [`Tls::check_address`](store::scylla::Tls::check_address); `true` unless said otherwise.
    pub check_address: Option<bool>,
    /// See [`Identity::certificate`](store::scylla::Identity::certificate).
    pub certificate: Option<PathBuf>,
    /// See [`Identity::key`](store::scylla::Identity::key).
    pub key: Option<PathBuf>,
}

impl File {
    /// Reads one.
    ///
    /// # Errors
    /// It cannot be read, is no TOML, or says something that is no setting; the message says where.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the settings file {}", path.display()))?;
        let file: Self =
            // The message quotes the line, which may hold a secret; where it stands is enough.
            match toml::from_str(&text) {
                Ok(file) => file,
                Err(error) => {
                    let line = error.span().map_or(1, |span| line_of(&text, span.start));
                    bail!("the settings file {}, line {line}: {}", path.display(), error.message().trim())
                }
            };
        Ok(file)
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

impl fmt::Debug for Properties {
    /// The names alone: a value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("user", &self.user)
            .field("datacenter", &self.datacenter)
            .finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = toml::Table::deserialize(deserializer)?;
        let mut properties = BTreeMap::new();
        flatten("", &table, &mut properties).map_err(de::Error::custom)?;
        Ok(Self(properties))
    }
}

fn flatten(
    prefix: &str,
    table: &toml::Table,
    properties: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    for (key, value) in table {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let value = match value {
            toml::Value::Table(inner) => {
                flatten(&name, inner, properties)?;
                continue;
            }
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            toml::Value::Array(_) | toml::Value::Datetime(_) => {
                return Err(format!("{name} is a text, a number, true or false"));
            }
        };
        properties.insert(name, value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> anyhow::Result<File> {
        let path = tempfile::NamedTempFile::new()?;
        fs::write(path.path(), text)?;
        File::read(path.path())
    }

    #[test]
    fn the_example_of_this_page_is_read() {
        let page = include_str!("file.rs");
        let inner = page.split("```toml\n").nth(1).unwrap().split("//! ```").next().unwrap();
        let text: Vec<_> = inner.lines().map(|line| line.trim_start_matches("//!").trim_start()).collect();
        let file = read(&text.join("\n")).unwrap();
        assert_eq!(file.roles, ["fanout"]);
        assert_eq!(file.kafka.0["security.protocol"], "SASL_SSL");
        assert_eq!(file.kafka.0["sasl.mechanisms"], "SCRAM-SHA-512");
        assert_eq!(file.scylla.user.as_deref(), Some("tidings"));
        assert_eq!(file.scylla.ca.as_deref(), Some(Path::new("/etc/tidings/scylla-ca.pem")));
    }

    #[test]
    fn an_error_says_where_and_shows_no_secret() {
        let error = read("listen = \"127.0.0.1:1\"\n[scylla]\npasswort = \"hunter2\"").unwrap_err();
        let said = format!("{error:#}");
        assert!(said.contains("line 3") && said.contains("passwort"), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(read("shards = \"two\"").is_err());
        assert!(read("[kafka]\nssl.ca = [1]").is_err());
    }

    #[test]
    fn nothing_that_prints_settings_prints_a_secret() {
        let file = read("[kafka]\nsasl.password = \"hunter2\"\n[scylla]\npassword = \"hunter2\"").unwrap();
        let printed = format!("{file:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"), "{printed}");
    }
}
