//! A `tidings serve` on Kafka and a CQL store, with topics and tables of its own.

use std::path::Path;

use anyhow::Context;
use tests::{Server, binary};

/// Enough that conversations lie in different ones.
const PARTITIONS: u32 = 3;
const VERIFY: [&str; 2] = ["history", "verify"];

pub(crate) struct Site {
    server: Server,
    on: tests::Site,
    /// Further options of every command that opens the log.
    options: Vec<String>,
}

impl Site {
    /// `None`: the test is skipped, because there is no Kafka or no CQL store.
    pub(crate) async fn start(test: &str, options: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(on) = tests::Site::fresh(test, PARTITIONS).await? else { return Ok(None) };
        let server = Server::start_with(&[&on.options()[..], options].concat()).await?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Ok(Some(Self { server, on, options }))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.on.kafka
    }

    pub(crate) fn topic(&self) -> String {
        self.on.topic()
    }

    pub(crate) fn signals_topic(&self) -> String {
        self.on.signals_topic()
    }

    /// Imports a chat log through the server.
    pub(crate) async fn import(&self, archive: &Path) -> anyhow::Result<()> {
        let archive = archive.to_str().context("a path")?;
        let data = self.server.data();
        let data = data.to_str().context("a path")?;
        let token = binary::run(&["token", "--user", "dev", "--admin", "--data", data]).await?;
        binary::run(&["import", archive, "--url", &self.server.url(), "--token", token.trim()]).await?;
        Ok(())
    }

    /// Folds the log once more and compares with the history; with the options of the server.
    pub(crate) async fn verify(&self) -> anyhow::Result<String> {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        binary::run(&[&VERIFY[..], &self.on.options(), &options].concat()).await
    }

    /// The same by somebody who does not know of the options.
    pub(crate) async fn verify_plainly(&self) -> anyhow::Result<String> {
        binary::run(&[&VERIFY[..], &self.on.options()].concat()).await
    }
}
