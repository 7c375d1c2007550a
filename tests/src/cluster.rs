//! Tidings as an operator runs it: one process for each role, several of each, on one topic and one keyspace.

use std::{fs, path::PathBuf, process::Output, time::Duration};

use anyhow::{Context, ensure};
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
};
use tempfile::TempDir;
use tokio::{process::Command, sync::Mutex};

use crate::{Api, Node, binary};

/// Partitions of the topic.
pub const PARTITIONS: u32 = 4;
/// How long the tokens of the tests live, in seconds.
const TOKEN_TTL_S: i64 = 24 * 3_600;
const TOKEN_KEY: &str = "a key that only these tests know, long enough to be one: 0123456789";

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Takes commands.
    Ingest,
    /// Delivers to sessions.
    Fanout,
    /// Keeps the history.
    Store,
}

/// Where the servers are, and what the topics and tables are called.
#[derive(Debug, Clone)]
pub struct Site {
    /// `HOST:PORT` of the broker.
    pub kafka: String,
    /// `HOST:PORT` of the CQL server.
    pub scylla: String,
    /// Prefix of the topics, and name of the keyspace: small letters, digits and underscores.
    pub name: String,
    /// Settings of librdkafka, for every node.
    pub kafka_settings: Vec<(String, String)>,
}

/// Nodes by role. They are killed when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    site: Site,
    // Before the folder: they end first.
    nodes: Vec<(Role, Mutex<Node>)>,
    folder: TempDir,
}

/// What a node is called: `store-0`.
pub fn name(role: Role, number: usize) -> String {
    format!("{}-{number}", role.name())
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ingest, Self::Fanout, Self::Store];

    /// As `--role` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Fanout => "fanout",
            Self::Store => "store",
        }
    }
}

impl Site {
    /// The events' topic.
    pub fn topic(&self) -> String {
        format!("{}.events", self.name)
    }

    /// The consumer group of the store nodes.
    pub fn group(&self) -> String {
        format!("{}.{}", self.name, store::projector::GROUP)
    }

    fn log(&self) -> String {
        format!("kafka://{}/{}", self.kafka, self.name)
    }

    fn history(&self) -> String {
        format!("scylla://{}/{}", self.scylla, self.name)
    }

    /// The options that name log and history.
    fn options(&self) -> Vec<String> {
        let mut options = vec!["--log".to_owned(), self.log(), "--history".to_owned(), self.history()];
        for (name, value) in &self.kafka_settings {
            options.extend(["--kafka".to_owned(), format!("{name}={value}")]);
        }
        options
    }
}

impl Cluster {
    /// Makes topics and tables, and starts `each` nodes of each role.
    ///
    /// # Errors
    /// A command fails, or a node does not come up.
    pub async fn start(site: Site, each: usize) -> anyhow::Result<Self> {
        let mut cluster = Self { site, nodes: Vec::new(), folder: tempfile::tempdir()? };
        fs::write(cluster.token_key(), TOKEN_KEY)?;
        cluster.prepare().await?;
        for role in Role::ALL {
            for number in 0..each {
                let node = cluster.node_of(role, number)?;
                cluster.nodes.push((role, Mutex::new(node)));
            }
        }
        let starts = cluster.nodes.iter().map(async |(role, node)| {
            let started = node.lock().await.start().await;
            started.with_context(|| format!("a node with the role {}", role.name()))
        });
        futures_util::future::try_join_all(starts).await?;
        Ok(cluster)
    }

    async fn prepare(&self) -> anyhow::Result<()> {
        let partitions = PARTITIONS.to_string();
        let (log, history) = (self.site.log(), self.site.history());
        let topics = ["topics", "create", "--log", &log, "--partitions", &partitions, "--replication", "1"];
        let tables = ["history", "migrate", "--history", &history, "--replication", "1"];
        let (topics, tables) = tokio::join!(self.command(&topics), self.command(&tables));
        for output in [topics?, tables?] {
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "the site cannot be made: {} {said}", output.status);
        }
        Ok(())
    }

    /// A node that does not run yet. Kafka knows it by its [`name`].
    ///
    /// # Errors
    /// No port is free.
    pub fn node_of(&self, role: Role, number: usize) -> anyhow::Result<Node> {
        let name = name(role, number);
        let folder = self.folder.path().join(&name);
        fs::create_dir_all(&folder)?;
        let mut options = vec!["--role".into(), role.name().into()];
        options.extend(["--token-key".into(), self.token_key().into()]);
        options.extend(["--data".into(), folder.clone().into()]);
        options.extend(["--kafka".into(), format!("client.id={name}").into()]);
        options.extend(self.site.options().into_iter().map(Into::into));
        Node::new(folder.join("log"), options)
    }

    /// The nodes, with their roles.
    pub fn nodes(&self) -> &[(Role, Mutex<Node>)] {
        &self.nodes
    }

    /// One of the nodes of a role.
    ///
    /// # Errors
    /// There are not so many.
    pub fn node(&self, role: Role, number: usize) -> anyhow::Result<&Mutex<Node>> {
        let mut of_role = self.nodes.iter().filter(|(of, _)| *of == role);
        Ok(&of_role.nth(number).with_context(|| format!("no {} {number}", role.name()))?.1)
    }

    /// Where the nodes of a role listen.
    pub async fn urls(&self, role: Role) -> Vec<String> {
        let mut urls = Vec::new();
        for (_, node) in self.nodes.iter().filter(|(of, _)| *of == role) {
            urls.push(node.lock().await.url());
        }
        urls
    }

    /// A token for `user`.
    ///
    /// # Errors
    /// That is no name.
    pub fn token(&self, user: &str) -> anyhow::Result<String> {
        let key = TokenKey::new(TOKEN_KEY.as_bytes());
        Ok(key.mint(&user.parse()?, false, SystemClock.now(), Some(TOKEN_TTL_S))?)
    }

    /// The HTTP interface of each node of a role, as `user`, who waits so long for an answer.
    ///
    /// # Errors
    /// No token can be made.
    pub async fn apis(&self, role: Role, user: &str, wait: Duration) -> anyhow::Result<Vec<Api>> {
        let token = self.token(user)?;
        self.urls(role).await.into_iter().map(|url| Api::waiting(url, token.clone(), wait)).collect()
    }

    /// Folds the log anew and compares with the history that was kept. `None`: it is the same; otherwise what was said.
    ///
    /// # Errors
    /// The command cannot be run.
    pub async fn verify(&self) -> anyhow::Result<Option<String>> {
        let mut args = vec!["history".to_owned(), "verify".to_owned()];
        args.extend(self.site.options());
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let output = self.command(&args).await?;
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        Ok((!output.status.success()).then(|| format!("{}: {}", output.status, said.concat())))
    }

    /// Where its topics are and what they are called.
    pub fn site(&self) -> &Site {
        &self.site
    }

    async fn command(&self, args: &[&str]) -> anyhow::Result<Output> {
        Ok(Command::new(binary::path()?).args(args).kill_on_drop(true).output().await?)
    }

    fn token_key(&self) -> PathBuf {
        self.folder.path().join("token.key")
    }
}
