//! What it takes to make one record durable without any server: appended to a plain file and synced, one at a time.
//!
//! A server that commits in groups, into a file that need not grow, may do better per message.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use crate::measure::Latencies;

/// Appends that are timed, unless the time is over before.
const APPENDS: usize = 500;
/// Longest time that the measurement may take.
const TIME_MAX: Duration = Duration::from_secs(3);

/// The median time of appending `len` bytes to a file in `folder` and waiting until they are on the disk.
pub(super) fn measure(folder: &Path, len: usize) -> io::Result<Duration> {
    let mut file = File::create(folder.join("floor"))?;
    let record = vec![b'x'; len];
    let began = Instant::now();
    let mut times = Vec::with_capacity(APPENDS);
    while times.len() < APPENDS && (times.is_empty() || began.elapsed() < TIME_MAX) {
        let before = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(before.elapsed());
    }
    Ok(Latencies::new(times).at(0.5))
}
