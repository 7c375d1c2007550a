//! A process of the measurement's own, so that what it costs is not mixed with what the load costs.

use std::{
    fs,
    process::{Child, ChildStdout, Command, ExitStatus},
};

use anyhow::Context;

use super::Cores;
use crate::cpu;

/// See the module. Killed when dropped: nothing that it holds is wanted any more.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Starts it, on the server's processor.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start(mut command: Command, cores: Option<Cores>) -> anyhow::Result<Self> {
        let spawned = match cores {
            Some(cores) => cores.beside_the_load(|| command.spawn())?,
            None => command.spawn(),
        };
        Ok(Self(spawned.with_context(|| format!("cannot start {}", command.get_program().display()))?))
    }

    /// What it prints, where that was asked for; once.
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.0.stdout.take()
    }

    /// How it ended; `None`: it runs.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    /// Its processor time.
    pub fn clock(&self) -> cpu::Clock {
        cpu::Clock::of_process(self.0.id())
    }

    /// Bytes of memory that it holds; `None` where the system does not tell.
    pub fn memory(&self) -> Option<u64> {
        memory_of(self.id())
    }

    /// What [`memory_of`] calls it.
    pub fn id(&self) -> u32 {
        self.0.id()
    }
}

/// Bytes of memory that a process holds; `None` where the system does not tell, or there is none with this id.
pub fn memory_of(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1_024)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Errors say that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
