//! A server that others wrote and that runs on the JVM, as a process that can be killed, paused and started again.
//!
//! What the servers share is here; what is particular to one is its [`Program`] ([`crate::kafka`],
//! [`crate::cassandra`]). Each lives in a folder of its own: configuration, data, log.
//!
//! Invariant: a server never outlives the process that started it, however that one ends (see `watcher`).

use std::{
    env,
    ffi::OsString,
    fmt,
    fs::{self, OpenOptions},
    marker::PhantomData,
    net::{SocketAddr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use tokio::{
    net::TcpStream,
    sync::OnceCell,
    time::{sleep, timeout},
};

use crate::{
    address::free_address,
    authority::Vouched,
    jvm::watcher::Watcher,
    signal,
    tools::{self, Kit},
    wait::{POLL, SOON},
};

mod watcher;

/// How long a server may take to come up or to end on a busy machine.
const UP_WAIT: Duration = Duration::from_mins(2);
/// How much of the log a failure shows, in bytes.
const LOG_TAIL_LEN: usize = 4_000;

/// What is particular to one server.
pub trait Program: fmt::Debug + Send + Sync + 'static {
    /// What it is called.
    const NAME: &'static str;
    /// Where its `pom.xml` is, in this package.
    const FOLDER: &'static str;
    /// The environment variable that names one that runs already.
    const VARIABLE: &'static str;

    /// Writes its configuration, and says what `java` is to be called with.
    fn prepare(place: &Place<'_>) -> impl Future<Output = anyhow::Result<Vec<OsString>>> + Send;

    /// Whether it does its work at `address`, where somebody listens.
    fn answers(address: SocketAddr) -> impl Future<Output = bool> + Send;
}

/// How a server is set up.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// How the JVM and the server are set.
    pub tuning: Tuning,
    /// Where it keeps everything. `None`: a folder that is removed at the end.
    pub folder: Option<PathBuf>,
    /// Its port on loopback. `None`: a free one.
    pub port: Option<u16>,
    /// `Some`: it takes encrypted connections too, Cassandra where it takes the others, Kafka at
    /// [`Kafka::encrypted`](Jvm::encrypted).
    pub tls: Option<Tls>,
}

/// What a server shows its clients, and how it knows them.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Its own certificate.
    pub server: Vouched,
    /// The certificate of the authority that has to vouch for clients, PEM. Kafka asks for a password instead.
    pub authority: String,
}

/// How the JVM and the server are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tuning {
    /// Up soon and small, durable against `kill -9` before speed.
    #[default]
    Tests,
    /// As an operator sets it: the optimising compiler, more memory.
    Load,
}

/// Where a server is to run.
#[derive(Debug)]
pub struct Place<'a> {
    /// The jars, and the files beside the `pom.xml`.
    pub kit: &'a Kit,
    /// For configuration and data.
    pub folder: &'a Path,
    /// Where it is to listen.
    pub address: SocketAddr,
    /// How it is set.
    pub tuning: Tuning,
    /// How it encrypts.
    pub tls: Option<&'a Tls>,
}

/// A server. It keeps folder and address over restarts, and is killed when dropped.
#[derive(Debug)]
pub struct Jvm<P> {
    folder: PathBuf,
    address: SocketAddr,
    command: (PathBuf, Vec<OsString>),
    process: Option<Child>,
    watcher: Watcher,
    program: PhantomData<P>,
}

impl<P: Program> Jvm<P> {
    /// Java with the jars of the server. `None`: the test is skipped.
    ///
    /// # Errors
    /// As [`tools::skip`].
    pub async fn kit(test: &str) -> anyhow::Result<Option<Kit>> {
        tools::java(test, &[P::FOLDER]).await
    }

    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// The port is taken, or it does not come up; the error shows the end of its log.
    pub async fn start(kit: &Kit, setup: Setup) -> anyhow::Result<Self> {
        let address = match setup.port {
            Some(port) => SocketAddr::from(([127, 0, 0, 1], port)),
            None => free_address()?,
        };
        let kept = setup.folder.is_some();
        let folder = match setup.folder {
            Some(folder) => folder,
            None => tempfile::tempdir()?.keep(),
        };
        // The watcher first: from here on the folder is removed, whatever happens.
        let watcher = Watcher::start((!kept).then_some(folder.as_path()))?;
        fs::create_dir_all(folder.join("tmp"))?;
        let folder = folder.canonicalize()?;
        let place = Place { kit, folder: &folder, address, tuning: setup.tuning, tls: setup.tls.as_ref() };
        let mut args = place.jvm_args();
        args.extend(P::prepare(&place).await?);
        let command = (kit.interpreter().to_owned(), args);
        let mut server = Self { folder, address, command, process: None, watcher, program: PhantomData };
        server.restart().await?;
        Ok(server)
    }

