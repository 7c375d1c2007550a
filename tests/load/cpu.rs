//! Who spends the processor's time: the machine is shared by all parts, so a rate alone says little.

use std::time::Duration;

use serde::Serialize;
use server::cpu;

/// What the name of a compiler's thread has in it, in the JVMs of `OpenJDK`: `C1 CompilerThread0`, cut by the system.
const COMPILER: &str = " CompilerThre";

/// The processes of a run. A server that was there before has no id that we know.
#[derive(Debug, Clone, Default)]
pub(crate) struct Processes {
    /// The nodes that are measured.
    pub(crate) tidings: Vec<u32>,
    pub(crate) kafka: Option<u32>,
    pub(crate) cassandra: Option<u32>,
}

/// Processor time up to now.
#[derive(Debug)]
pub(crate) struct Meter {
    processes: Processes,
    before: [Option<Duration>; 4],
}

/// Microseconds of processor time for each record; `null` where it is not known.
#[expect(clippy::struct_field_names, reason = "units stand last in names")]
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Spent {
    /// This program: the load, or the floor's client.
    pub(crate) client_us: Option<f64>,
    pub(crate) tidings_us: Option<f64>,
    pub(crate) kafka_us: Option<f64>,
    pub(crate) cassandra_us: Option<f64>,
}

impl Processes {
    pub(crate) fn measure(&self) -> Meter {
        Meter { processes: self.clone(), before: self.now() }
    }

    /// What the compilers of the servers have used up to now; `None`: we know of none.
    pub(crate) fn compiling(&self) -> Option<Duration> {
        let servers = [self.kafka, self.cassandra].into_iter().flatten();
        let compilers: Vec<_> =
            servers.flat_map(|pid| cpu::threads(pid, |name| name.contains(COMPILER))).collect();
        (!compilers.is_empty()).then(|| compilers.iter().filter_map(cpu::Clock::now).sum())
    }

    fn now(&self) -> [Option<Duration>; 4] {
        let process = |pid| cpu::Clock::of_process(pid).now();
        let of = |pid: Option<u32>| pid.and_then(process);
        let tidings = self.tidings.iter().map(|pid| process(*pid)).sum();
        [cpu::of_this_process(), tidings, of(self.kafka), of(self.cassandra)]
    }
}

impl Meter {
    /// What was spent since, on each of so many records.
    pub(crate) fn spent_on(&self, records: f64) -> Spent {
        let mut each = self.before.into_iter().zip(self.processes.now()).map(|(before, now)| {
            let spent = now?.saturating_sub(before?);
            Some(spent.as_secs_f64() * 1e6 / records)
        });
        let mut next = || each.next().flatten();
        Spent { client_us: next(), tidings_us: next(), kafka_us: next(), cassandra_us: next() }
    }
}
