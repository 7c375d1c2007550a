//! Where the topics are and how to get at them: `kafka://HOST:PORT[,HOST:PORT]/TOPIC-PREFIX` and properties for librdkafka.
//!
//! Invariant: what the promises of the log rest on (idempotence, acknowledgement by all, offsets that nobody commits
//! but us, …) cannot be set from outside. And no secret comes out again: `Debug` names properties, and keeps their values.

use std::{collections::BTreeMap, fmt, str::FromStr};

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};
use schemas::caps::APPEND_DEADLINE_MS;

/// Longest prefix, in bytes: a topic's name may have 249.
const PREFIX_LEN_MAX: usize = 200;
/// How long librdkafka tries to deliver a record, in milliseconds. It looks for records that are late once a second: so
/// its answer, which knows more than the caller's clock does, is there before the deadline.
const DELIVERY_TIMEOUT_MS: u64 = APPEND_DEADLINE_MS - 3_000;
/// The same for a signal, which is worth nothing later.
const SIGNAL_TIMEOUT_MS: &str = "5000";
/// Most signals, and their most KiB, that wait to be acknowledged.
pub(crate) const SIGNALS_LEN_MAX: u32 = 32 * 1_024;
const SIGNALS_SIZE_MAX_KIB: u32 = 32 * 1_024;
/// Most bytes that a reader fetches ahead, in KiB.
const FETCHED_AHEAD_MAX_KIB: u32 = 32 * 1_024;

/// How long a broker may leave a request of a reader unanswered until its connection counts as dead and another is made, in milliseconds.
/// The default is a minute, for which a connection that broke without a word would keep live delivery and posts waiting.
const ANSWER_TIMEOUT_MS: &str = "5000";
/// The same in a group: its members wait for each other.
const GROUP_ANSWER_TIMEOUT_MS: &str = "60000";

/// What the promises rest on, whatever the instance. Each is set here, or left at a default that is needed.
const OURS: [&str; 34] = [
    "acks",
    "allow.auto.create.topics",
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "bootstrap.servers",
    // A replica that is not the leader may end before what was acknowledged, and its end would be taken for the log's.
    "client.rack",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.max.bytes",
    "message.send.max.retries",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "partitioner",
    "produce.offset.report",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queuing.strategy",
    "request.required.acks",
    "request.timeout.ms",
    "retries",
    "transactional.id",
];

/// How soon brokers are to give what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// At once.
    Hurried,
    /// When it is worth an answer, or after a moment.
    Unhurried,
}

/// Which brokers, which topics, and with which properties.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    brokers: String,
    prefix: String,
    properties: BTreeMap<String, String>,
    pace: Pace,
}

/// Why settings are no settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// It is written otherwise.
    #[error("{text:?} is no place of topics; write kafka://HOST:PORT[,HOST:PORT]/TOPIC-PREFIX")]
    Form {
        /// What was given.
        text: String,
    },
    /// A broker is written otherwise.
    #[error("{broker:?} is no broker; write HOST:PORT")]
    Broker {
        /// What was given.
        broker: String,
    },
    /// No topic can have such a name.
    #[error(
        "{prefix:?} is no prefix of topics: 1 to {PREFIX_LEN_MAX} letters, digits, full stops, hyphens and underscores"
    )]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// A promise of the log rests on this property.
    #[error("the property {name} cannot be set: a promise of the log rests on it")]
    Ours {
        /// Its name.
        name: String,
    },
}

impl KafkaSettings {
    /// Settings without properties. `brokers` is `HOST:PORT[,HOST:PORT]`; the topics are called `{prefix}.events` and
    /// `{prefix}.signals`.
    ///
    /// # Errors
    /// See [`SettingsError`].
    pub fn new(brokers: impl Into<String>, prefix: impl Into<String>) -> Result<Self, SettingsError> {
        let (brokers, prefix) = (brokers.into(), prefix.into());
        if let Some(broker) = brokers.split(',').find(|broker| !is_broker(broker)) {
            return Err(SettingsError::Broker { broker: broker.to_owned() });
        }
        let letter = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
        if prefix.is_empty() || prefix.len() > PREFIX_LEN_MAX || !prefix.bytes().all(letter) {
            return Err(SettingsError::Prefix { prefix });
        }
        Ok(Self { brokers, prefix, properties: BTreeMap::new(), pace: Pace::Hurried })
    }

    /// The same with these properties of librdkafka in place of those that it had: SASL, TLS and whatever else.
    ///
    /// # Errors
    /// [`SettingsError::Ours`]. Whether librdkafka knows a property shows when the log is opened.
    pub fn with_properties(mut self, properties: BTreeMap<String, String>) -> Result<Self, SettingsError> {
        if let Some(name) = properties.keys().find(|name| OURS.contains(&name.as_str())) {
            return Err(SettingsError::Ours { name: name.clone() });
        }
        self.properties = properties;
        Ok(self)
    }

