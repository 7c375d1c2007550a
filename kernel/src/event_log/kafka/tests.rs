//! The adapter on librdkafka's mock cluster, which needs no server.

use std::sync::{Arc, mpsc};

use async_trait::async_trait;
use rdkafka::{mocking::MockCluster, producer::DefaultProducerContext};
use tokio::sync::oneshot;

use super::*;
use crate::event_log::{
    SharedLog,
    conformance::{PARTITIONS, Subject},
};

type Cluster = MockCluster<'static, DefaultProducerContext>;
type Deed = Box<dyn FnOnce(&Cluster) + Send>;

/// A mock cluster, in the thread that owns it. It ends with the last handle.
#[derive(Clone)]
struct Mock {
    deeds: mpsc::SyncSender<Deed>,
    brokers: String,
}

impl Mock {
    fn start(brokers: i32) -> Self {
        let (deeds, todo) = mpsc::sync_channel::<Deed>(1);
        let (told, servers) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let cluster = MockCluster::new(brokers).unwrap();
            told.send(cluster.bootstrap_servers()).unwrap();
            todo.iter().for_each(|deed| deed(&cluster));
        });
        Self { deeds, brokers: servers.recv().unwrap() }
    }

    async fn run<T: Send + 'static>(&self, deed: impl FnOnce(&Cluster) -> T + Send + 'static) -> T {
        let (done, result) = oneshot::channel();
        self.deeds.send(Box::new(move |cluster| drop(done.send(deed(cluster))))).unwrap();
        result.await.unwrap()
    }
}

/// A log of its own on a mock cluster of its own.
struct Mocked {
    mock: Mock,
    settings: KafkaSettings,
    log: Option<KafkaLog>,
}

#[async_trait]
impl Subject for Mocked {
    const DENSE: bool = false;

    async fn fresh() -> Self {
        let mock = Mock::start(1);
        let settings = KafkaSettings::new(mock.brokers.clone(), "mock").unwrap();
        let topic = settings.events_topic();
        mock.run(move |cluster| cluster.create_topic(&topic, PARTITIONS.cast_signed(), 1)).await.unwrap();
        let log = Some(KafkaLog::open(settings.clone()).await.unwrap());
        Self { mock, settings, log }
    }

    fn log(&self) -> SharedLog {
        Arc::new(self.log.clone().unwrap())
    }

    async fn reopen(&mut self) {
        self.log = None;
        self.log = Some(KafkaLog::open(self.settings.clone()).await.unwrap());
    }
}

mod mocked {
    crate::event_log_conformance!(super::Mocked);
}

/// Is a real broker there? Locally: KAFKA=127.0.0.1:9092.
mod real {
    use super::*;

    struct Real(testing::OnBroker);

    #[async_trait]
    impl Subject for Real {
        const DENSE: bool = false;

        async fn fresh() -> Self {
            Self(testing::OnBroker::fresh(&std::env::var("TRY_KAFKA").unwrap()).await)
        }

        fn log(&self) -> SharedLog {
            self.0.log()
        }

        async fn reopen(&mut self) {
            self.0.reopen().await;
        }
    }

    crate::event_log_conformance!(Real);
}
