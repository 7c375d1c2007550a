//! The log and the history as the settings have them: opened, and held as ports from here on.

use std::sync::Arc;

use anyhow::Context;
use kernel::{
    clock::Clock,
    event_log::{SharedLog, kafka::KafkaLog, sqlite::SqliteLog},
    history::{SharedHistory, sqlite::SqliteHistory},
};
use store::scylla::ScyllaHistory;

use crate::{data_dir::DataDir, settings::Backing};

/// Partitions of the embedded log: one file has one writer, so more would bring nothing.
pub(crate) const EMBEDDED_PARTITIONS: u32 = 1;

/// Opens both.
///
/// # Errors
/// A file or a server cannot be used, or topics and tables are not as they should be; the message says what to do.
pub(crate) async fn open(
    backing: &Backing,
    dir: &DataDir,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<(SharedLog, SharedHistory)> {
    Ok(match backing {
        Backing::Embedded => {
            let log = SqliteLog::open(dir.log(), EMBEDDED_PARTITIONS, Arc::clone(clock))?;
            (Arc::new(log), Arc::new(SqliteHistory::open(dir.history())?))
        }
        Backing::Servers { log, history } => {
            let opened = KafkaLog::open(log.clone()).await.with_context(|| format!("the log {log}"))?;
            let kept = ScyllaHistory::open(history.clone())
                .await
                .with_context(|| format!("the history {history}"))?;
            (Arc::new(opened), Arc::new(kept))
        }
    })
}
