//! The log and the history as the settings have them: opened, and held as ports from here on.

use std::sync::Arc;

use anyhow::Context;
use kernel::{
    clock::Clock,
    event_log::{
        SharedLog,
        kafka::{KafkaLog, KafkaSettings},
        renumbered::Renumbered,
        sqlite::SqliteLog,
    },
    history::{SharedHistory, sqlite::SqliteHistory},
};
use schemas::codec::{RegisteredIds, subject_of};
use store::scylla::ScyllaHistory;

use crate::{
    data_dir::DataDir,
    registry::{
        Registry,
        client::{RegistryAddress, register},
    },
    settings::{Backing, Servers},
};

/// Partitions of the embedded log: one file has one writer, so more would bring nothing.
pub(crate) const EMBEDDED_PARTITIONS: u32 = 1;
/// The name of the embedded log, for those who ask which schemas its records have.
const EMBEDDED_TOPIC: &str = "tidings.events";

/// What a server works on.
pub(crate) struct Opened {
    pub(crate) log: SharedLog,
    pub(crate) history: SharedHistory,
    /// The schemas of the log's records.
    pub(crate) registry: Registry,
}

impl Opened {
    /// Opens what the settings name.
    ///
    /// # Errors
    /// A file or a server cannot be used, or topics and tables are not as they should be; the message says what to do.
    pub(crate) async fn of(backing: &Backing, dir: &DataDir, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        match backing {
            Backing::Embedded => {
                let log = SqliteLog::open(dir.log(), EMBEDDED_PARTITIONS, Arc::clone(clock))?;
                let history = Arc::new(SqliteHistory::open(dir.history())?);
                let registry = Registry::new(EMBEDDED_TOPIC, &RegisteredIds::default())?;
                Ok(Self { log: Arc::new(log), history, registry })
            }
            Backing::Servers(servers) => {
                let Servers { log, registry, history } = &**servers;
                let (log, registry) = open_log(log, registry.as_ref()).await?;
                let opened = ScyllaHistory::open(history.clone()).await;
                let history = Arc::new(opened.with_context(|| format!("the history {history}"))?);
                Ok(Self { log, history, registry })
            }
        }
    }
}

/// Opens the log on Kafka. Where a schema registry is named, the schemas are registered there first, and the records bear its ids.
///
/// # Errors
/// As [`Opened::of`].
pub(crate) async fn open_log(
    settings: &KafkaSettings,
    registry: Option<&RegistryAddress>,
) -> anyhow::Result<(SharedLog, Registry)> {
    let topic = settings.events_topic();
    let opened = KafkaLog::open(settings.clone()).await.with_context(|| format!("the log {settings}"))?;
    let Some(registry) = registry else {
        return Ok((Arc::new(opened), Registry::new(&topic, &RegisteredIds::default())?));
    };
    let ids = register(registry, &subject_of(&topic)).await?;
    let own = Registry::new(&topic, &ids)?;
    Ok((Arc::new(Renumbered::new(Arc::new(opened), ids)), own))
}
