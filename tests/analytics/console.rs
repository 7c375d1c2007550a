//! Java's console consumer: what stands beside the values, as Kafka's own tool says it.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Kafka, tools::Kit};
use tokio::{process::Command, time::timeout};

/// How long it may take.
const CONSOLE_WAIT: Duration = Duration::from_mins(2);
/// How long it may wait for the next record, in milliseconds.
const SILENCE_MAX_MS: &str = "60000";

pub(crate) struct Console(Kit);

/// One record without its value. In this order: partition and offset first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    partition: u32,
    offset: u64,
    key: String,
    headers: String,
}

/// What was printed, in the order of printing.
pub(crate) struct Printed(Vec<Line>);

impl Console {
    /// `None`: the test is skipped, because there is no Java.
    pub(crate) async fn of(test: &str) -> anyhow::Result<Option<Self>> {
        Ok(Kafka::kit(test).await?.map(Self))
    }

    /// The first `len` records of a topic.
    pub(crate) async fn read(&self, brokers: &str, topic: &str, len: usize) -> anyhow::Result<Printed> {
        let mut command = Command::new(self.0.interpreter());
        command.arg("-XX:TieredStopAtLevel=1").arg("-cp").arg(self.0.class_path());
        command.args(["org.apache.kafka.tools.consumer.ConsoleConsumer", "--from-beginning"]);
        command.args(["--bootstrap-server", brokers, "--topic", topic]);
        command.args(["--max-messages", &len.to_string(), "--timeout-ms", SILENCE_MAX_MS]);
        for property in ["print.partition", "print.offset", "print.key", "print.headers"] {
            command.args(["--property", &format!("{property}=true")]);
        }
        command.args(["--property", "print.value=false"]).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(CONSOLE_WAIT, command.output()).await.context("the consumer does not end")??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the console consumer ended with {}: {said}", output.status);
        let lines =
            String::from_utf8(output.stdout)?.lines().map(Line::read).collect::<anyhow::Result<_>>()?;
        Ok(Printed(lines))
    }
}

impl Printed {
    /// Whether the records of each partition came in its order.
    pub(crate) fn in_order(&self) -> bool {
        let mut places: BTreeMap<u32, u64> = BTreeMap::new();
        self.0.iter().all(|line| {
            let before = places.insert(line.partition, line.offset);
            before.is_none_or(|before| before < line.offset)
        })
    }

    pub(crate) fn sorted(mut self) -> Vec<Line> {
        self.0.sort();
        self.0
    }
}

impl Line {
    /// `Partition:2<tab>Offset:0<tab>event-type:…,event-id:…<tab>tea`
    fn read(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<_> = text.split('\t').collect();
        let [partition, offset, headers, key] = parts[..] else { anyhow::bail!("not a record: {text}") };
        Ok(Self {
            partition: partition.strip_prefix("Partition:").context("no partition")?.parse()?,
            offset: offset.strip_prefix("Offset:").context("no offset")?.parse()?,
            key: key.to_owned(),
            headers: headers.to_owned(),
        })
    }

    /// The same from a record that the Python script read.
    pub(crate) fn of(record: &Value) -> anyhow::Result<Self> {
        let headers: Vec<(String, String)> = serde_json::from_value(record["headers"].clone())?;
        let headers: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        Ok(Self {
            partition: u32::try_from(record["partition"].as_u64().context("no partition")?)?,
            offset: record["offset"].as_u64().context("no offset")?,
            key: record["key"].as_str().context("no key")?.to_owned(),
            headers: headers.join(","),
        })
    }
}
