//! A Tidings server of the measurement's own.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
    random,
};
use schemas::UserId;
use serde::de::IgnoredAny;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{Channels, Cores, Place, Process, on_the_load};
use crate::{
    client::{Client, Target},
    data_dir::DataDir,
    settings::DEV_USER,
};

/// How long the server may take to come up.
const START_WAIT: Duration = Duration::from_secs(30);
const START_PAUSE: Duration = Duration::from_millis(20);
/// Life of a token, in seconds: longer than any run.
const TOKEN_TTL_S: i64 = 24 * 3_600;

/// See the module. Killed when dropped: nothing in its folder is wanted any more.
#[derive(Debug)]
pub struct Server {
    process: Process,
    dir: DataDir,
    /// Of a client with the scope `admin`.
    token: String,
    /// `HOST:PORT`.
    address: String,
}

impl Server {
    /// Starts `program`, which is a `tidings`, as a server on a fresh folder, at a free port; `options` of `tidings serve` say what
    /// else it is to be.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start(
        program: &Path,
        data: &Path,
        cores: Option<Cores>,
        options: &[&str],
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--guests", "off", "--data"])
            .arg(data)
            .args(options);
        // What else the operator set for servers is not meant for this one.
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TIDINGS_")) {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        command.env("RUST_LOG", "warn");
        let mut process = Process::start(command, cores)?;
        let dir = DataDir::open(data)?;
        let since = Instant::now();
        let url = loop {
            if let Some(url) = dir.address() {
                break url;
            }
            if let Some(status) = process.ended()? {
                bail!("the server ended at its start: {status}");
            }
            anyhow::ensure!(since.elapsed() < START_WAIT, "the server did not come up");
            sleep(START_PAUSE).await;
        };
        let user: UserId = DEV_USER.parse()?;
        let token = dir.token_key()?.mint(&user, true, SystemClock.now(), Some(TOKEN_TTL_S))?;
        let address = url.strip_prefix("http://").context("no address")?.trim_end_matches('/').to_owned();
        Ok(Self { process, dir, token, address })
    }

    /// A client of it, once it answers.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn client(&self) -> anyhow::Result<Client> {
        Client::resolve(&self.target()?).await
    }

    /// What [such a client](Self::client) is made from.
    ///
    /// # Errors
    /// Its address is none.
    pub fn target(&self) -> anyhow::Result<Target> {
        let url = format!("http://{}", self.address).parse()?;
        Ok(Target::Url { url, token: self.token.clone() })
    }

    /// Makes so many conversations that nobody uses.
    ///
    /// # Errors
    /// The server refuses.
    pub async fn fresh_conversations(&self, count: u32) -> anyhow::Result<Vec<String>> {
        let (client, run) = (self.client().await?, random::name(6));
        let names: Vec<_> = (0..count).map(|number| format!("bench-{run}-{number}")).collect();
        for name in &names {
            let body = json!({"conversation": name}).to_string();
            let _: IgnoredAny =
                client.post(&["v1", "conversations"], "application/json", body.into()).await?;
        }
        Ok(names)
    }

    /// Does something with conversations of it, on the thread that is the load.
    ///
    /// # Errors
    /// What it says, or that the system does not let us.
    pub async fn under_load<R: Send + 'static>(
        &self,
        cores: Option<Cores>,
        conversations: Vec<String>,
        work: impl FnOnce(&Place<'_>) -> anyhow::Result<R> + Send + 'static,
    ) -> anyhow::Result<R> {
        let dialect = Channels::with_tokens(self.token_key()?);
        let (address, clock, alone) = (self.socket_address()?, self.process.clock(), cores.is_some());
        on_the_load(cores, move || {
            work(&Place { dialect: &dialect, address, clock, conversations: &conversations, alone })
        })
        .await
    }

    /// A token of [the owner of what is imported](DEV_USER), with the scope `admin`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The key that makes tokens for it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn token_key(&self) -> anyhow::Result<TokenKey> {
        self.dir.token_key()
    }

    /// The file of its history.
    pub fn history(&self) -> PathBuf {
        self.dir.history()
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The same for whoever connects without asking for names.
    ///
    /// # Errors
    /// It is none.
    pub fn socket_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.address.parse()?)
    }

    /// Processor time that it has used.
    pub fn cpu(&self) -> Option<Duration> {
        self.process.clock().now()
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Bytes of memory that it holds; `None` where the system does not tell.
    pub fn memory(&self) -> Option<u64> {
        self.process.memory()
    }
}
