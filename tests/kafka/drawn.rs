//! What the cases share that go past the suite: records of one conversation, and what a reader brings of them.

use std::time::Duration;

use kernel::event_log::{
    Delivery, EventReader, NewRecord, Place, Readership, Record, SharedLog, conformance::PATIENCE,
};
use schemas::{Partition, Position};
use tokio::time::timeout;

/// The conversation of all of them.
pub(crate) const KEY: &str = "tea";

pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it comes within the patience of the suite")
}

pub(crate) fn record(value: impl Into<String>) -> NewRecord {
    NewRecord { key: KEY.parse().unwrap(), value: value.into().into(), headers: Vec::new() }
}

pub(crate) async fn append(log: &SharedLog, value: &str) -> Place {
    soon(log.append(vec![record(value)])).await.unwrap()[0]
}

pub(crate) async fn open(log: &SharedLog, readership: Readership) -> Box<dyn EventReader> {
    soon(log.open(readership)).await.unwrap()
}

pub(crate) fn value(record: &Record) -> String {
    String::from_utf8(record.value.to_vec()).unwrap()
}

/// What a reader brought of one partition.
#[derive(Debug, Default)]
pub(crate) struct Brought {
    pub(crate) values: Vec<String>,
    /// Where its records were said to begin, each time.
    pub(crate) begun: Vec<Position>,
    pub(crate) revoked: bool,
}

impl Brought {
    /// Takes what comes until something holds of it.
    pub(crate) async fn until(
        &mut self,
        reader: &mut dyn EventReader,
        partition: Partition,
        holds: impl Fn(&Self) -> bool,
    ) {
        while !holds(self) {
            match soon(reader.next()).await {
                Ok(Delivery::Assigned { partition: of, from }) if of == partition => self.begun.push(from),
                Ok(Delivery::Revoked { partition: of }) if of == partition => self.revoked = true,
                Ok(Delivery::Records { partition: of, records }) if of == partition => {
                    self.values.extend(records.iter().map(value));
                }
                Ok(_) => {}
                Err(error) => assert!(error.retryable(), "{error}"),
            }
        }
    }
}

/// Tries a commit until the brokers take it: right after an assignment the group may still be settling.
pub(crate) async fn commit(reader: &mut dyn EventReader, partition: Partition, position: Position) {
    let taken = async {
        while let Err(error) = reader.commit(partition, position).await {
            assert!(error.retryable(), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon(taken).await;
}
