//! A server in a process of its own, so that what it costs is not mixed with what the load costs.

use std::{
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use kernel::clock::{Clock, SystemClock};
use schemas::UserId;
use tokio::time::{Instant, sleep};

use crate::{
    client::{Client, Target},
    cpu,
    data_dir::DataDir,
    settings::DEV_USER,
};

/// How long the server may take to come up.
const START_WAIT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(20);
/// Life of a token, in seconds: longer than any run.
const TOKEN_TTL_S: i64 = 24 * 3_600;

#[derive(Debug)]
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // Errors say that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// See the module. Killed when dropped: nothing in its folder is wanted any more.
#[derive(Debug)]
pub(super) struct Server {
    process: Process,
    /// Of a client with the scope `admin`.
    token: String,
    /// `HOST:PORT`.
    pub(super) address: String,
}

impl Server {
    /// Starts this program as a server on a fresh folder, at a free port.
    pub(super) async fn start(data: &Path) -> anyhow::Result<Self> {
        let program = env::current_exe().context("this program's own file is not known")?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--guests", "off", "--data"]).arg(data);
        // What else the operator set for servers is not meant for this one.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIDINGS_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let spawned = command.env("RUST_LOG", "warn").spawn();
        let mut process = Process(spawned.context("cannot start a server")?);
        let dir = DataDir::open(data)?;
        let since = Instant::now();
        let url = loop {
            if let Some(url) = dir.address() {
                break url;
            }
            if let Some(status) = process.0.try_wait()? {
                bail!("the server ended at its start: {status}");
            }
            anyhow::ensure!(since.elapsed() < START_WAIT, "the server did not come up");
            sleep(START_PAUSE).await;
        };
        let user: UserId = DEV_USER.parse()?;
        let token = dir.token_key()?.mint(&user, true, SystemClock.now(), Some(TOKEN_TTL_S))?;
        let address = url.strip_prefix("http://").context("no address")?.trim_end_matches('/').to_owned();
        Ok(Self { process, token, address })
    }

    /// A client of it, once it answers.
    pub(super) async fn client(&self) -> anyhow::Result<Client> {
        let url = format!("http://{}", self.address).parse()?;
        Client::resolve(&Target::Url { url, token: self.token.clone() }).await
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Processor time that it has used.
    pub(super) fn cpu(&self) -> Option<Duration> {
        cpu::of_process(self.process.0.id())
    }

    /// Bytes of memory that it holds; `None` where the system does not tell.
    pub(super) fn memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
    }
}
