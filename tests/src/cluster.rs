//! Tidings as an operator runs it: one process for each role, several of each, on one topic and one keyspace.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context;
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{Api, Node, Site, binary};

pub use server::settings::Role;

/// Partitions of the topic.
pub const PARTITIONS: u32 = 4;
/// How long the tokens of the tests live, in seconds.
const TOKEN_TTL_S: i64 = 24 * 3_600;
const TOKEN_KEY: &str = "a key that only these tests know, long enough to be one: 0123456789";

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

impl Cluster {
    /// Makes topics and tables, and starts `each` nodes of each role.
    ///
    /// # Errors
    /// A command fails, or a node does not come up.
    pub async fn start(site: Site, each: usize) -> anyhow::Result<Self> {
        let mut cluster = Self { site, nodes: Vec::new(), folder: tempfile::tempdir()? };
        fs::write(cluster.token_key(), TOKEN_KEY)?;
        cluster.site.make(PARTITIONS).await?;
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
        let args = [&["history", "verify"][..], &self.site.options()].concat();
        let output = binary::output(&args).await?;
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
        Ok((!output.status.success()).then(|| format!("{}: {}", output.status, said.concat())))
    }

    /// Where its topics are and what they are called.
    pub fn site(&self) -> &Site {
        &self.site
    }

    fn token_key(&self) -> PathBuf {
        self.folder.path().join("token.key")
    }
}
