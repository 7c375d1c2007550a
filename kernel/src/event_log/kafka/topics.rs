//! The topics: made once, by an operator, and looked at whenever the log is opened.
//!
//! Invariant: the number of partitions of a topic is never changed. A conversation would move to another partition, its old
//! records would stay where they are, and its order would be gone.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    config::FromClientConfigAndContext,
    error::{KafkaError, RDKafkaErrorCode},
};
use schemas::caps::RECORD_LEN_MAX;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout_at},
};

use super::{KafkaSettings, context::Told, native};

/// How long the cluster may take for one answer about topics.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a topic that was made may take to be known everywhere.
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait before looking again.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Largest batch of records that the topics take, in bytes: the largest record, its headers and key, and company.
const BATCH_SIZE_MAX: usize = 8 * RECORD_LEN_MAX;

/// How the topics are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPlan {
    /// How many partitions each has, at least 1; that is for ever.
    pub partitions: u32,
    /// On how many brokers each record stands.
    pub replication: u16,
    /// How long events stay; `None` is for ever.
    pub retention: Option<Duration>,
    /// How long signals stay.
    pub signals_retention: Duration,
}

impl TopicPlan {
    /// Events stay for ever, signals for an hour.
    pub const fn new(partitions: u32, replication: u16) -> Self {
        let hour = Duration::from_hours(1);
        Self { partitions, replication, retention: None, signals_retention: hour }
    }
}

/// What [`create_topics`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// Topics that were not there.
    pub made: Vec<String>,
    /// Topics that were, with the partitions that were asked for. Their settings were left alone.
    pub found: Vec<String>,
}

/// Why topics could not be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TopicError {
    /// A topic has another number of partitions, and that cannot be changed.
    #[error(
        "the topic {topic} has {found} partitions, not {asked}: with another number conversations would move to other \
         partitions, away from their records, and lose their order; ask for {found}, or choose another prefix"
    )]
    OtherPartitions {
        /// Which topic.
        topic: String,
        /// What it has.
        found: u32,
        /// What was asked for.
        asked: u32,
    },
    /// There are not as many brokers as copies were asked for.
    #[error(
        "the topic {topic} cannot be made: each record is to be kept on {asked} brokers, and there are fewer; start more, \
         or ask for fewer copies (--replication 1 with a single broker)"
    )]
    TooFewBrokers {
        /// Which topic.
        topic: String,
        /// How many copies were asked for.
        asked: u16,
    },
    /// The cluster does not make such a topic.
    #[error("the topic {topic} cannot be made: {reason}")]
    Refused {
        /// Which topic.
        topic: String,
        /// What the cluster says.
        reason: String,
    },
    /// The cluster cannot be reached or asked. Trying again may help.
    #[error("the topics cannot be looked at: {reason}")]
    Unavailable {
        /// What is wrong, for the operator.
        reason: String,
    },
}

/// Makes the topics of the events and of the signals, if they are not there. Calling it again changes nothing.
///
/// # Errors
/// See [`TopicError`]. One topic may have been made and the other not.
pub async fn create_topics(settings: &KafkaSettings, plan: &TopicPlan) -> Result<Created, TopicError> {
    let admin = Admin::open(settings).map_err(|error| unavailable(&error))?;
    let created = admin.create(settings, plan).await;
    admin.close();
    created
}

/// What a topic must be like to be the log.
pub(super) async fn unfit(settings: &KafkaSettings, topic: &str) -> Option<Unfit> {
    let admin = Admin::open(settings).ok()?;
    let unfit = admin.unfit(topic).await;
    admin.close();
    unfit
}

/// A setting of a topic with which it cannot be the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit {
    pub(super) setting: &'static str,
    pub(super) needed: &'static str,
}

/// Settings that a topic of events must have.
const NEEDED: [Unfit; 2] = [
    // The clocks of the writers would decide what is a repetition (docs/adr/0006).
    Unfit { setting: "message.timestamp.type", needed: "LogAppendTime" },
    // Compaction would leave one event of each conversation.
    Unfit { setting: "cleanup.policy", needed: "delete" },
];

struct Admin(Arc<AdminClient<Told>>);

impl Admin {
    fn open(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let client = AdminClient::from_config_and_context(&settings.admin(), Told::of("topics"))?;
        Ok(Self(Arc::new(client)))
    }

    fn close(self) {
        super::drop_elsewhere(self.0);
    }

    async fn create(&self, settings: &KafkaSettings, plan: &TopicPlan) -> Result<Created, TopicError> {
        let (events, signals) = (settings.events_topic(), settings.signals_topic());
        let mut created = Created { made: Vec::new(), found: Vec::new() };
        // Before anything is made.
        for topic in [&events, &signals] {
            let Some(found) = self.partitions(topic).await? else { continue };
            check_partitions(topic, found, plan.partitions)?;
            created.found.push(topic.clone());
        }
        for (topic, retention) in [(&events, plan.retention), (&signals, Some(plan.signals_retention))] {
            if created.found.contains(topic) {
                continue;
            }
            if self.make(topic, plan, retention).await? {
                created.made.push(topic.clone());
            } else {
                created.found.push(topic.clone());
            }
            let found = self.await_visible(topic).await?;
            check_partitions(topic, found, plan.partitions)?;
        }
        Ok(created)
    }

