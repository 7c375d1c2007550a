//! A log and a history on real servers, for one test: topics and tables of its own.

use std::process::Stdio;

use anyhow::ensure;
use rand::Rng;
use tokio::process::Command;

use crate::{binary, cassandra, kafka};

/// Where they are.
#[derive(Debug, Clone)]
pub struct Backing {
    brokers: String,
    prefix: String,
    log: String,
    history: String,
}

impl Backing {
    /// Makes topics of so many partitions, and tables, on the servers that the tests share. `None`: the test is skipped,
    /// because there is no Kafka or no CQL store.
    ///
    /// # Errors
    /// They cannot be made; or as [`crate::tools::skip`].
    pub async fn fresh(test: &str, partitions: u32) -> anyhow::Result<Option<Self>> {
        let Some(brokers) = kafka::shared(test).await? else { return Ok(None) };
        let Some(nodes) = cassandra::shared(test).await? else { return Ok(None) };
        let prefix = format!("test_{:08x}", rand::rng().random::<u32>());
        let (log, history) = (format!("kafka://{brokers}/{prefix}"), format!("scylla://{nodes}/{prefix}"));
        let partitions = partitions.to_string();
        let topics = ["topics", "create", "--partitions", &partitions, "--replication", "1", "--log", &log];
        tidings(&topics).await?;
        tidings(&["history", "migrate", "--replication", "1", "--history", &history]).await?;
        Ok(Some(Self { brokers, prefix, log, history }))
    }

    /// `HOST:PORT` of the broker.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topic of the events.
    pub fn topic(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The options by which a command finds both.
    pub fn options(&self) -> [&str; 4] {
        ["--log", &self.log, "--history", &self.history]
    }
}

/// Runs a command of the binary to its end, and gives what it printed.
///
/// # Errors
/// It failed; what it said is in the error.
pub async fn tidings(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary::path()?).args(args).stdin(Stdio::null()).output().await?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{args:?} ended with {}: {stdout}{stderr}", output.status);
    Ok(stdout)
}
