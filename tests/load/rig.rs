//! What is measured: a broker, a history server, and nodes of the real binary on them.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
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
    address::free_address,
    binary,
    cassandra::Cassandra,
    jvm::{Jvm, Program, Setup, Tuning},
    kafka::Kafka,
    wait::until,
};
use tokio::{
    process::{Child, Command},
    runtime,
    task::{LocalSet, spawn_blocking},
};

use crate::{cpu::Processes, http::Connection};

/// How long the broker may take to make or remove a topic.
const ADMIN_WAIT: Duration = Duration::from_secs(30);
/// How much of a node's log a failure shows, in bytes.
const LOG_TAIL_LEN: usize = 4_000;

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

/// A log and a history of their own, empty at first.
#[derive(Debug, Clone)]
pub(crate) struct Space {
    /// The topics begin with it, and the keyspace has it.
    pub(crate) name: String,
    pub(crate) log: String,
    pub(crate) history: String,
}

/// A `tidings serve`. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) address: String,
    process: Child,
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
    pub(crate) async fn space(&self) -> anyhow::Result<Space> {
        let name = self.fresh_name("space");
        let log = format!("kafka://{}/{name}", self.brokers);
        let history = format!("scylla://{}/{name}", self.cassandra);
        let partitions = self.partitions.to_string();
        run(&["topics", "create", "--log", &log, "--partitions", &partitions, "--replication", "1"]).await?;
        run(&["history", "migrate", "--history", &history, "--replication", "1"]).await?;
        Ok(Space { name, log, history })
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
    pub(crate) async fn node(&self, space: &Space, roles: &[&str]) -> anyhow::Result<Node> {
        let (address, name) = (free_address()?.to_string(), self.fresh_name(&roles.join("_")));
        let (key, data) = (self.folder.path().join("token.key"), self.folder.path().join(&name));
        let log_path = self.folder.path().join(format!("{name}.log"));
        let log = File::create(&log_path)?;
        let process = Command::new(binary::path()?)
            .args(["serve", "--role", &roles.join(","), "--listen", &address])
            .args(["--log", &space.log, "--history", &space.history])
            .args(["--token-key".as_ref(), key.as_os_str(), "--data".as_ref(), data.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the node cannot be started")?;
        let mut node = Node { address, process, key };
        node.up().await.with_context(|| {
            let log = fs::read(&log_path).unwrap_or_default();
            let tail = log.get(log.len().saturating_sub(LOG_TAIL_LEN)..).unwrap_or_default();
            format!("the log of the node ends so:\n{}", String::from_utf8_lossy(tail))
        })?;
        Ok(node)
    }

    /// The servers and these nodes, to see who spends the processor's time.
    pub(crate) fn processes(&self, nodes: &[&Node]) -> Processes {
        Processes {
            tidings: nodes.iter().filter_map(|node| node.process.id()).collect(),
            kafka: self.own_kafka.as_ref().and_then(|kafka| kafka.pid().ok()),
            cassandra: self.own_cassandra.as_ref().and_then(|cassandra| cassandra.pid().ok()),
        }
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
            let session = SessionBuilder::new().known_node(&self.cassandra).build().await?;
            for number in 0..self.names.load(Ordering::Relaxed) {
                let keyspace = format!("{}_space_{number}", self.run);
                session.query_unpaged(format!("DROP KEYSPACE IF EXISTS {keyspace}"), ()).await?;
            }
        }
        Ok(())
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.brokers).create()?)
    }
}

impl Space {
    /// Where its events are.
    pub(crate) fn topic(&self) -> String {
        format!("{}.events", self.name)
    }
}

impl Node {
    /// A token that never ends.
    pub(crate) fn token(&self, user: &str, admin: bool) -> anyhow::Result<String> {
        let key = TokenKey::new(&fs::read(&self.key)?);
        Ok(key.mint(&user.parse()?, admin, SystemClock.now(), None)?)
    }

    async fn up(&mut self) -> anyhow::Result<()> {
        until("the node to come up", async || {
            if let Some(status) = self.process.try_wait()? {
                bail!("the node ended with {status}");
            }
            let Ok(mut connection) = Connection::open(&self.address).await else { return Ok(None) };
            let answer = connection.call(b"GET /livez HTTP/1.1\r\nhost: bench\r\n\r\n").await;
            Ok(answer.ok().filter(|answer| answer.status == 200).map(drop))
        })
        .await
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

/// Runs a command of the binary to its end.
async fn run(args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(binary::path()?).args(args).stdin(Stdio::null()).output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`tidings {}` ended with {}: {said}", args.join(" "), output.status);
    Ok(())
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
