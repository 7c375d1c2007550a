//! Sessions that only come in: what that takes, and what they hold when they do nothing.

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use super::{Drive, Place, memory_of};
use crate::cpu;

/// What it took to let sessions in: connection, handshake, `connect` with its token, `subscribe`.
#[derive(Debug, Serialize)]
pub struct CameIn {
    /// How many.
    pub sessions: u64,
    /// Until the last was in.
    pub seconds: f64,
    /// Processor time of the server for each, in microseconds.
    pub cpu_us: f64,
    /// How many come in for a second of it.
    pub per_cpu_s: f64,
    /// Processor time of the load for each, in microseconds.
    pub load_us: Option<f64>,
}

/// What sessions hold, in bytes.
#[derive(Debug, Serialize)]
pub struct Held {
    /// How many.
    pub sessions: u64,
    /// The server's memory before the first.
    pub before: u64,
    /// When the last was in.
    pub at_once: u64,
    /// After they had done nothing for a while.
    pub after: u64,
    /// Of that, for each.
    pub each: f64,
}

/// Lets so many sessions in, in turn to each conversation of the place. They stay as long as what is given back.
/// To be called on the thread that is the load.
///
/// # Errors
/// The server refuses, or the system does not tell its processor time.
pub fn come_in<'a>(
    place: &Place<'a>,
    sessions: u64,
    told: impl FnMut(u64),
) -> anyhow::Result<(Drive<'a>, CameIn)> {
    let mut drive = Drive::new(place.dialect, place.address, place.conversations)?.alone(place.alone);
    let load = cpu::Clock::of_this_thread();
    let before = (place.clock.now(), load.now());
    let took = drive.join(sessions, told)?;
    let server = cpu::between(before.0, place.clock.now());
    let server = server.context("the system does not tell what processor time the server uses")?;
    #[expect(clippy::cast_precision_loss, reason = "a count of sessions")]
    let each = |time: Duration| time.as_secs_f64() * 1e6 / sessions as f64;
    let came_in = CameIn {
        sessions,
        seconds: took.as_secs_f64(),
        cpu_us: each(server),
        per_cpu_s: 1e6 / each(server),
        load_us: cpu::between(before.1, load.now()).map(each),
    };
    Ok((drive, came_in))
}

/// Lets so many sessions in, and looks at the memory of the process `pid` when they have done nothing for `rest`.
/// To be called on the thread that is the load.
///
/// # Errors
/// As [`come_in`]; or the system does not tell the server's memory.
pub fn hold(
    place: &Place<'_>,
    pid: u32,
    sessions: u64,
    rest: Duration,
    told: impl FnMut(u64),
) -> anyhow::Result<Held> {
    let memory = || memory_of(pid).context("the system does not tell what memory the server holds");
    let before = memory()?;
    let (mut drive, _) = come_in(place, sessions, told)?;
    let at_once = memory()?;
    drive.stay(rest)?;
    let after = memory()?;
    #[expect(clippy::cast_precision_loss, reason = "a size of memory")]
    let each = after.saturating_sub(before) as f64 / sessions as f64;
    Ok(Held { sessions, before, at_once, after, each })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Floor, Lines};

    #[test]
    fn those_who_come_in_are_counted_and_stay() {
        let floor = Floor::start(300, None).unwrap();
        let conversations = ["tea".to_owned(), "rum".to_owned()];
        let (address, clock) = (floor.address, floor.clock.clone());
        let place = Place { dialect: &Lines, address, clock, conversations: &conversations, alone: false };
        let mut most = 0;
        let (mut drive, came_in) = come_in(&place, 100, |count| most = most.max(count)).unwrap();
        assert_eq!((came_in.sessions, most), (100, 100));
        // Each message comes to the fifty of its conversation.
        drive.bring_publishers(1).unwrap();
        let ran = drive.run(crate::measure::Pace::PerSecond(100), Duration::from_millis(20)).unwrap();
        assert_eq!(ran.deliveries, 100);
        let held = hold(&place, std::process::id(), 10, Duration::from_millis(1), |_| {}).unwrap();
        assert!(held.before > 0 && held.after >= held.before / 2, "{held:?}");
    }
}
