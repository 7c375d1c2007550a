use super::*;
use crate::event_log::{
    EventLog,
    conformance::{PARTITIONS, PATIENCE, Subject},
    kafka::{
        KafkaLog,
        tests::{Mocked, to_each},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_holds_little_however_far_its_reader_is_behind() {
    const ROUNDS: usize = 100;
    let subject = Mocked::fresh().await;
    let theirs = KafkaLog::open(subject.settings.clone()).await.unwrap();
    let mut reader = subject.log.as_ref().unwrap().0.follow().await.unwrap();
    // So few of each partition at once that what is taken out together is of all of them.
    let batch = to_each(100);
    for _ in 0..ROUNDS {
        theirs.append(batch.clone()).await.unwrap();
    }
    let (mut came, mut most) = (0, 0);
    while came < ROUNDS * batch.len() {
        if let Delivery::Records { records, .. } = timeout(PATIENCE, reader.next()).await.unwrap().unwrap() {
            came += records.len();
        }
        most = most.max(reader.mailbox().len());
    }
    // There was room for one more, and it was of every partition.
    assert!(most < 16 + PARTITIONS as usize, "{most}");
}
