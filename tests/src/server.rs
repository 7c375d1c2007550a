//! The real server, all roles in one process, as a process that can be killed.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
};

use anyhow::Context;
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
};
use tempfile::TempDir;

use crate::{Node, api::Api, binary};

/// A `tidings serve` on its own folder. It keeps folder and port over restarts, and is killed when dropped.
#[derive(Debug)]
pub struct Server {
    // Before the folder: it ends first.
    node: Node,
    folder: TempDir,
}

impl Server {
    /// Starts one on an empty folder and waits until it serves.
    ///
    /// # Errors
    /// It cannot be built or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with further options of `tidings serve`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(options: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut all: Vec<OsString> = vec!["--data".into(), folder.path().join("data").into()];
        all.extend(options.iter().map(Into::into));
        let node = Node::new(folder.path().join("server.log"), all)?;
        let mut server = Self { node, folder };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on the same folder and port, and waits until it serves.
    ///
    /// # Errors
    /// It runs already, or does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.node.start().await
    }

    /// Ends it with SIGKILL: it can do nothing more, not even flush a buffer.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.node.kill().await
    }

    /// Ends it with SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        self.node.terminate().await
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        self.node.url()
    }

    /// Where clients of the real-time protocol connect.
    pub fn socket_url(&self) -> String {
        format!("ws://{}/connection/websocket", self.node.address())
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A folder of the test's own, which ends with the server.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A token for `user`, as an operator makes one: with `tidings token`.
    ///
    /// # Errors
    /// The command fails.
    pub async fn token(&self, user: &str) -> anyhow::Result<String> {
        let data = self.data();
        let data = data.to_str().context("a path")?;
        let token = binary::run(&["token", "--user", user, "--data", data]).await?;
        Ok(token.trim().to_owned())
    }

    /// A token for `user` that ended a minute ago.
    ///
    /// # Errors
    /// The key of the folder cannot be read.
    pub fn expired_token(&self, user: &str) -> anyhow::Result<String> {
        self.short_token(user, -60)
    }

    /// A token for `user` that ends in so many seconds.
    ///
    /// # Errors
    /// As [`Self::expired_token`].
    pub fn short_token(&self, user: &str, life_s: i64) -> anyhow::Result<String> {
        let key = TokenKey::new(&fs::read(self.data().join("token.key"))?);
        Ok(key.mint(&user.parse()?, false, SystemClock.now(), Some(life_s))?)
    }

    /// The HTTP interface, as `user`.
    ///
    /// # Errors
    /// No token can be made.
    pub async fn api(&self, user: &str) -> anyhow::Result<Api> {
        Api::new(self.url(), self.token(user).await?)
    }

    /// The end of what the server logged, over all its lives.
    pub fn log_tail(&self) -> String {
        self.node.log_tail()
    }
}
