//! Where the log and the history are: the options of every command that needs to know it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use kernel::event_log::kafka::KafkaSettings;
use store::scylla::{Identity, Login, ScyllaSettings, Tls};

use crate::{
    registry::client::RegistryAddress,
    settings::{Backing, Servers, file::File},
};

/// The word for "in the data folder".
const EMBEDDED: &str = "embedded";

/// The settings file.
#[derive(Debug, Clone, Args)]
pub(super) struct FileArgs {
    /// Settings file (TOML). What stands on the command line or in the environment beats it; secrets belong in it
    #[arg(long, value_name = "FILE", env = "TIDINGS_CONFIG")]
    config: Option<PathBuf>,
}

/// Where the log is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log and history")]
pub(super) struct LogArgs {
    /// The log: kafka://HOST:PORT[,HOST:PORT]/TOPIC-PREFIX, or `embedded`: a file in the data folder [default: embedded]
    #[arg(long, value_name = "URL", env = "TIDINGS_LOG_URL")]
    log: Option<String>,
    /// A setting of librdkafka, like security.protocol=SSL; can be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = property)]
    kafka: Vec<(String, String)>,
    /// A schema registry (http://[USER:PASSWORD@]HOST:PORT) that is to know the schemas of the records, and gives them their ids
    /// [default: this server is one itself]
    #[arg(long, value_name = "URL", env = "TIDINGS_SCHEMA_REGISTRY", hide_env_values = true)]
    schema_registry: Option<RegistryAddress>,
}

/// Where the history is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Log and history")]
pub(super) struct HistoryArgs {
    /// The history: scylla://HOST:PORT[,HOST:PORT]/KEYSPACE, or `embedded` [default: embedded]
    #[arg(long, value_name = "URL", env = "TIDINGS_HISTORY_URL")]
    history: Option<String>,
}

/// Where both are.
#[derive(Debug, Clone, Args)]
pub(super) struct BackingArgs {
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    history: HistoryArgs,
}

impl FileArgs {
    /// What it says; nothing if none is named.
    pub(super) fn read(&self) -> anyhow::Result<File> {
        self.config.as_deref().map_or_else(|| Ok(File::default()), File::read)
    }
}

impl LogArgs {
    /// Where the log is; `None`: embedded.
    pub(super) fn settings(&self, file: &File) -> anyhow::Result<Option<KafkaSettings>> {
        let Some(url) = named(self.log.as_deref(), file.log.as_deref()) else {
            if let Some((name, _)) = self.kafka.first() {
                bail!("--kafka {name}=… needs --log kafka://…");
            }
            return Ok(None);
        };
        let settings: KafkaSettings = url.parse().with_context(|| format!("--log {url}"))?;
        let mut properties = file.kafka.0.clone();
        properties.extend(self.kafka.iter().cloned());
        Ok(Some(settings.with_properties(properties)?))
    }
}

impl LogArgs {
    /// Where the schemas are registered; `None`: nowhere else.
    fn registry(&self, file: &File) -> anyhow::Result<Option<RegistryAddress>> {
        let in_file = file.schema_registry.as_deref().map(str::parse).transpose();
        Ok(self.schema_registry.clone().or(in_file.context("schema_registry in the settings file")?))
    }
}

impl HistoryArgs {
    /// Where the history is; `None`: embedded.
    pub(super) fn settings(&self, file: &File) -> anyhow::Result<Option<ScyllaSettings>> {
        let Some(url) = named(self.history.as_deref(), file.history.as_deref()) else { return Ok(None) };
        let mut settings: ScyllaSettings = url.parse().with_context(|| format!("--history {url}"))?;
        let cluster = file.scylla.clone();
        settings.datacenter = cluster.datacenter;
        let login = both("user and password", cluster.user, cluster.password)?;
        settings.login = login.map(|(user, password)| Login { user, password });
        let identity = both("certificate and key", cluster.certificate, cluster.key)?;
        let identity = identity.map(|(certificate, key)| Identity { certificate, key });
        settings.tls = match cluster.ca {
            Some(authorities) => {
                Some(Tls { authorities, check_address: cluster.check_address.unwrap_or(true), identity })
            }
            None if identity.is_some() || cluster.check_address.is_some() => {
                bail!(
                    "[scylla] in the settings file: name with `ca` who vouches for the servers, or nothing is encrypted"
                )
            }
            None => None,
        };
        Ok(Some(settings))
    }
}

/// Two settings that are nothing without each other.
fn both<A, B>(names: &str, one: Option<A>, other: Option<B>) -> anyhow::Result<Option<(A, B)>> {
    match (one, other) {
        (Some(one), Some(other)) => Ok(Some((one, other))),
        (None, None) => Ok(None),
        _ => bail!("[scylla] in the settings file: {names} belong together, and one is missing"),
    }
}

impl BackingArgs {
    /// The settings file.
    pub(super) fn file(&self) -> anyhow::Result<File> {
        self.file.read()
    }

    /// Both places.
    pub(super) fn backing(&self, file: &File) -> anyhow::Result<Backing> {
        let registry = self.log.registry(file)?;
        match (self.log.settings(file)?, self.history.settings(file)?) {
            (None, None) if registry.is_some() => {
                bail!(
                    "a schema registry serves those who read the topic, and the embedded log is none; give --log kafka://…"
                )
            }
            (None, None) => Ok(Backing::Embedded),
            (Some(log), Some(history)) => Ok(Backing::Servers(Box::new(Servers { log, registry, history }))),
            (Some(_), None) => bail!(
                "the log is on Kafka, so the history cannot be embedded: every process would have a part of it; \
                 give --history scylla://HOST:PORT/KEYSPACE"
            ),
            (None, Some(_)) => bail!(
                "the history is on a server, so the log cannot be embedded; give --log \
                 kafka://HOST:PORT/TOPIC-PREFIX, or leave --history out"
            ),
        }
    }
}

/// The address that was said, the first place first; `None`: none, or embedded.
fn named<'a>(said: Option<&'a str>, in_file: Option<&'a str>) -> Option<&'a str> {
    said.or(in_file).filter(|url| *url != EMBEDDED)
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it like security.protocol=SSL")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