    /// Starts it again, on the same folder and port, and waits until it answers.
    ///
    /// # Errors
    /// It runs already, or does not come up.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        ensure!(self.process.is_none(), "{} runs already", P::NAME);
        // Or the answers of another server would pass for its own.
        TcpListener::bind(self.address)
            .with_context(|| format!("{} is taken, and {} cannot listen there", self.address, P::NAME))?;
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let (java, args) = &self.command;
        let process = Command::new(java)
            .args(args)
            .current_dir(&self.folder)
            // Ctrl-C in a terminal is for us alone: how the server ends is ours to say.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{} cannot be started", P::NAME))?;
        self.watcher.watch(process.id())?;
        self.process = Some(process);
        self.up().await.with_context(|| format!("the log of {} ends so:\n{}", P::NAME, self.log_tail()))
    }

    async fn up(&mut self) -> anyhow::Result<()> {
        let up = timeout(UP_WAIT, self.answer()).await;
        up.with_context(|| format!("{} does not answer within {} s", P::NAME, UP_WAIT.as_secs()))?
    }

    async fn answer(&mut self) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("it ended with {status}");
            }
            if TcpStream::connect(self.address).await.is_ok() && P::answers(self.address).await {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }

    /// Ends it with SIGKILL.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.end("KILL", SOON).await
    }

    /// Ends it with SIGTERM, and waits until it is gone.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        self.end("TERM", UP_WAIT).await
    }

    /// Stops it with SIGSTOP: it keeps its connections and does nothing.
    ///
    /// # Errors
    /// It does not run.
    pub async fn pause(&self) -> anyhow::Result<()> {
        signal::send(self.pid()?, "STOP").await
    }

    /// Lets it go on after [`Self::pause`].
    ///
    /// # Errors
    /// It does not run.
    pub async fn resume(&self) -> anyhow::Result<()> {
        signal::send(self.pid()?, "CONT").await
    }

    async fn end(&mut self, signal: &str, limit: Duration) -> anyhow::Result<()> {
        signal::send(self.pid()?, signal).await?;
        let gone = timeout(limit, async {
            while self.process.as_mut().map(Child::try_wait).transpose()? == Some(None) {
                sleep(POLL).await;
            }
            anyhow::Ok(())
        });
        gone.await.with_context(|| format!("{} does not end after SIG{signal}", P::NAME))??;
        self.process = None;
        self.watcher.rest()
    }

    /// Its process.
    ///
    /// # Errors
    /// It does not run.
    pub fn pid(&self) -> anyhow::Result<u32> {
        Ok(self.process.as_ref().with_context(|| format!("{} does not run", P::NAME))?.id())
    }

    /// Where it listens: its display is `HOST:PORT`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The end of what it logged, over all its lives.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_LEN)..).unwrap_or_default();
        String::from_utf8_lossy(tail).into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }
}

impl<P> Drop for Jvm<P> {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        // Nothing more can be done if this fails; the watcher tries again.
        if process.kill().and_then(|()| process.wait()).is_ok() {
            self.watcher.rest().ok();
        }
    }
}

impl Place<'_> {
    fn jvm_args(&self) -> Vec<OsString> {
        let set: &[&str] = match self.tuning {
            Tuning::Tests => &["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"],
            Tuning::Load => &["-Xms1g", "-Xmx1g"],
        };
        let mut args: Vec<OsString> = set.iter().map(Into::into).collect();
        // Nothing is left in the temporary folder of the system.
        args.push("-XX:-UsePerfData".into());
        let tmp = self.folder.join("tmp");
        for name in ["java.io.tmpdir", "jna.tmpdir"] {
            args.push(property(name, &tmp));
        }
        args.push("-cp".into());
        args.push(self.kit.class_path().into());
        args
    }
}

/// `-DNAME=PATH`.
pub(crate) fn property(name: &str, path: &Path) -> OsString {
    let mut arg = OsString::from(format!("-D{name}="));
    arg.push(path);
    arg
}

/// A server that all tests of one program may share.
pub(crate) type Shared<P> = OnceCell<Result<Option<Jvm<P>>, String>>;

/// Where the shared server is, started at first use; the one that the environment names, if it names one. `None`: the
/// test is skipped.
pub(crate) async fn shared<P: Program>(
    shared: &'static Shared<P>,
    test: &str,
) -> anyhow::Result<Option<String>> {
    if let Ok(address) = env::var(P::VARIABLE) {
        return Ok(Some(address));
    }
    let server = shared.get_or_init(|| start_shared(test)).await;
    match server {
        Ok(server) => Ok(server.as_ref().map(|server| server.address().to_string())),
        Err(error) => bail!("{error}"),
    }
}

async fn start_shared<P: Program>(test: &str) -> Result<Option<Jvm<P>>, String> {
    let started = async {
        let Some(kit) = Jvm::<P>::kit(test).await? else { return Ok(None) };
        Jvm::start(&kit, Setup::default()).await.map(Some)
    };
    started.await.map_err(|error: anyhow::Error| format!("{error:#}"))
}
