//! What is measured: a broker, a history server, and nodes of the real binary on them.

use std::{
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::Context;
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use scylla::client::session_builder::SessionBuilder;
use tempfile::TempDir;
use tests::{
    Site,
    cassandra::Cassandra,
    jvm::{Jvm, Program, Setup, Tuning},
    kafka::Kafka,
    tools,
};
use tokio::{
    runtime,
    task::{LocalSet, spawn_blocking},
};

use crate::cpu::Processes;

/// How long the broker may take to make or remove a topic.
const ADMIN_WAIT: Duration = Duration::from_secs(30);

/// The servers, and a folder for the nodes.
pub(crate) struct Rig {
    pub(crate) brokers: String,
    pub(crate) cassandra: String,
    /// Partitions of every topic.
    pub(crate) partitions: u32,
    own_kafka: Option<Kafka>,
    own_cassandra: Option<Cassandra>,
    folder: TempDir,
    /// Tells the names of this run from those of others on the same servers.
    run: String,
    names: AtomicU32,
}

/// A node, and who may ask it. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: String,
    process: tests::Node,
    key: PathBuf,
}

impl Rig {
    /// Starts the servers, set as for service, unless the environment names running ones.
    pub(crate) async fn start(partitions: u32) -> anyhow::Result<Self> {
        let (own_kafka, brokers) = server().await?;
        let (own_cassandra, cassandra) = server().await?;
        let folder = tempfile::tempdir()?;
        let run = format!("bench_{:08x}", rand::random::<u32>());
        let key: [u8; 32] = rand::random();
        fs::write(folder.path().join("token.key"), key.map(|byte| format!("{byte:02x}")).concat())?;
        let names = AtomicU32::new(0);
        Ok(Self { brokers, cassandra, partitions, own_kafka, own_cassandra, folder, run, names })
    }

    /// A name that nobody has on the servers.
    pub(crate) fn fresh_name(&self, what: &str) -> String {
        format!("{}_{what}_{}", self.run, self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// An empty log and an empty history.
    pub(crate) async fn site(&self) -> anyhow::Result<Site> {
        let site = Site::new(&self.brokers, &self.cassandra, self.fresh_name("space"));
        site.make(self.partitions).await?;
        Ok(site)
    }

    /// Drops the tables of a site, which nobody uses any more.
    pub(crate) async fn drop_history(&self, site: &Site) -> anyhow::Result<()> {
        self.drop_keyspaces([site.name.clone()]).await
    }

    async fn drop_keyspaces(&self, names: impl IntoIterator<Item = String>) -> anyhow::Result<()> {
        let session = SessionBuilder::new().known_node(&self.cassandra).build().await?;
        for name in names {
            session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {name}"), ()).await?;
        }
        Ok(())
    }

    /// A topic for a floor, like that of the events.
    pub(crate) async fn plain_topic(&self) -> anyhow::Result<String> {
        let name = self.fresh_name("floor");
        let topic = NewTopic::new(&name, self.partitions.try_into()?, TopicReplication::Fixed(1));
        let made = self.admin()?.create_topics([&topic], &options()).await?;
        made.into_iter()
            .collect::<Result<Vec<_>, _>>()
            .map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        Ok(name)
    }

    /// Starts a node with these roles and waits until it serves.
    pub(crate) async fn node(&self, site: &Site, roles: &[&str]) -> anyhow::Result<Node> {
        let name = self.fresh_name(&roles.join("_"));
        let (key, data) = (self.folder.path().join("token.key"), self.folder.path().join(&name));
        let mut options: Vec<OsString> = vec!["--role".into(), roles.join(",").into()];
        options.extend(["--token-key".into(), key.clone().into(), "--data".into(), data.into()]);
        options.extend(site.options().into_iter().map(Into::into));
        let mut process = tests::Node::new(self.folder.path().join(format!("{name}.log")), options)?;
        process.start().await?;
        Ok(Node { address: process.address().to_string(), process, key })
    }

    /// The servers and these nodes, to see who spends the processor's time.
    pub(crate) fn processes(&self, nodes: &[&Node]) -> Processes {
        Processes {
            tidings: nodes.iter().filter_map(|node| node.process.pid().ok()).collect(),
            kafka: self.own_kafka.as_ref().and_then(|kafka| kafka.pid().ok()),
            cassandra: self.own_cassandra.as_ref().and_then(|cassandra| cassandra.pid().ok()),
        }
    }

    /// Has Cassandra run only when nobody else wants to (`SCHED_IDLE`, sched(7)), or as everybody again. The history is not on
    /// the way of a message, but here it shares two processors with those who are; elsewhere it has machines of its own.
    /// Says whether it can be had: not for a server that is not ours, nor without `chrt`.
    pub(crate) fn cassandra_yields(&self, yields: bool) -> anyhow::Result<bool> {
        let (Some(cassandra), Some(chrt)) = (&self.own_cassandra, tools::find("chrt")) else {
            return Ok(false);
        };
        let policy = if yields { "--idle" } else { "--other" };
        let mut command = Command::new(chrt);
        command.args(["--all-tasks", policy, "--pid", "0"]).arg(cassandra.pid()?.to_string());
        command.stdout(Stdio::null());
        Ok(command.status()?.success())
    }

    /// Leaves the folder with the logs of the nodes, for whoever wants to know what went wrong, and says where it is.
    pub(crate) fn keep_logs(self) -> PathBuf {
        self.folder.keep()
    }

    /// Removes from servers that are not ours what this run made there.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        if self.own_kafka.is_none() {
            let admin = self.admin()?;
            let metadata = admin.inner().fetch_metadata(None, ADMIN_WAIT)?;
            let ours: Vec<_> = metadata
                .topics()
                .iter()
                .map(rdkafka::metadata::MetadataTopic::name)
                .filter(|name| name.starts_with(&self.run))
                .collect();
            if !ours.is_empty() {
                admin.delete_topics(&ours, &options()).await?;
            }
        }
        if self.own_cassandra.is_none() {
            let numbers = 0..self.names.load(Ordering::Relaxed);
            self.drop_keyspaces(numbers.map(|number| format!("{}_space_{number}", self.run))).await?;
        }
        Ok(())
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?)
    }
}

impl Node {
    /// A token that never ends.
    pub(crate) fn token(&self, user: &str, admin: bool) -> anyhow::Result<String> {
        let key = TokenKey::new(&fs::read(&self.key)?);
        Ok(key.mint(&user.parse()?, admin, SystemClock.now(), None)?)
    }
}

/// The server that the environment names, or one of our own.
async fn server<P: Program>() -> anyhow::Result<(Option<Jvm<P>>, String)> {
    if let Ok(address) = std::env::var(P::VARIABLE) {
        return Ok((None, address));
    }
    let kit = Jvm::<P>::kit("the benchmark").await?.context("there is no JDK to run the servers with")?;
    let own = Jvm::start(&kit, Setup { tuning: Tuning::Load, ..Setup::default() }).await?;
    let address = own.address().to_string();
    Ok((Some(own), address))
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(ADMIN_WAIT))
}

/// Runs a load on a thread of its own, which it does not share with anybody: that is cheaper than to wake another thread for each answer.
pub(crate) async fn on_one_thread<F, T>(load: impl FnOnce() -> F + Send + 'static) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
    T: Send + 'static,
{
    spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, load())
    })
    .await?
}
