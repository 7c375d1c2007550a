use super::*;

fn properties(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_place_is_read_and_written() {
    for text in ["kafka://a:9092/tidings", "kafka://a-1.example:9092,[::1]:1/team.chat_2"] {
        assert_eq!(text.parse::<KafkaSettings>().unwrap().to_string(), text);
    }
    let settings: KafkaSettings = "kafka://a:1,b:2/tidings".parse().unwrap();
    assert_eq!((settings.brokers(), settings.prefix()), ("a:1,b:2", "tidings"));
    assert_eq!(settings.events_topic(), "tidings.events");
    assert_eq!(settings.signals_topic(), "tidings.signals");
}

#[test]
fn what_is_no_place_is_refused() {
    for text in ["", "a:1/x", "kafka://a:1", "kafka:///x", "kafka://a/x", "kafka://a:0/x", "kafka://a:1,/x"] {
        assert!(text.parse::<KafkaSettings>().is_err(), "{text}");
    }
    for text in ["kafka://a:1/", "kafka://a:1/x/y", "kafka://a:1/ü", "kafka://user:secret@a:1/x"] {
        assert!(text.parse::<KafkaSettings>().is_err(), "{text}");
    }
    assert!(KafkaSettings::new("a:1", "x".repeat(PREFIX_LEN_MAX + 1)).is_err());
}

#[test]
fn what_promises_rest_on_cannot_be_set() {
    let settings = || KafkaSettings::new("a:1", "x").unwrap();
    let some =
        ["acks", "client.rack", "enable.idempotence", "enable.auto.commit", "group.id", "isolation.level"];
    for name in some {
        let refused = settings().with_properties(properties(&[(name, "1")])).unwrap_err();
        assert_eq!(refused, SettingsError::Ours { name: name.to_owned() });
    }
    let settings = settings().with_properties(properties(&[("linger.ms", "7")])).unwrap();
    assert_eq!(settings.producer().get("linger.ms"), Some("7"));
}

/// With the client's own minute live delivery would stand still for as long.
#[test]
fn a_reader_gives_a_silent_connection_up_within_seconds_and_a_group_is_patient() {
    let settings = KafkaSettings::new("a:1", "x").unwrap();
    let patience = |config: ClientConfig| config.get("socket.timeout.ms").map(str::to_owned);
    for reader in [
        settings.consumer("tail"),
        settings.consumer_at(Pace::Unhurried, "tail"),
        settings.signals_consumer(),
    ] {
        assert_eq!(patience(reader).as_deref(), Some("5000"));
    }
    assert_eq!(patience(settings.group_consumer("store")).as_deref(), Some("60000"));
}

#[test]
fn every_promise_is_among_what_cannot_be_set() {
    let plain = KafkaSettings::new("a:1", "x").unwrap();
    for name in OURS {
        assert!(plain.admin().get(name).is_none() || name == "bootstrap.servers", "{name}");
    }
    // Each property that we set is either a promise, and then it is listed, or can be set from outside.
    let all = |settings: &KafkaSettings| {
        let events = [settings.producer(), settings.consumer("store")];
        events.into_iter().chain([settings.signals_producer(), settings.signals_consumer()])
    };
    for config in all(&plain) {
        for name in config.config_map().keys().filter(|name| !OURS.contains(name)) {
            let other = plain.clone().with_properties(properties(&[(name, "other")])).unwrap();
            let changed = all(&other).filter_map(|config| config.get(name).map(str::to_owned));
            assert!(changed.clone().all(|value| value == "other"), "{name}");
        }
    }
}

#[test]
fn readers_that_nobody_waits_for_let_brokers_wait_unless_they_are_told_otherwise() {
    let fetch = |config: ClientConfig| {
        ["fetch.min.bytes", "fetch.wait.max.ms"].map(|name| config.get(name).unwrap().to_owned())
    };
    let plain = KafkaSettings::new("a:1", "x").unwrap();
    assert_eq!(fetch(plain.consumer("x")), ["1", "500"]);
    assert_eq!(fetch(plain.group_consumer("x")), ["65536", "50"]);
    assert_eq!(fetch(plain.clone().unhurried().consumer("x")), ["16384", "5"]);
    let set = plain.with_properties(properties(&[("fetch.min.bytes", "7")])).unwrap();
    assert_eq!(fetch(set.group_consumer("x")), ["7", "50"]);
    assert_eq!(fetch(set.unhurried().consumer("x")), ["7", "5"]);
}

#[test]
fn who_we_are_and_whom_we_trust_reaches_every_client() {
    use rdkafka::{consumer::BaseConsumer, producer::BaseProducer};

    let access = properties(&[
        ("security.protocol", "SASL_SSL"),
        ("sasl.mechanism", "SCRAM-SHA-512"),
        ("sasl.username", "tidings"),
        ("sasl.password", "hunter2"),
        ("ssl.endpoint.identification.algorithm", "https"),
    ]);
    let settings = KafkaSettings::new("127.0.0.1:1", "x").unwrap().with_properties(access.clone()).unwrap();
    for config in [settings.admin(), settings.producer(), settings.consumer("store")] {
        for (name, value) in &access {
            assert_eq!(config.get(name), Some(value.as_str()));
        }
    }
    // librdkafka makes a client only if it was built with TLS and SCRAM.
    settings.admin().create::<BaseConsumer>().unwrap();
    settings.producer().create::<BaseProducer>().unwrap();
    settings.consumer("store").create::<BaseConsumer>().unwrap();
    let unknown = properties(&[("sasl.mechanism", "SCRAM-SHA-512"), ("security.protocol", "SASL_TLS")]);
    let settings = settings.with_properties(unknown).unwrap();
    assert!(settings.producer().create::<BaseProducer>().is_err());
}

#[test]
fn no_secret_comes_out() {
    let secrets =
        properties(&[("sasl.password", "hunter2"), ("ssl.key.pem", "-----BEGIN"), ("x", "hunter2")]);
    let settings = KafkaSettings::new("a:1", "x").unwrap().with_properties(secrets).unwrap();
    let shown = format!("{settings:?} {settings}");
    assert!(shown.contains("sasl.password"), "{shown}");
    assert!(!shown.contains("hunter2") && !shown.contains("BEGIN"), "{shown}");
}
