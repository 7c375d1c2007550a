//! The real server, as a process that can be killed.

use std::{
    fs::{self, OpenOptions},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    address::free_address,
    api::Api,
    binary, signal,
    wait::{SOON, until},
};

/// How much of the server's log a failure shows, in bytes.
const LOG_TAIL_LEN: usize = 4_000;

/// A `tidings serve` on its own folder. It keeps folder and port over restarts, and is killed when dropped.
#[derive(Debug)]
pub struct Server {
    folder: TempDir,
    address: SocketAddr,
    process: Option<Child>,
    /// Further options of `tidings serve`.
    options: Vec<String>,
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
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let mut server = Self { folder, address, process: None, options };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on the same folder and port, and waits until it serves.
    ///
    /// # Errors
    /// It runs already, or does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the server runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let process = Command::new(binary::path()?)
            .args(["serve", "--listen", &self.address.to_string(), "--data"])
            .arg(self.data())
            .args(&self.options)
            .env_remove("CI")
            // A collector on this machine is not behind any proxy.
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the server cannot be started")?;
        self.process = Some(process);
        let live = format!("{}/livez", self.url());
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        until("the server to come up", async || {
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the server ended with {status}; its log ends so:\n{}", self.log_tail());
            }
            Ok(http.get(&live).send().await.ok().filter(|answer| answer.status().is_success()))
        })
        .await
        .with_context(|| format!("the log of the server ends so:\n{}", self.log_tail()))?;
        Ok(())
    }

    /// Ends it with SIGKILL: it can do nothing more, not even flush a buffer.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the server does not run")?;
        process.kill().await?;
        Ok(())
    }

    /// Ends it with SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        let mut process = self.process.take().context("the server does not run")?;
        let pid = process.id().context("the server has ended by itself")?;
        signal::send(pid, "TERM").await?;
        Ok(timeout(SOON, process.wait()).await.context("the server does not end after SIGTERM")??)
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where clients of the real-time protocol connect.
    pub fn socket_url(&self) -> String {
        format!("ws://{}/connection/websocket", self.address)
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
        let output = Command::new(binary::path()?)
            .args(["token", "--user", user, "--data"])
            .arg(self.data())
            .output()
            .await?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`tidings token` ended with {}: {stderr}", output.status);
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// A token for `user` that ended a minute ago.
    ///
    /// # Errors
    /// The key of the folder cannot be read.
    pub fn expired_token(&self, user: &str) -> anyhow::Result<String> {
        let key = TokenKey::new(&fs::read(self.data().join("token.key"))?);
        Ok(key.mint(&user.parse()?, false, SystemClock.now(), Some(-60))?)
    }

    /// The HTTP interface, as `user`.
    ///
    /// # Errors
    /// No token can be made.
    pub async fn api(&self, user: &str) -> anyhow::Result<Api> {
        Api::new(self.url(), self.token(user).await?)
    }

    /// Runs another command of the binary to its end; standard input is empty.
    ///
    /// # Errors
    /// It cannot be started.
    pub async fn command(&self, args: &[&str]) -> anyhow::Result<std::process::Output> {
        Ok(Command::new(binary::path()?).args(args).stdin(Stdio::null()).output().await?)
    }

    /// The end of what the server logged, over all its lives.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_LEN)..).unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }
}
