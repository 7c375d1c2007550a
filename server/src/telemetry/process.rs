//! What the system says of this process, as Prometheus text. Read when asked for; nothing where the system does not tell.

use std::{
    fmt::{Display, Write},
    fs,
};

use kernel::metric::{self, Kind, Metric};

use crate::cpu;

/// Adds the numbers to `text`.
pub(super) fn write(text: &mut String) {
    add(text, &metric::PROCESS_CPU, cpu::of_this_process().map(|used| used.as_secs_f64()));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    add(text, &metric::PROCESS_MEMORY, resident_bytes(&status));
    add(text, &metric::PROCESS_FDS, fs::read_dir("/proc/self/fd").ok().map(Iterator::count));
}

fn add(text: &mut String, metric: &Metric, value: Option<impl Display>) {
    let Some(value) = value else { return };
    let Metric { name, help, .. } = metric;
    let kind = if metric.kind == Kind::Counter { "counter" } else { "gauge" };
    // Writing to a string does not fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
}

/// From the text of `/proc/…/status`.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(resident_bytes("VmSize:\t  9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(resident_bytes("VmRSS:\t many"), None);
    }
}