    /// The same for a node without sessions: its readers let brokers wait a moment for company. What it writes itself it hears of from the
    /// acknowledgement; only others that write to the same partition have its answers wait for that moment.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { pace: Pace::Unhurried, ..self }
    }

    /// How readers of every partition begin.
    pub(super) fn pace(&self) -> Pace {
        self.pace
    }

    /// The brokers to begin with.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// What the names of topics and groups begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The topic of the events.
    pub fn events_topic(&self) -> String {
        format!("{}.events", self.prefix)
    }

    /// The topic of what is gone when it is over, as typing.
    pub fn signals_topic(&self) -> String {
        format!("{}.signals", self.prefix)
    }

    /// What every client has in common.
    fn client(&self, tuning: &[(&str, &str)], promises: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Info);
        // A broker that is back is found again within a second, not ten.
        config.set("reconnect.backoff.max.ms", "1000");
        for (name, value) in tuning {
            config.set(*name, *value);
        }
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        for (name, value) in promises {
            config.set(*name, *value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// For looking at topics.
    pub(super) fn admin(&self) -> ClientConfig {
        self.client(&[], &[])
    }

    /// For the writer.
    pub(super) fn producer(&self) -> ClientConfig {
        let timeout = DELIVERY_TIMEOUT_MS.to_string();
        self.client(
            // What waits while requests are under way goes out together; nothing waits for company.
            &[("linger.ms", "0"), ("compression.type", "lz4")],
            &[
                ("enable.idempotence", "true"),
                ("acks", "all"),
                ("delivery.timeout.ms", &timeout),
                // Only for those who write past us: we name the partition.
                ("partitioner", "murmur2_random"),
                // Larger than what the writer lets in: this queue is never full.
                ("queue.buffering.max.messages", "200000"),
                ("queue.buffering.max.kbytes", "1048576"),
            ],
        )
    }

    /// For the writer of signals. Nothing is sent again, so that no signal comes behind a later one.
    pub(crate) fn signals_producer(&self) -> ClientConfig {
        let (len, size) = (SIGNALS_LEN_MAX.to_string(), SIGNALS_SIZE_MAX_KIB.to_string());
        self.client(
            // Heartbeats come many at a time.
            &[("linger.ms", "5"), ("compression.type", "lz4")],
            &[
                ("acks", "1"),
                ("retries", "0"),
                ("delivery.timeout.ms", SIGNAL_TIMEOUT_MS),
                ("partitioner", "murmur2_random"),
                ("queue.buffering.max.messages", &len),
                ("queue.buffering.max.kbytes", &size),
            ],
        )
    }

    /// For a reader of signals. Where it was is gone soon; then it goes on at the tail.
    pub(crate) fn signals_consumer(&self) -> ClientConfig {
        let mut config = self.reader("signals", "1", "500", ANSWER_TIMEOUT_MS);
        config.set("auto.offset.reset", "latest");
        config
    }

    /// For a reader of a group, which does the same work at a lower cost when records come many at a time.
    pub(super) fn group_consumer(&self, group: &str) -> ClientConfig {
        self.reader(group, "65536", "50", GROUP_ANSWER_TIMEOUT_MS)
    }

    /// For a reader; `group` is the name behind the prefix.
    pub(super) fn consumer(&self, group: &str) -> ClientConfig {
        self.consumer_at(self.pace, group)
    }

    /// The same at another pace.
    pub(super) fn consumer_at(&self, pace: Pace, group: &str) -> ClientConfig {
        let (min_bytes, wait_ms) = match pace {
            Pace::Hurried => ("1", "500"),
            Pace::Unhurried => ("16384", "5"),
        };
        self.reader(group, min_bytes, wait_ms, ANSWER_TIMEOUT_MS)
    }

    /// A broker waits for so many bytes before it answers, or for so many milliseconds; `answer_ms` later it counts as silent.
    fn reader(&self, group: &str, min_bytes: &str, wait_ms: &str, answer_ms: &str) -> ClientConfig {
        let ahead = FETCHED_AHEAD_MAX_KIB.to_string();
        let mut config = self.client(
            &[
                ("queued.max.messages.kbytes", &ahead),
                // A queue that was full is fed again after this time, in milliseconds. The default is a second.
                ("fetch.queue.backoff.ms", "10"),
                ("fetch.min.bytes", min_bytes),
                ("fetch.wait.max.ms", wait_ms),
                ("socket.timeout.ms", answer_ms),
                ("check.crcs", "true"),
            ],
            &[
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                // To start anywhere else than asked would leave something out without a word.
                ("auto.offset.reset", "error"),
                ("partition.assignment.strategy", "cooperative-sticky"),
                // What was acknowledged is visible at once, whatever transactions others leave open.
                ("isolation.level", "read_uncommitted"),
                ("allow.auto.create.topics", "false"),
            ],
        );
        config.set("group.id", format!("{}.{group}", self.prefix));
        config
    }
}

impl FromStr for KafkaSettings {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let place = text.strip_prefix("kafka://").and_then(|place| place.split_once('/'));
        let (brokers, prefix) = place.ok_or_else(|| SettingsError::Form { text: text.to_owned() })?;
        Self::new(brokers, prefix)
    }
}

impl fmt::Display for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kafka://{}/{}", self.brokers, self.prefix)
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            // Values may be secret, in ever new ways.
            .field("properties", &self.properties.keys())
            .field("pace", &self.pace)
            .finish()
    }
}

fn is_broker(broker: &str) -> bool {
    let Some((host, port)) = broker.rsplit_once(':') else { return false };
    let letter = |c: u8| c.is_ascii_alphanumeric() || b"._-:[]".contains(&c);
    !host.is_empty() && host.bytes().all(letter) && port.parse::<u16>().is_ok_and(|port| port != 0)
}

#[cfg(test)]
mod tests;
