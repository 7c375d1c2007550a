//! Processor time.

use std::{fs, time::Duration};

/// Length of the kernel's unit of processor time, on every Linux there is (`USER_HZ` is 100).
const TICK: Duration = Duration::from_millis(10);

/// What this process has used since it began, with all its threads; `None` where the system does not tell.
pub fn of_this_process() -> Option<Duration> {
    Clock("/proc/self/stat".to_owned()).now()
}

/// Somebody whose processor time is read again and again.
#[derive(Debug, Clone)]
pub struct Clock(String);

impl Clock {
    /// That of a process, with all its threads.
    pub fn of_process(pid: u32) -> Self {
        Self(format!("/proc/{pid}/stat"))
    }

    /// That of the thread that asks, whoever reads it.
    pub fn of_this_thread() -> Self {
        let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
        Self(format!("/proc/{}/stat", thread.display()))
    }

    /// What was used up to now; `None` if they are gone, or where the system does not tell.
    pub fn now(&self) -> Option<Duration> {
        of(&fs::read_to_string(&self.0).ok()?)
    }
}

/// The threads of a process with such names, of which the system keeps 15 bytes. None where it does not tell.
pub fn threads(pid: u32, wanted: impl Fn(&str) -> bool) -> Vec<Clock> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let folders = threads.filter_map(|thread| Some(thread.ok()?.path()));
    let named = folders
        .filter(|folder| fs::read_to_string(folder.join("comm")).is_ok_and(|name| wanted(name.trim_end())));
    named.map(|folder| Clock(format!("{}/stat", folder.display()))).collect()
}

/// What was used between two such readings.
pub fn between(before: Option<Duration>, after: Option<Duration>) -> Option<Duration> {
    Some(after?.saturating_sub(before?))
}

/// From the text of `/proc/…/stat`: user and system time are the 14th and 15th fields. The second one, the name, is
/// in brackets and may hold anything, so counting begins behind its last bracket.
fn of(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(TICK * user + TICK * system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194304 100 0 0 0 150 25 0 0 20 0 1 0 5 0 0";
        assert_eq!(of(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(of("garbage"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_clock_is_that_of_one_thread_and_goes_on() {
        let clock = Clock::of_this_thread();
        let before = clock.now().unwrap();
        let mut work = 0_u64;
        while clock.now().unwrap() < before + TICK {
            work = work.wrapping_add(1);
        }
        assert!(work > 0);
        let other = std::thread::spawn(Clock::of_this_thread).join().unwrap();
        assert_ne!(other.0, clock.0);
        // It is gone, or will be in a moment.
        while other.now().is_some() {
            std::thread::yield_now();
        }
        assert!(Clock::of_process(std::process::id()).now().unwrap() >= before);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_are_found_by_name() {
        let (end, until) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::Builder::new().name("a name to find".to_owned());
        let thread = thread.spawn(move || until.recv()).unwrap();
        let found = |name: &str| threads(std::process::id(), |of| of == name);
        // A thread names itself once it runs.
        while found("a name to find").is_empty() {
            std::thread::yield_now();
        }
        assert!(found("a name to find").first().unwrap().now().is_some());
        assert!(found("another name").is_empty());
        drop(end);
        assert!(thread.join().unwrap().is_err());
    }
}
