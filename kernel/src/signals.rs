//! Signals between nodes as a port: who came, who went, who is still here, who types.
//!
//! Contract of every adapter, checked by one suite (`conformance`, with the feature `test-util`):
//! - a watcher hears what the other nodes publish after it began to watch, and nothing of its own node;
//! - signals of one node about one conversation are heard in the order they were published;
//! - nobody waits: [`Signals::publish`] returns at once, and whoever does not listen misses something instead of holding up
//!   others. What there is no room for is dropped, and counted.
//!
//! Fire and forget is the point: a signal may be lost, so nothing that must hold rests on one (`docs/adr/0018`).

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use metrics::Counter;
use parking_lot::Mutex;
use schemas::{Signal, SignalBody};
use tokio::sync::mpsc::{self, error::TrySendError};

use crate::metric;

#[cfg(any(test, feature = "test-util"))]
pub mod conformance;
pub mod kafka;
pub mod local;

/// Most signals that wait for one watcher.
pub const WATCH_LEN_MAX: usize = 16_384;

/// What this node tells the others, and hears from them. Held as [`SharedSignals`].
#[async_trait]
pub trait Signals: Send + Sync + fmt::Debug {
    /// Tells the other nodes, or drops it. Costs some microseconds.
    fn publish(&self, body: SignalBody);

    /// What the other nodes tell from now on; at most [`WATCH_LEN_MAX`] wait. It ends with the last handle of the port.
    fn watch(&self) -> mpsc::Receiver<Arc<Signal>>;

    /// Waits until what was published is on its way, for two seconds at most.
    async fn flush(&self);
}

/// Shares the port.
pub type SharedSignals = Arc<dyn Signals>;

/// Those of this node who watch.
#[derive(Default)]
struct Watchers(Mutex<Vec<mpsc::Sender<Arc<Signal>>>>);

impl Watchers {
    fn add(&self) -> mpsc::Receiver<Arc<Signal>> {
        let (watcher, heard) = mpsc::channel(WATCH_LEN_MAX);
        self.0.lock().push(watcher);
        heard
    }

    fn tell(&self, signal: &Arc<Signal>, counts: &Counts) {
        self.0.lock().retain(|watcher| match watcher.try_send(Arc::clone(signal)) {
            Ok(()) => {
                counts.heard.increment(1);
                true
            }
            Err(TrySendError::Full(_)) => {
                counts.dropped.increment(1);
                true
            }
            Err(TrySendError::Closed(_)) => false,
        });
    }
}

/// What became of signals at this node.
struct Counts {
    published: Counter,
    heard: Counter,
    dropped: Counter,
}

impl Counts {
    fn new() -> Self {
        let of = |outcome| metric::SIGNALS.counter_of([outcome]);
        Self { published: of("published"), heard: of("heard"), dropped: of("dropped") }
    }
}
