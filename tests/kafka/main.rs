//! The log on Apache Kafka: every case of the suite, on a real broker, each on topics of its own.

use async_trait::async_trait;
use kernel::event_log::{SharedLog, conformance::Subject, kafka::testing::OnBroker};
use tests::kafka;

/// A log at the broker that all cases share.
struct OnKafka(OnBroker);

async fn brokers() -> Option<String> {
    kafka::shared("the log on Kafka").await.unwrap()
}

#[async_trait]
impl Subject for OnKafka {
    // A broker that ends a transaction leaves marks; ours has none, so its offsets rise by one.
    const DENSE: bool = true;

    async fn available() -> bool {
        brokers().await.is_some()
    }

    async fn fresh() -> Self {
        let brokers = brokers().await.expect("it is available");
        Self(OnBroker::fresh(&brokers).await)
    }

    fn log(&self) -> SharedLog {
        self.0.log()
    }

    async fn reopen(&mut self) {
        self.0.reopen().await;
    }
}

kernel::event_log_conformance!(OnKafka);
