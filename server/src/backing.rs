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
    signals::{SharedSignals, kafka::KafkaSignals, local::LocalSignals},
};
use schemas::codec::{RegisteredIds, SCHEMAS, SIGNAL_SCHEMAS, SignalCodec, subject_of};
use store::scylla::ScyllaHistory;

use crate::{
    data_dir::DataDir,
    registry::{
        Registry,
        client::{RegistryAddress, register, register_signals},
    },
    settings::{Backing, Servers},
};

/// Partitions of the embedded log: one file has one writer, so more would bring nothing.
pub(crate) const EMBEDDED_PARTITIONS: u32 = 1;
/// The names of the embedded log and of what would be the topic of signals, for those who ask which schemas there are.
const EMBEDDED_TOPICS: Topics<'_> = Topics { events: "tidings.events", signals: "tidings.signals" };

/// What a server works on.
pub(crate) struct Opened {
    pub(crate) log: SharedLog,
    pub(crate) history: SharedHistory,
    /// The schemas of the log's records, and of signals.
    pub(crate) registry: Registry,
    /// How signals are written.
    pub(crate) signal_codec: SignalCodec,
}

/// The log on Kafka, and what its records, and those of signals, carry.
pub(crate) struct OpenedLog {
    pub(crate) log: SharedLog,
    pub(crate) registry: Registry,
    pub(crate) signal_codec: SignalCodec,
}

#[derive(Debug, Clone, Copy)]
struct Topics<'a> {
    events: &'a str,
    signals: &'a str,
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
                let signal_codec = SignalCodec::default();
                let registry = own_registry(EMBEDDED_TOPICS, &RegisteredIds::default(), &signal_codec)?;
                Ok(Self { log: Arc::new(log), history, registry, signal_codec })
            }
            Backing::Servers(servers) => {
                let Servers { log, registry, history } = &**servers;
                let OpenedLog { log, registry, signal_codec } = open_log(log, registry.as_ref()).await?;
                let opened = ScyllaHistory::open(history.clone()).await;
                let history = Arc::new(opened.with_context(|| format!("the history {history}"))?);
                Ok(Self { log, history, registry, signal_codec })
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
) -> anyhow::Result<OpenedLog> {
    let (events, signals) = (settings.events_topic(), settings.signals_topic());
    let topics = Topics { events: &events, signals: &signals };
    let opened = KafkaLog::open(settings.clone()).await.with_context(|| format!("the log {settings}"))?;
    let mut log: SharedLog = Arc::new(opened);
    let (mut ids, mut signal_codec) = (RegisteredIds::default(), SignalCodec::default());
    if let Some(registry) = registry {
        ids = register(registry, &subject_of(&events)).await?;
        signal_codec = register_signals(registry, &subject_of(&signals)).await?;
        log = Arc::new(Renumbered::new(log, ids.clone()));
    }
    let registry = own_registry(topics, &ids, &signal_codec)?;
    Ok(OpenedLog { log, registry, signal_codec })
}

/// Opens the way to the other nodes, if there are any.
///
/// # Errors
/// Kafka cannot be reached, or the topic of signals is not there.
pub(crate) async fn open_signals(
    backing: &Backing,
    codec: SignalCodec,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<SharedSignals> {
    let clock = Arc::clone(clock);
    Ok(match backing {
        Backing::Embedded => Arc::new(LocalSignals::alone(clock)),
        Backing::Servers(servers) => {
            let settings = &servers.log;
            let opened = KafkaSignals::open(settings, codec, clock).await;
            Arc::new(opened.with_context(|| format!("signals on {settings}"))?)
        }
    })
}

fn own_registry(topics: Topics<'_>, ids: &RegisteredIds, signals: &SignalCodec) -> anyhow::Result<Registry> {
    let events = Registry::default().with(topics.events, SCHEMAS, ids.iter())?;
    Ok(events.with(topics.signals, SIGNAL_SCHEMAS, signals.ids())?)
}