    /// Makes a topic; `false`: somebody else did so at the same time.
    async fn make(
        &self,
        topic: &str,
        plan: &TopicPlan,
        retention: Option<Duration>,
    ) -> Result<bool, TopicError> {
        let refused = |reason: String| TopicError::Refused { topic: topic.to_owned(), reason };
        let retention_ms = retention.map_or("-1".to_owned(), |retention| retention.as_millis().to_string());
        // A record is safe on one broker less than there are copies, so that one may be down.
        let min_insync = plan.replication.saturating_sub(1).max(1).to_string();
        let batch_size_max = BATCH_SIZE_MAX.to_string();
        let partitions = i32::try_from(plan.partitions).map_err(|error| refused(error.to_string()))?;
        let replication = TopicReplication::Fixed(i32::from(plan.replication));
        let mut new = NewTopic::new(topic, partitions, replication)
            .set("retention.ms", &retention_ms)
            .set("retention.bytes", "-1")
            .set("min.insync.replicas", &min_insync)
            .set("max.message.bytes", &batch_size_max);
        for Unfit { setting, needed } in NEEDED {
            new = new.set(setting, needed);
        }
        let options = AdminOptions::new().operation_timeout(Some(ADMIN_TIMEOUT));
        let answers = self.0.create_topics([&new], &options).await.map_err(|error| unavailable(&error))?;
        match answers.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor))) => {
                Err(TopicError::TooFewBrokers { topic: topic.to_owned(), asked: plan.replication })
            }
            Some(Err((_, code))) => Err(refused(code.to_string())),
            None => Err(refused("the cluster does not say".to_owned())),
        }
    }

    /// Waits until the cluster knows a topic that it has made.
    async fn await_visible(&self, topic: &str) -> Result<u32, TopicError> {
        let deadline = Instant::now() + VISIBLE_WITHIN;
        let look = async {
            loop {
                if let Some(found) = self.partitions(topic).await? {
                    return Ok(found);
                }
                sleep(LOOK_PAUSE).await;
            }
        };
        let late = || TopicError::Unavailable { reason: format!("the topic {topic} does not appear") };
        timeout_at(deadline, look).await.map_err(|_| late())?
    }

    /// How many partitions a topic has; `None`: there is no such topic.
    async fn partitions(&self, topic: &str) -> Result<Option<u32>, TopicError> {
        let (client, topic) = (Arc::clone(&self.0), topic.to_owned());
        let described = spawn_blocking(move || native::describe(client.inner(), &topic, ADMIN_TIMEOUT));
        match described.await.map_err(|error| unavailable(&error))? {
            Ok(described) => Ok(Some(described.partitions)),
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => Ok(None),
            Err(code) => Err(unavailable(&native::why(self.0.inner(), code))),
        }
    }

    /// The first setting with which a topic cannot be the log. What cannot be seen is taken to be right: not everybody
    /// who may write may look at settings.
    async fn unfit(&self, topic: &str) -> Option<Unfit> {
        // Any broker knows; by itself, the client would wait for the controller.
        let client = Arc::clone(&self.0);
        let broker = spawn_blocking(move || native::any_broker(client.inner(), ADMIN_TIMEOUT)).await;
        let broker = broker.ok().and_then(Result::ok);
        let options = AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).broker_id(broker);
        let answers = self.0.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
        let described: Result<ConfigResource, String> =
            match answers.map(|answers| answers.into_iter().next()) {
                Ok(Some(Ok(described))) => Ok(described),
                Ok(Some(Err(code))) => Err(code.to_string()),
                Ok(None) => Err("no answer".to_owned()),
                Err(error) => Err(error.to_string()),
            };
        match described {
            Ok(described) => {
                let found: HashMap<_, _> = described.entry_map();
                let value = |setting| found.get(setting).and_then(|entry| entry.value.as_deref());
                NEEDED
                    .into_iter()
                    .find(|unfit| value(unfit.setting).is_some_and(|value| value != unfit.needed))
            }
            Err(reason) => {
                tracing::warn!(topic, reason, "the settings of the topic cannot be looked at");
                None
            }
        }
    }
}

fn check_partitions(topic: &str, found: u32, asked: u32) -> Result<(), TopicError> {
    if found == asked {
        return Ok(());
    }
    Err(TopicError::OtherPartitions { topic: topic.to_owned(), found, asked })
}

fn unavailable(error: &dyn ToString) -> TopicError {
    TopicError::Unavailable { reason: error.to_string() }
}
