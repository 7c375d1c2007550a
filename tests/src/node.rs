//! A process of the real binary: `tidings serve` with any options.

use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    address::free_address,
    binary, signal,
    wait::{SOON, until, within},
};

/// How much of the log a failure shows, in bytes.
const LOG_TAIL_LEN: usize = 4_000;
/// How long whoever restarts a node goes on trying, while what the node needs is away itself.
const REVIVE_WAIT: Duration = Duration::from_mins(2);

/// See the module. It keeps its address over restarts, and is killed when dropped.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    options: Vec<OsString>,
    log: PathBuf,
    process: Option<Child>,
}

impl Node {
    /// One that does not run yet, on a free port, with these options of `tidings serve` besides its address. It logs to
    /// `log`.
    ///
    /// # Errors
    /// No port is free.
    pub fn new(log: PathBuf, options: Vec<OsString>) -> anyhow::Result<Self> {
        Ok(Self { address: free_address()?, options, log, process: None })
    }

    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// It runs already, or does not come up; then it does not run.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "the node runs already");
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let process = Command::new(binary::path()?)
            .args(["serve", "--listen", &self.address.to_string()])
            .args(&self.options)
            .env_remove("CI")
            // A collector on this machine is not behind any proxy.
            .env("NO_PROXY", "127.0.0.1")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("the node cannot be started")?;
        self.process = Some(process);
        let up = self.up().await;
        if up.is_err() {
            self.process = None;
        }
        up.with_context(|| format!("the log of the node ends so:\n{}", self.log_tail()))
    }

    async fn up(&mut self) -> anyhow::Result<()> {
        let live = format!("{}/livez", self.url());
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(2)).build()?;
        until("the node to come up", async || {
            if let Some(status) = self.ended()? {
                bail!("it ended with {status}");
            }
            let answer = http.get(&live).send().await.ok();
            Ok(answer.filter(|answer| answer.status().is_success()).map(drop))
        })
        .await
    }

    /// Starts it again and again until it serves, as a supervisor does.
    ///
    /// # Errors
    /// It does not come up in time.
    pub async fn revive(&mut self) -> anyhow::Result<()> {
        let mut last = None;
        let revived = within(REVIVE_WAIT, "the node to come up again", async || {
            last = self.start().await.err();
            Ok(last.is_none().then_some(()))
        });
        let revived = revived.await;
        match (revived, last) {
            (Err(error), Some(last)) => Err(last.context(error)),
            (revived, _) => revived,
        }
    }

    /// How it ended, if it did so by itself.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.process.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// Ends it with SIGKILL: it can do nothing more, not even flush a buffer.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut process = self.process.take().context("the node does not run")?;
        process.kill().await?;
        Ok(())
    }

    /// Ends it with SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn terminate(&mut self) -> anyhow::Result<ExitStatus> {
        signal::send(self.pid()?, "TERM").await?;
        let mut process = self.process.take().context("the node does not run")?;
        Ok(timeout(SOON, process.wait()).await.context("the node does not end after SIGTERM")??)
    }

    /// Stops it with SIGSTOP: it keeps its connections and does nothing.
    ///
    /// # Errors
    /// It does not run.
    pub async fn freeze(&self) -> anyhow::Result<()> {
        signal::send(self.pid()?, "STOP").await
    }

    /// Lets it go on after [`Self::freeze`].
    ///
    /// # Errors
    /// It does not run.
    pub async fn thaw(&self) -> anyhow::Result<()> {
        signal::send(self.pid()?, "CONT").await
    }

    /// Its process.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> anyhow::Result<u32> {
        let process = self.process.as_ref().context("the node does not run")?;
        process.id().context("the node has ended by itself")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file that it logs to, over all its lives.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The end of what it logged.
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_LEN)..).unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }
}
