//! A log and a history on real servers: topics and tables of one name.

use rand::Rng;

use crate::{binary, cassandra, kafka};

/// Where the servers are, and what topics and tables are called.
#[derive(Debug, Clone)]
pub struct Site {
    /// `HOST:PORT` of the broker.
    pub kafka: String,
    /// Prefix of the topics, and name of the keyspace: small letters, digits and underscores.
    pub name: String,
    log: String,
    history: String,
    kafka_settings: Vec<String>,
}

impl Site {
    /// One of this name on the broker and the CQL server at `HOST:PORT`. Nothing is made yet.
    pub fn new(kafka: impl Into<String>, scylla: &str, name: impl Into<String>) -> Self {
        let (kafka, name) = (kafka.into(), name.into());
        let (log, history) = (format!("kafka://{kafka}/{name}"), format!("scylla://{scylla}/{name}"));
        Self { kafka, name, log, history, kafka_settings: Vec::new() }
    }

    /// The same with a setting of librdkafka, for every process.
    #[must_use]
    pub fn with_kafka(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.kafka_settings.push(format!("{name}={value}"));
        self
    }

    /// One for a test, made with so many partitions on the servers that the tests share. `None`: the test is skipped, because
    /// there is no Kafka or no CQL store.
    ///
    /// # Errors
    /// As [`Self::make`], or as [`crate::tools::skip`].
    pub async fn fresh(test: &str, partitions: u32) -> anyhow::Result<Option<Self>> {
        let Some(brokers) = kafka::shared(test).await? else { return Ok(None) };
        let Some(nodes) = cassandra::shared(test).await? else { return Ok(None) };
        let site = Self::new(brokers, &nodes, format!("test_{:08x}", rand::rng().random::<u32>()));
        site.make(partitions).await?;
        Ok(Some(site))
    }

    /// Makes the topics, with so many partitions, and the tables.
    ///
    /// # Errors
    /// A command fails.
    pub async fn make(&self, partitions: u32) -> anyhow::Result<()> {
        let partitions = partitions.to_string();
        let topics =
            ["topics", "create", "--log", &self.log, "--partitions", &partitions, "--replication", "1"];
        let tables = ["history", "migrate", "--history", &self.history, "--replication", "1"];
        tokio::try_join!(binary::run(&topics), binary::run(&tables))?;
        Ok(())
    }

    /// The topic of the events.
    pub fn topic(&self) -> String {
        format!("{}.events", self.name)
    }

    /// The topic of the signals.
    pub fn signals_topic(&self) -> String {
        format!("{}.signals", self.name)
    }

    /// The consumer group of the store nodes.
    pub fn group(&self) -> String {
        format!("{}.{}", self.name, store::projector::GROUP)
    }

    /// The history, as `--history` has it.
    pub fn history(&self) -> &str {
        &self.history
    }

    /// The options by which a command finds log and history.
    pub fn options(&self) -> Vec<&str> {
        let mut options = vec!["--log", &self.log, "--history", &self.history];
        options.extend(self.kafka_settings.iter().flat_map(|setting| ["--kafka", setting]));
        options
    }
}
