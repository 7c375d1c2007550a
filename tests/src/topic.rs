//! The topic as strangers read it: with Kafka's own client, not with ours.

use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::{BorrowedMessage, Headers},
};
use tokio::task::spawn_blocking;

/// How long the broker may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// How long the broker may take to say who is in a group.
const GROUP_WAIT: Duration = Duration::from_secs(5);

/// A record, as far as readers that do not decode it know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    /// In which partition.
    pub partition: i32,
    /// At which place there, from 0.
    pub offset: u64,
    /// The conversation.
    pub key: String,
    /// The header `event-id`.
    pub event_id: String,
    /// The header `event-type`.
    pub event_type: String,
}

/// All records that a topic has now: the partitions one after the other, each in its order.
///
/// # Errors
/// It cannot be read.
pub async fn read(broker: String, topic: String) -> anyhow::Result<Vec<TopicRecord>> {
    spawn_blocking(move || read_blocking(&broker, &topic)).await?
}

/// Which members a consumer group has now, by their client ids.
///
/// # Errors
/// The broker does not say.
pub async fn group_members(broker: String, group: String) -> anyhow::Result<Vec<String>> {
    let members = move || {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", broker).create()?;
        let groups = consumer.fetch_group_list(Some(&group), GROUP_WAIT)?;
        let members = groups.groups().iter().flat_map(rdkafka::groups::GroupInfo::members);
        Ok(members.map(|member| member.client_id().to_owned()).collect())
    };
    spawn_blocking(members).await?
}

fn read_blocking(broker: &str, topic: &str) -> anyhow::Result<Vec<TopicRecord>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("group.id", "tests")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()?;
    let metadata = consumer.fetch_metadata(Some(topic), SILENCE_MAX)?;
    let partitions = metadata.topics().first().context("no topic")?.partitions();
    let mut all = Vec::new();
    for partition in partitions {
        let id = partition.id();
        let (low, high) = consumer.fetch_watermarks(topic, id, SILENCE_MAX)?;
        let mut place = TopicPartitionList::new();
        place.add_partition_offset(topic, id, Offset::Offset(low))?;
        consumer.assign(&place)?;
        let mut next = low;
        while next < high {
            let Some(message) = consumer.poll(SILENCE_MAX) else { bail!("{topic} {id}: silence at {next}") };
            let message = message?;
            next = message.offset() + 1;
            all.push(record(&message)?);
        }
    }
    Ok(all)
}

fn record(message: &BorrowedMessage<'_>) -> anyhow::Result<TopicRecord> {
    let header = |name: &str| -> anyhow::Result<String> {
        let headers = message.headers().context("no headers")?;
        let header = headers.iter().find(|header| header.key == name);
        let value = header.and_then(|header| header.value).with_context(|| format!("no header {name}"))?;
        Ok(String::from_utf8(value.to_vec())?)
    };
    Ok(TopicRecord {
        partition: message.partition(),
        offset: message.offset().try_into()?,
        key: String::from_utf8(message.key().context("no key")?.to_vec())?,
        event_id: header("event-id")?,
        event_type: header("event-type")?,
    })
}
