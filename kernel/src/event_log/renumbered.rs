//! A log whose topic uses the schema ids of an external registry, around any other.
//!
//! ```text
//!   this process   version as schema id   <-->   Renumbered   <-->   registered id   the topic
//! ```
//!
//! Invariant: nothing on this side ever meets a registered id, and nothing on the topic that we wrote carries another.
//! So mirror, projector and history need not know that there is a registry, and a history stays readable
//! whichever is in use. A record whose id is not of one of our versions passes unchanged, both ways.

use async_trait::async_trait;
use schemas::{Epoch, Partition, Position, codec::RegisteredIds};

use super::{
    AppendError, Delivery, EventLog, EventReader, NewRecord, Place, ReadError, Readership, Record, SharedLog,
};

/// See the module.
#[derive(Debug, Clone)]
pub struct Renumbered {
    topic: SharedLog,
    ids: RegisteredIds,
}

#[derive(Debug)]
struct Reader {
    topic: Box<dyn EventReader>,
    ids: RegisteredIds,
}

impl Renumbered {
    /// The log `topic`, whose records carry `ids`.
    pub fn new(topic: SharedLog, ids: RegisteredIds) -> Self {
        Self { topic, ids }
    }
}

#[async_trait]
impl EventLog for Renumbered {
    fn partitions(&self) -> u32 {
        self.topic.partitions()
    }

    fn epoch(&self) -> Epoch {
        self.topic.epoch()
    }

    async fn append(&self, mut batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        for record in &mut batch {
            record.value = self.ids.to_topic(std::mem::take(&mut record.value));
        }
        self.topic.append(batch).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        let mut records = self.topic.read(partition, from, up_to, limit).await?;
        take_in(&self.ids, &mut records);
        Ok(records)
    }

    async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        self.topic.tail(partition).await
    }

    async fn open(&self, readership: Readership) -> Result<Box<dyn EventReader>, ReadError> {
        Ok(Box::new(Reader { topic: self.topic.open(readership).await?, ids: self.ids.clone() }))
    }
}

#[async_trait]
impl EventReader for Reader {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        let mut delivery = self.topic.next().await?;
        if let Delivery::Records { records, .. } = &mut delivery {
            take_in(&self.ids, records);
        }
        Ok(delivery)
    }

    async fn commit(&mut self, partition: Partition, position: Position) -> Result<(), ReadError> {
        self.topic.commit(partition, position).await
    }
}

fn take_in(ids: &RegisteredIds, records: &mut [Record]) {
    for record in records {
        record.value = ids.from_topic(std::mem::take(&mut record.value));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schemas::codec::{Codec, SchemaId, VERSION_COUNT};

    use super::*;
    use crate::{
        clock::SystemClock,
        event_log::{BATCH_LEN_MAX, Reading, conformance, memory::MemoryLog, read},
        testing::posted,
    };

    const P0: Partition = Partition(0);

    struct OnMemory(MemoryLog);

    fn renumbered(topic: &MemoryLog) -> SharedLog {
        let ids: Vec<_> = (1_000..).take(VERSION_COUNT).map(SchemaId).collect();
        let ids = RegisteredIds::new(ids.try_into().unwrap()).unwrap();
        Arc::new(Renumbered::new(Arc::new(topic.clone()), ids))
    }

    #[async_trait]
    impl conformance::Subject for OnMemory {
        const DENSE: bool = true;

        async fn fresh() -> Self {
            Self(MemoryLog::new(conformance::PARTITIONS, Arc::new(SystemClock)))
        }

        fn log(&self) -> SharedLog {
            renumbered(&self.0)
        }

        async fn reopen(&mut self) {}
    }

    crate::event_log_conformance!(OnMemory);

    async fn all(log: &dyn EventLog) -> Vec<Record> {
        log.read(P0, Position::START, Position::new(u64::MAX), BATCH_LEN_MAX).await.unwrap()
    }

    fn new_record(value: bytes::Bytes) -> NewRecord {
        NewRecord { key: "tea".parse().unwrap(), value, headers: Vec::new() }
    }

    #[tokio::test]
    async fn the_topic_has_registered_ids_and_this_side_versions() {
        let topic = MemoryLog::new(1, Arc::new(SystemClock));
        let log = renumbered(&topic);
        let mut reader = log.open(Readership::Broadcast).await.unwrap();
        let value = Codec::default().encode(&posted("tea", "m-1", "ann")).unwrap();
        log.append(vec![new_record(value.clone())]).await.unwrap();

        let newest = 999 + u32::try_from(VERSION_COUNT).unwrap();
        assert_eq!(all(&topic).await[0].value[1..5], newest.to_be_bytes());
        assert_eq!(all(&*log).await[0].value, value);
        let delivered = loop {
            if let Delivery::Records { records, .. } = reader.next().await.unwrap() {
                break records;
            }
        };
        assert_eq!(delivered[0].value, value);
    }

    #[tokio::test]
    async fn a_newer_record_stays_one_and_an_older_one_stays_readable() {
        let topic = MemoryLog::new(1, Arc::new(SystemClock));
        let built_in = Codec::default().encode(&posted("tea", "m-1", "ann")).unwrap();
        let mut newer = built_in.to_vec();
        newer[1..5].copy_from_slice(&5_000_u32.to_be_bytes());
        topic.append(vec![new_record(built_in), new_record(newer.into())]).await.unwrap();

        let records = all(&*renumbered(&topic)).await;
        let codec = Codec::default();
        assert!(matches!(read(&records[0], &codec), Reading::Event(_)));
        assert!(matches!(read(&records[1], &codec), Reading::Newer(SchemaId(5_000))));
    }
}
