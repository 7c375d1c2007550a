//! A `tidings serve` on Kafka and a CQL store, with topics and tables of its own.

use std::{path::Path, process::Stdio};

use anyhow::{Context, ensure};
use rand::Rng;
use tests::{Server, binary, cassandra, kafka};
use tokio::process::Command;

/// Enough that conversations lie in different ones.
const PARTITIONS: &str = "3";

pub(crate) struct Site {
    server: Server,
    brokers: String,
    prefix: String,
}

impl Site {
    /// `None`: the test is skipped, because there is no Kafka or no CQL store.
    pub(crate) async fn start(test: &str) -> anyhow::Result<Option<Self>> {
        let Some(brokers) = kafka::shared(test).await? else { return Ok(None) };
        let Some(nodes) = cassandra::shared(test).await? else { return Ok(None) };
        let prefix = format!("analytics_{:08x}", rand::rng().random::<u32>());
        let (log, history) = (format!("kafka://{brokers}/{prefix}"), format!("scylla://{nodes}/{prefix}"));
        let topics = ["topics", "create", "--partitions", PARTITIONS, "--replication", "1", "--log", &log];
        tidings(&topics).await?;
        tidings(&["history", "migrate", "--replication", "1", "--history", &history]).await?;
        let server = Server::start_with(&["--log", &log, "--history", &history]).await?;
        Ok(Some(Self { server, brokers, prefix }))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn topic(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// Imports a chat log through the server.
    pub(crate) async fn import(&self, archive: &Path) -> anyhow::Result<()> {
        let archive = archive.to_str().context("a path")?;
        let data = self.server.data();
        let data = data.to_str().context("a path")?;
        let token = tidings(&["token", "--user", "dev", "--admin", "--data", data]).await?;
        tidings(&["import", archive, "--url", &self.server.url(), "--token", token.trim()]).await?;
        Ok(())
    }
}

/// Runs a command of the binary to its end, and gives what it printed.
async fn tidings(args: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(binary::path()?).args(args).stdin(Stdio::null()).output().await?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{args:?} ended with {}: {stdout}{stderr}", output.status);
    Ok(stdout)
}
