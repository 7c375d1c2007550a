//! A thread that says when messages are due: to wait for connections is too coarse a clock.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Context;
use mio::Waker;

use crate::measure::Schedule;

/// See the module. It ends when this is dropped.
pub(super) struct TimeKeeper {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    due: AtomicU64,
    over: AtomicBool,
}

impl TimeKeeper {
    /// Wakes somebody whenever one of `total` messages is due.
    pub(super) fn start(schedule: Schedule, total: u64, waker: Arc<Waker>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { due: AtomicU64::new(0), over: AtomicBool::new(false) });
        let told = Arc::clone(&shared);
        let keep = move || {
            for number in 0..total {
                schedule.wait(number, || told.over.load(Ordering::Relaxed));
                told.due.store(number + 1, Ordering::Release);
                if told.over.load(Ordering::Relaxed) || waker.wake().is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("bench-time".to_owned()).spawn(keep);
        Ok(Self { shared, thread: Some(thread.context("cannot start a thread")?) })
    }

    /// How many messages are due.
    pub(super) fn due(&self) -> u64 {
        self.shared.due.load(Ordering::Acquire)
    }
}

impl Drop for TimeKeeper {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}
