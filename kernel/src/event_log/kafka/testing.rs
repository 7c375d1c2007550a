//! The adapter on a real broker, for the conformance suite.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "for tests, which are to end at what is unexpected"
)]

use std::sync::Arc;

use super::{KafkaLog, KafkaSettings, TopicPlan, create_topics};
use crate::{
    event_log::{SharedLog, conformance::PARTITIONS},
    random,
};

/// A log of its own at a real broker: topics under a fresh prefix, which stay there.
#[derive(Debug)]
pub struct OnBroker {
    settings: KafkaSettings,
    log: Option<KafkaLog>,
}

impl OnBroker {
    /// Makes the topics and opens the log. `brokers` is `HOST:PORT[,HOST:PORT]`.
    pub async fn fresh(brokers: &str) -> Self {
        let prefix = format!("conformance-{}", random::name(10));
        let settings =
            KafkaSettings::new(brokers, prefix).expect("the brokers are written as they should be");
        create_topics(&settings, &TopicPlan::new(PARTITIONS, 1)).await.expect("the topics can be made");
        let log = KafkaLog::open(settings.clone()).await.expect("the topics can be opened");
        Self { settings, log: Some(log) }
    }

    /// The log.
    pub fn log(&self) -> SharedLog {
        Arc::new(self.log.clone().expect("it is open between two calls"))
    }

    /// Where it is.
    pub fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    /// Closes the log and opens it again, as the next process does.
    pub async fn reopen(&mut self) {
        self.log = None;
        self.log = Some(KafkaLog::open(self.settings.clone()).await.expect("the topics can be opened"));
    }
}
