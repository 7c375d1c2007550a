//! The log over encrypted connections, with a password.

use std::{fs, path::Path};

use kernel::event_log::{
    EventLog, NewRecord,
    kafka::{KafkaLog, KafkaSettings, TopicPlan, create_topics},
};
use schemas::{Partition, Position};
use tests::{
    Authority, Kafka,
    jvm::{Setup, Tls},
    kafka::{PASSWORD, USER},
};

#[tokio::test]
async fn whoever_trusts_the_brokers_and_knows_the_password_comes_in() {
    let Some(kit) = Kafka::kit("the log over encrypted connections").await.unwrap() else { return };
    let (of_servers, strangers) =
        (Authority::new("of servers").unwrap(), Authority::new("strangers").unwrap());
    let tls = Tls { server: of_servers.vouch("127.0.0.1").unwrap(), authority: String::new() };
    let kafka = Kafka::start(&kit, Setup { tls: Some(tls), ..Setup::default() }).await.unwrap();
    let brokers = kafka.encrypted().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let vouching = |name: &str, authority: &Authority| {
        let path = folder.path().join(name);
        fs::write(&path, authority.certificate()).unwrap();
        path
    };
    let (servers, strangers) = (vouching("servers.pem", &of_servers), vouching("strangers.pem", &strangers));
    let settings = |ca: &Path, password: &str| {
        let properties = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanisms", "PLAIN"),
            ("sasl.username", USER),
            ("sasl.password", password),
            ("ssl.ca.location", ca.to_str().unwrap()),
        ];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        KafkaSettings::new(&brokers, "encrypted").unwrap().with_properties(properties.into()).unwrap()
    };

    let plan = TopicPlan::new(1, 1);
    let right = settings(&servers, PASSWORD);
    create_topics(&right, &plan).await.unwrap();
    let log = KafkaLog::open(right).await.unwrap();
    let record =
        NewRecord { key: "tea".parse().unwrap(), value: b"x".as_slice().into(), headers: Vec::new() };
    log.append(vec![record]).await.unwrap();
    let read = log.read(Partition(0), Position::START, Position::new(1), 10).await.unwrap();
    assert_eq!(&read[0].value[..], b"x");

    for (wrong, said) in
        [(settings(&servers, "a-guess"), "uthentication"), (settings(&strangers, PASSWORD), "ertificate")]
    {
        let error = create_topics(&wrong, &plan).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        let error = KafkaLog::open(wrong).await.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}
