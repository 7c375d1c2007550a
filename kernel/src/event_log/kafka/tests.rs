//! The adapter on librdkafka's mock cluster, which needs no server.

use std::sync::Arc;

use async_trait::async_trait;

use super::{mock::Mock, *};
use crate::event_log::{
    SharedLog,
    conformance::{PARTITIONS, Subject},
    partition_of,
};

/// A log of its own on a mock cluster of its own.
pub(super) struct Mocked {
    pub(super) mock: Mock,
    pub(super) settings: KafkaSettings,
    pub(super) log: Option<KafkaLog>,
}

#[async_trait]
impl Subject for Mocked {
    const DENSE: bool = false;
    /// The mock cluster tells every writer the time 1234.
    const TIMES: bool = false;

    async fn fresh() -> Self {
        Self::on(1).await
    }

    fn log(&self) -> SharedLog {
        Arc::new(self.log.clone().unwrap())
    }

    async fn reopen(&mut self) {
        self.log = None;
        self.log = Some(KafkaLog::open(self.settings.clone()).await.unwrap());
    }
}

impl Mocked {
    /// On so many brokers.
    async fn on(brokers: i32) -> Self {
        let mock = Mock::start(brokers);
        // The mock cluster waits for members that are gone for as long as a session may last.
        let short = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "200")];
        let short = short.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let settings =
            KafkaSettings::new(mock.brokers.clone(), "mock").unwrap().with_properties(short).unwrap();
        let topic = settings.events_topic();
        mock.run(move |cluster| cluster.create_topic(&topic, PARTITIONS.cast_signed(), 1)).await.unwrap();
        let log = Some(KafkaLog::open(settings.clone()).await.unwrap());
        Self { mock, settings, log }
    }
}

/// So many records for each partition.
pub(super) fn to_each(count: usize) -> Vec<NewRecord> {
    let records = (0..PARTITIONS).flat_map(|partition| {
        let mut keys = (0..).map(|number| format!("c{number}").parse().unwrap());
        let key = keys.find(|key| partition_of(key, PARTITIONS) == Partition(partition)).unwrap();
        vec![NewRecord { key, value: "x".into(), headers: Vec::new() }; count]
    });
    records.collect()
}

mod mocked {
    crate::event_log_conformance!(super::Mocked);
}

mod faults;
mod foreign;
mod own;
