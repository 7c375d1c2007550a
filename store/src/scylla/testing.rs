//! Histories on a real server, for tests, and the cases beyond the conformance suite, which need one.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "for tests, which are to end at what is unexpected"
)]

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{
    history::{SharedHistory, conformance::Fixture},
    random,
};
use scylla::client::session_builder::SessionBuilder;

use super::{Replication, ScyllaHistory, ScyllaSettings, migrate};

pub mod cases;

/// A keyspace of its own, which is dropped with it.
#[derive(Debug)]
pub struct Place {
    settings: ScyllaSettings,
}

impl Place {
    /// Makes a keyspace with the tables of the history on the server at `node`, as `HOST:PORT`.
    pub async fn make(node: &str) -> Self {
        let place = Self::name(node);
        migrate(&place.settings, &replication()).await.unwrap();
        place
    }

    /// Names a keyspace that is not there yet.
    pub fn name(node: &str) -> Self {
        let settings = format!("scylla://{node}/tidings_test_{}", random::name(12));
        Self { settings: settings.parse().unwrap() }
    }

    /// How it is reached.
    pub fn settings(&self) -> &ScyllaSettings {
        &self.settings
    }

    /// Opens the history.
    pub async fn history(&self) -> ScyllaHistory {
        ScyllaHistory::open(self.settings.clone()).await.unwrap()
    }

    /// Does one statement, in which `{}` stands for the keyspace.
    pub async fn execute(&self, cql: &str) {
        execute(&self.settings, cql).await;
    }
}

impl Drop for Place {
    /// On a thread and a runtime of its own, since the runtime of the test may be one that cannot wait here.
    fn drop(&mut self) {
        let settings = self.settings.clone();
        let dropping = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(execute(&settings, "DROP KEYSPACE IF EXISTS {}"));
        };
        // What is left behind after a failure does no harm.
        std::thread::spawn(dropping).join().ok();
    }
}

#[async_trait]
impl Fixture for Place {
    async fn open(&self) -> SharedHistory {
        Arc::new(self.history().await)
    }

    async fn digest(&self) -> Option<String> {
        Some(self.history().await.digest().await.unwrap().to_string())
    }
}

fn replication() -> Replication {
    Replication::new(1, Vec::new()).unwrap()
}

async fn execute(settings: &ScyllaSettings, cql: &str) {
    let session = SessionBuilder::new().known_nodes(&settings.nodes).build().await.unwrap();
    session.query_unpaged(cql.replace("{}", settings.keyspace.as_str()), ()).await.unwrap();
}
