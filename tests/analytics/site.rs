//! A `tidings serve` on Kafka and a CQL store, with topics and tables of its own.

use std::path::Path;

use anyhow::Context;
use tests::{
    Server,
    backing::{Backing, tidings},
};

/// Enough that conversations lie in different ones.
const PARTITIONS: u32 = 3;
const VERIFY: [&str; 2] = ["history", "verify"];

pub(crate) struct Site {
    server: Server,
    backing: Backing,
    /// Further options of every command that opens the log.
    options: Vec<String>,
}

impl Site {
    /// `None`: the test is skipped, because there is no Kafka or no CQL store.
    pub(crate) async fn start(test: &str, options: &[&str]) -> anyhow::Result<Option<Self>> {
        let Some(backing) = Backing::fresh(test, PARTITIONS).await? else { return Ok(None) };
        let server = Server::start_with(&[&backing.options()[..], options].concat()).await?;
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Ok(Some(Self { server, backing, options }))
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    pub(crate) fn brokers(&self) -> &str {
        self.backing.brokers()
    }

    pub(crate) fn topic(&self) -> String {
        self.backing.topic()
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

    /// Folds the log once more and compares with the history; with the options of the server.
    pub(crate) async fn verify(&self) -> anyhow::Result<String> {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        tidings(&[&VERIFY[..], &self.backing.options(), &options].concat()).await
    }

    /// The same by somebody who does not know of the options.
    pub(crate) async fn verify_plainly(&self) -> anyhow::Result<String> {
        tidings(&[&VERIFY[..], &self.backing.options()].concat()).await
    }
}
