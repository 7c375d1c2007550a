//! What somebody else wrote to the topic.

use std::time::Duration;

use rdkafka::{
    config::FromClientConfig,
    producer::{BaseProducer, Producer},
};

use super::{
    faults::{append, soon, values},
    *,
};
use crate::event_log::Header;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_whose_name_is_no_text_stops_nobody() {
    let subject = Mocked::fresh().await;
    let log = subject.log();
    let mut readers = Vec::new();
    for readership in [Readership::Broadcast, Readership::Group("store")] {
        readers.push(soon(log.open(readership)).await.unwrap());
    }
    let Place { partition, .. } = append(&log, "before").await;
    let theirs: BaseProducer = BaseProducer::from_config(&subject.settings.producer()).unwrap();
    let (topic, number) = (subject.settings.events_topic(), partition.0.cast_signed());
    native::write_with_header(theirs.client(), &topic, number, "theirs", c"caf\xe9").unwrap();
    theirs.flush(Duration::from_secs(10)).unwrap();
    let after = append(&log, "after").await;
    for reader in &mut readers {
        assert_eq!(values(&mut **reader, 3).await, ["before", "theirs", "after"]);
    }
    let records = soon(log.read(partition, Position::START, after.offset.position(), 3)).await.unwrap();
    let headers = records.into_iter().map(|record| record.headers.to_vec());
    let theirs = Header { name: "caf\u{fffd}".to_owned(), value: "1".into() };
    assert_eq!(headers.collect::<Vec<_>>(), [vec![], vec![theirs], vec![]]);
}
