//! The adapter on a real broker, for the conformance suite.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "for tests, which are to end at what is unexpected"
)]

use std::sync::Arc;

use bytes::Bytes;
use rdkafka::{
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
    config::FromClientConfig,
};
use tokio::time::timeout;

use super::{KafkaLog, KafkaSettings, TopicError, TopicPlan, create_topics};
use crate::{
    event_log::{
        AppendError, EventLog, NewRecord, ReadError, Readership, SharedLog,
        conformance::{PARTITIONS, PATIENCE},
    },
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

/// Topics are made once, and never with another number of partitions.
pub async fn topics_are_made_once_and_keep_their_partitions(brokers: &str) {
    let prefix = format!("topics-{}", random::name(10));
    let settings = KafkaSettings::new(brokers, prefix).expect("the brokers are written as they should be");
    let both = [settings.events_topic(), settings.signals_topic()];
    let made = create_topics(&settings, &TopicPlan::new(3, 1)).await.expect("the topics can be made");
    assert_eq!((&made.made[..], &made.found[..]), (&both[..], &[][..]));
    let found = create_topics(&settings, &TopicPlan::new(3, 1)).await.expect("they are there");
    assert_eq!((&found.made[..], &found.found[..]), (&[][..], &both[..]));
    let error = create_topics(&settings, &TopicPlan::new(4, 1)).await.expect_err("keys would move");
    assert!(matches!(error, TopicError::OtherPartitions { found: 3, asked: 4, .. }), "{error}");
    let log = KafkaLog::open(settings).await.expect("they are fit to be the log");
    assert_eq!(log.partitions(), 3);
}

/// A log whose topic was made anew under it gives nobody an answer any more, and its next incarnation has another epoch.
pub async fn a_replaced_topic_is_noticed(brokers: &str) {
    let mut subject = OnBroker::fresh(brokers).await;
    let log = subject.log();
    let record = || NewRecord {
        key: "tea".parse().expect("a conversation id"),
        value: Bytes::from_static(b"x"),
        headers: Vec::new(),
    };
    let place = log.append(vec![record(); 3]).await.expect("the log takes records")[2];
    let mut readers = Vec::new();
    for readership in [Readership::Broadcast, Readership::Group("store")] {
        readers.push(log.open(readership).await.expect("the log can be followed"));
    }
    replace(subject.settings()).await;
    for reader in &mut readers {
        let ended = async {
            loop {
                if let Err(error) = reader.next().await
                    && !error.retryable()
                {
                    return error;
                }
            }
        };
        let error = timeout(PATIENCE, ended).await.expect("it is noticed");
        assert!(matches!(error, ReadError::Replaced { .. } | ReadError::Lost { .. }), "{error}");
    }
    let noticed = async {
        while !matches!(log.tail(place.partition).await, Err(ReadError::Replaced { .. })) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, noticed).await.expect("it is noticed");
    let error = log.append(vec![record()]).await.expect_err("it is another log");
    assert!(matches!(error, AppendError::Unavailable { .. }), "{error}");
    let epoch = log.epoch();
    subject.reopen().await;
    assert_ne!(subject.log().epoch(), epoch);
}

/// Deletes the topics, and makes them again.
async fn replace(settings: &KafkaSettings) {
    let admin: AdminClient<DefaultClientContext> =
        AdminClient::from_config(&settings.admin()).expect("a client can be made");
    let (events, signals) = (settings.events_topic(), settings.signals_topic());
    let deleted = admin.delete_topics(&[&events, &signals], &AdminOptions::new()).await;
    assert!(deleted.expect("the cluster answers").iter().all(Result::is_ok), "the topics can be deleted");
    let plan = TopicPlan::new(PARTITIONS, 1);
    let made = async {
        // A topic goes in steps: its name may still be taken.
        while !create_topics(settings, &plan).await.is_ok_and(|created| created.made.len() == 2) {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, made).await.expect("the topics can be made again");
}
