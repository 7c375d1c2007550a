//! Histories on a real server, for tests: each in a keyspace of its own, which is dropped at the end.

#![allow(
    clippy::unwrap_used,
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

/// A fresh keyspace with the tables of the history. Call [`Place::remove`] at the end.
#[derive(Debug)]
pub struct Place {
    settings: ScyllaSettings,
}

impl Place {
    /// Makes a keyspace on the server at `node`, as `HOST:PORT`.
    pub async fn make(node: &str) -> Self {
        let place = Self::name(node);
        migrate(&place.settings, &Replication::new(1, Vec::new()).unwrap()).await.unwrap();
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
        let session = SessionBuilder::new().known_nodes(&self.settings.nodes).build().await.unwrap();
        session.query_unpaged(cql.replace("{}", self.settings.keyspace.as_str()), ()).await.unwrap();
    }

    /// Drops the keyspace.
    pub async fn remove(self) {
        self.execute("DROP KEYSPACE {}").await;
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
