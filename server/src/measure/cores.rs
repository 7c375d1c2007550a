//! Which processor does what: a server has one to itself, and the load another, so that neither takes the other's time.
//!
//! Linux alone lets a program choose; elsewhere, or where only one processor may be used, nothing is chosen.

use std::io;

/// Two processors; see the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// Where the server runs.
    pub server: usize,
    /// Where the load runs.
    pub load: usize,
    /// Whether the server may run there too.
    shared: bool,
}

impl Cores {
    /// The first two that this thread may use; `None` if there are not so many.
    pub fn choose() -> Option<Self> {
        let mut usable = system::usable().ok()?.into_iter();
        Some(Self { server: usable.next()?, load: usable.next()?, shared: false })
    }

    /// The same with the server on both, where it has to let the load in between.
    #[must_use]
    pub fn shared(self) -> Self {
        Self { shared: true, ..self }
    }

    /// Does something where the server runs. Threads and processes that are started meanwhile stay there.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn beside_the_load<R>(self, work: impl FnOnce() -> R) -> io::Result<R> {
        let before = system::usable()?;
        let cores = if self.shared { vec![self.server, self.load] } else { vec![self.server] };
        system::stay_on(&cores)?;
        let done = work();
        system::stay_on(&before)?;
        Ok(done)
    }

    /// Keeps this thread, and whatever it starts, on the load's processor.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn be_the_load(self) -> io::Result<()> {
        system::stay_on(&[self.load])
    }

    /// Keeps this thread, and whatever it starts, on the server's processor: it is what is measured.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn be_the_server(self) -> io::Result<()> {
        system::stay_on(&[self.server])
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;

    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

    pub(super) fn usable() -> io::Result<Vec<usize>> {
        let usable = sched_getaffinity(None)?;
        Ok((0..CpuSet::MAX_CPU).filter(|core| usable.is_set(*core)).collect())
    }

    pub(super) fn stay_on(cores: &[usize]) -> io::Result<()> {
        let mut set = CpuSet::new();
        cores.iter().filter(|core| **core < CpuSet::MAX_CPU).for_each(|core| set.set(*core));
        Ok(sched_setaffinity(None, &set)?)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::io;

    pub(super) fn usable() -> io::Result<Vec<usize>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn stay_on(_: &[usize]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn what_is_started_beside_the_load_stays_there_and_the_starter_does_not() {
        let Some(core) = system::usable().unwrap().into_iter().next_back() else { panic!("no processor") };
        let before = system::usable().unwrap();
        let cores = Cores { server: core, load: core, shared: false };
        let started = cores.beside_the_load(|| thread::spawn(|| system::usable().unwrap())).unwrap();
        assert_eq!(started.join().unwrap(), [core]);
        assert_eq!(system::usable().unwrap(), before);
    }

    #[test]
    fn a_server_that_shares_has_both() {
        let Some(cores) = Cores::choose() else { return };
        let started = cores.shared().beside_the_load(|| thread::spawn(|| system::usable().unwrap())).unwrap();
        assert_eq!(started.join().unwrap(), [cores.server, cores.load]);
    }

    #[test]
    fn the_load_stays_on_its_processor() {
        let usable = system::usable().unwrap();
        let core = *usable.last().unwrap();
        let load = thread::spawn(move || {
            Cores { server: core, load: core, shared: false }.be_the_load().unwrap();
            system::usable().unwrap()
        });
        assert_eq!(load.join().unwrap(), [core]);
    }
}
