//! The log and the signals on Apache Kafka: every case of their suites and those beyond it, on a real broker, each on topics of its own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code: a panic is how a case fails"
)]

use std::sync::Arc;

use async_trait::async_trait;
use kernel::{
    clock::SystemClock,
    event_log::{
        SharedLog,
        conformance::Subject,
        kafka::{
            KafkaSettings,
            testing::{self, OnBroker},
        },
    },
    signals::{self, SharedSignals, kafka::KafkaSignals},
};
use schemas::codec::SignalCodec;
use tests::kafka;

mod drawn;
mod encrypted;
mod groups;
mod retention;
mod strangers;
mod topics;

/// `None`: there is no broker, and the test is skipped.
async fn brokers() -> Option<String> {
    kafka::shared("the log on Kafka").await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// A log at the broker that all cases share.
struct OnKafka(OnBroker);

#[async_trait]
impl Subject for OnKafka {
    // Only transactions leave marks between the records, and the log has none.
    const DENSE: bool = true;

    async fn available() -> bool {
        brokers().await.is_some()
    }

    async fn fresh() -> Self {
        let Some(brokers) = brokers().await else { unreachable!("no case runs without a broker") };
        Self(OnBroker::fresh(&brokers).await)
    }

    fn log(&self) -> SharedLog {
        self.0.log()
    }

    async fn reopen(&mut self) {
        self.0.reopen().await;
    }
}

mod suite {
    kernel::event_log_conformance!(super::OnKafka);
}

/// Nodes that meet on topics of their own at the broker that all cases share.
struct SignalsOnKafka(KafkaSettings);

#[async_trait]
impl signals::conformance::Subject for SignalsOnKafka {
    async fn available() -> bool {
        brokers().await.is_some()
    }

    async fn fresh() -> Self {
        let Some(brokers) = brokers().await else { unreachable!("no case runs without a broker") };
        Self(OnBroker::fresh(&brokers).await.settings().clone())
    }

    async fn node(&self) -> SharedSignals {
        let node = KafkaSignals::open(&self.0, SignalCodec::default(), Arc::new(SystemClock)).await;
        Arc::new(node.unwrap())
    }
}

mod signals_suite {
    kernel::signals_conformance!(super::SignalsOnKafka);
}

macro_rules! beyond {
    ($($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            if let Some(brokers) = brokers().await {
                testing::$case(&brokers).await;
            }
        }
    )+};
}

beyond! {
    topics_are_made_once_and_keep_their_partitions
    a_replaced_topic_is_noticed
}
