//! What the thread does, without the thread.

use rdkafka::{config::FromClientConfigAndContext, consumer::BaseConsumer};

use super::*;
use crate::event_log::{
    conformance::Subject,
    kafka::{share::Share, tests::Mocked},
};

/// The work of a reader of the group "store".
fn work(subject: &Mocked) -> Work {
    let log = &subject.log.as_ref().unwrap().0;
    let config = subject.settings.group_consumer("store");
    let consumer = BaseConsumer::from_config_and_context(&config, Share::of("store")).unwrap();
    consumer.subscribe(&[&log.topic]).unwrap();
    Work::new(consumer, Places::new(log.topic.clone(), Arc::default(), Arc::clone(&log.desk)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_when_the_thread_panics() {
    let subject = Mocked::fresh().await;
    let work = work(&subject);
    let mailbox = Arc::clone(&work.places.mailbox);
    let panicked = thread::spawn(move || {
        let _work = work;
        panic!("a defect, for the test");
    });
    panicked.join().unwrap_err();
    assert!(matches!(mailbox.pop(), Some(Err(ReadError::Ended))));
}
