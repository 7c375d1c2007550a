//! Who is measured: each a process of its own that has the server's processor to itself, started afresh for each measurement.

use std::{
    any::Any,
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use serde::Serialize;
use server::{
    cpu,
    measure::{Channels, Cores, Dialect, Floor, Lines, Place, Process, Server, on_the_load},
};
use tests::binary;
use tokio::task::spawn_blocking;

use crate::gin::Rooms;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Subject {
    /// This project, on the embedded log and history
    Tidings,
    /// A server on the Go library Centrifuge, with its memory broker
    Centrifuge,
    /// A chat of Gin and gorilla/websocket
    Gin,
}

/// What is the same for all of them.
#[derive(Debug, Clone)]
pub(crate) struct Rig {
    pub(crate) cores: Option<Cores>,
    /// Where the Go programs are.
    pub(crate) programs: PathBuf,
}

/// One that runs. It ends with this.
#[derive(Debug)]
struct Running {
    dialect: Box<dyn Dialect>,
    address: SocketAddr,
    clock: cpu::Clock,
    pid: u32,
    conversations: Vec<String>,
    /// What ends with this.
    _process: Box<dyn Any + Send>,
}

impl Subject {
    pub(crate) const ALL: [Self; 3] = [Self::Tidings, Self::Centrifuge, Self::Gin];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tidings => "tidings",
            Self::Centrifuge => "centrifuge",
            Self::Gin => "gin",
        }
    }

    /// Its program, if it is one of Go's.
    fn program(self, rig: &Rig) -> Option<PathBuf> {
        (self != Self::Tidings).then(|| rig.programs.join(self.name()))
    }

    /// Whether it can be started.
    ///
    /// # Errors
    /// Its program was not built.
    pub(crate) fn find(self, rig: &Rig) -> anyhow::Result<()> {
        let missing = self.program(rig).filter(|program| !program.is_file());
        ensure!(
            missing.is_none(),
            "{} is not there: `just bench-peers` builds it, or leave it out with --who",
            missing.unwrap_or_default().display()
        );
        Ok(())
    }

    /// Starts it with so many conversations and does something with it, on the thread that is the load; `work` gets the place and
    /// the id of the process.
    pub(crate) async fn on<R: Send + 'static>(
        self,
        rig: &Rig,
        conversations: u32,
        work: impl FnOnce(&Place<'_>, u32) -> anyhow::Result<R> + Send + 'static,
    ) -> anyhow::Result<R> {
        let running = match self.program(rig) {
            None => tidings(rig.cores, conversations).await?,
            Some(program) => {
                let dialect: Box<dyn Dialect> =
                    if self == Self::Gin { Box::new(Rooms) } else { Box::new(Channels::open()) };
                let cores = rig.cores;
                spawn_blocking(move || start(&program, dialect, cores, conversations)).await??
            }
        };
        running.on(rig.cores, work).await
    }
}

/// Does something with the floor, as with anybody else.
pub(crate) async fn on_floor<R: Send + 'static>(
    rig: &Rig,
    frame_bytes: usize,
    conversations: u32,
    work: impl FnOnce(&Place<'_>, u32) -> anyhow::Result<R> + Send + 'static,
) -> anyhow::Result<R> {
    let floor = Floor::start(frame_bytes, rig.cores)?;
    let running = Running {
        dialect: Box::new(Lines),
        address: floor.address,
        clock: floor.clock.clone(),
        pid: std::process::id(),
        conversations: names(conversations),
        _process: Box::new(floor),
    };
    running.on(rig.cores, work).await
}

impl Running {
    async fn on<R: Send + 'static>(
        self,
        cores: Option<Cores>,
        work: impl FnOnce(&Place<'_>, u32) -> anyhow::Result<R> + Send + 'static,
    ) -> anyhow::Result<R> {
        on_the_load(cores, move || {
            let Self { dialect, address, clock, conversations, pid, _process } = self;
            work(
                &Place {
                    dialect: &*dialect,
                    address,
                    clock,
                    conversations: &conversations,
                    alone: cores.is_some(),
                },
                pid,
            )
        })
        .await
    }
}

async fn tidings(cores: Option<Cores>, conversations: u32) -> anyhow::Result<Running> {
    // On the disk that the sources are on: what is written there is synced.
    let folder = tempfile::Builder::new().prefix("bench-peers-").tempdir_in(env::current_dir()?)?;
    let server = Server::start(&binary::path()?, &folder.path().join("data"), cores, &[]).await?;
    Ok(Running {
        dialect: Box::new(Channels::with_tokens(server.token_key()?)),
        address: server.socket_address()?,
        clock: server.process().clock(),
        pid: server.process().id(),
        conversations: server.fresh_conversations(conversations).await?,
        // The server ends before its folder.
        _process: Box::new((server, folder)),
    })
}

/// Starts a program that says on its first line where it listens.
fn start(
    program: &Path,
    dialect: Box<dyn Dialect>,
    cores: Option<Cores>,
    conversations: u32,
) -> anyhow::Result<Running> {
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    if cores.is_some() {
        // It has one processor; Go would find that out too.
        command.env("GOMAXPROCS", "1");
    }
    let mut process = Process::start(command, cores)?;
    let mut line = String::new();
    BufReader::new(process.stdout().context("no output")?).read_line(&mut line)?;
    let address = line.trim().strip_prefix("listening on ");
    let address = address.with_context(|| format!("{} does not say where it listens", program.display()))?;
    Ok(Running {
        dialect,
        address: address.parse()?,
        clock: process.clock(),
        pid: process.id(),
        conversations: names(conversations),
        _process: Box::new(process),
    })
}

fn names(count: u32) -> Vec<String> {
    (0..count).map(|number| format!("bench-{number}")).collect()
}
