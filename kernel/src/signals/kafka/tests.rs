//! The adapter on librdkafka's mock cluster.

use async_trait::async_trait;
use schemas::signal::{Asked, Came, Session};
use tokio::time::timeout;

use super::*;
use crate::{
    clock::SystemClock,
    event_log::kafka::{SIGNALS_LEN_MAX, mock::Mock},
    signals::{
        SharedSignals,
        conformance::{PATIENCE, Subject},
    },
};

const PARTITIONS: i32 = 4;

struct Mocked {
    mock: Mock,
    settings: KafkaSettings,
}

impl Mocked {
    async fn open(&self) -> Result<KafkaSignals, OpenError> {
        KafkaSignals::open(&self.settings, SignalCodec::default(), Arc::new(SystemClock)).await
    }
}

#[async_trait]
impl Subject for Mocked {
    async fn fresh() -> Self {
        let mock = Mock::start(1);
        let settings = KafkaSettings::new(mock.brokers.clone(), "mock").unwrap();
        let topic = settings.signals_topic();
        mock.run(move |cluster| cluster.create_topic(&topic, PARTITIONS, 1)).await.unwrap();
        Self { mock, settings }
    }

    async fn node(&self) -> SharedSignals {
        Arc::new(self.open().await.unwrap())
    }
}

crate::signals_conformance!(Mocked);

fn came() -> SignalBody {
    let session = Session { user: "ann".parse().unwrap(), client: "s-1".parse().unwrap() };
    SignalBody::Came(Came { conversation: "tea".parse().unwrap(), session })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_brokers_are_away_signals_are_dropped_and_afterwards_heard_again() {
    let subject = Mocked::fresh().await;
    let (one, other) = (subject.open().await.unwrap(), subject.node().await);
    let mut heard = other.watch();
    subject.mock.run(|cluster| cluster.broker_down(1)).await.unwrap();
    // Twice what fits: nobody is held up.
    for _ in 0..2 * SIGNALS_LEN_MAX {
        one.publish(came());
    }
    // The client counts what it has to tell of itself too.
    assert!((1..SIGNALS_LEN_MAX as usize + 100).contains(&one.waiting()), "{} wait", one.waiting());
    subject.mock.run(|cluster| cluster.broker_up(1)).await.unwrap();
    let again = async {
        loop {
            one.publish(SignalBody::Asked(Asked {}));
            one.flush().await;
            while let Ok(signal) = heard.try_recv() {
                if matches!(signal.body, SignalBody::Asked(_)) {
                    return;
                }
            }
        }
    };
    timeout(PATIENCE, again).await.expect("it is heard again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_signal_is_passed_over() {
    let subject = Mocked::fresh().await;
    let (one, other) = (subject.open().await.unwrap(), subject.node().await);
    let mut heard = other.watch();
    let producer = one.producer.as_ref().unwrap();
    let long = vec![0; 100_000];
    for value in [&b""[..], b"{\"json\":1}", b"\0\0\0\0\x01x", &long] {
        producer.send(BaseRecord::to(&one.topic).key("tea").payload(value)).map_err(|(e, _)| e).unwrap();
    }
    one.publish(came());
    let signal = timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
    assert_eq!(signal.body, came());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_topic_it_does_not_open() {
    let mock = Mock::start(1);
    let settings = KafkaSettings::new(mock.brokers.clone(), "mock").unwrap();
    let error = Mocked { mock, settings }.open().await.unwrap_err();
    assert!(matches!(&error, OpenError::NoTopic { topic } if topic == "mock.signals"), "{error}");
}
