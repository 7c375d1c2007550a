//! Topics that cannot be made, or that cannot be the log.

use kernel::event_log::kafka::{KafkaLog, KafkaSettings, OpenError, TopicError, TopicPlan, create_topics};
use kernel::random;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};

use crate::{brokers, drawn::soon};

fn settings(brokers: &str) -> KafkaSettings {
    KafkaSettings::new(brokers, format!("topics-{}", random::name(10))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_copies_than_brokers_are_refused_with_what_to_do() {
    let Some(brokers) = brokers().await else { return };
    let error = soon(create_topics(&settings(&brokers), &TopicPlan::new(1, 999))).await.unwrap_err();
    assert!(matches!(error, TopicError::TooFewBrokers { asked: 999, .. }), "{error}");
    assert!(error.to_string().contains("--replication 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whose_times_are_those_of_writers_is_not_the_log() {
    let Some(brokers) = brokers().await else { return };
    let settings = settings(&brokers);
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &brokers).create().unwrap();
    let topic = settings.events_topic();
    let new = NewTopic::new(&topic, 1, TopicReplication::Fixed(1));
    soon(admin.create_topics([&new], &AdminOptions::new())).await.unwrap()[0].as_ref().unwrap();
    let opened = async {
        loop {
            // It takes a moment until it is known.
            match KafkaLog::open(settings.clone()).await.unwrap_err() {
                OpenError::NoTopic { .. } => tokio::task::yield_now().await,
                error => return error,
            }
        }
    };
    let error = soon(opened).await;
    assert!(matches!(error, OpenError::Unfit { setting: "message.timestamp.type", .. }), "{error}");
}
