//! Signals within one process: of the only node there is, or of several in tests.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use schemas::{NodeId, Signal, SignalBody};
use tokio::sync::mpsc;

use super::{Counts, Signals, Watchers};
use crate::{clock::Clock, random};

/// What nodes of one process have in common. A clone is the same.
#[derive(Clone, Default)]
pub struct Bus(Arc<Mutex<Vec<Member>>>);

struct Member {
    node: NodeId,
    watchers: Weak<Watchers>,
}

/// One node on a [`Bus`].
pub struct LocalSignals {
    node: NodeId,
    bus: Bus,
    clock: Arc<dyn Clock>,
    watchers: Arc<Watchers>,
    counts: Counts,
}

impl Bus {
    /// One more node.
    pub fn join(&self, clock: Arc<dyn Clock>) -> LocalSignals {
        let (node, watchers) = (random::node_id(), Arc::new(Watchers::default()));
        self.0.lock().push(Member { node: node.clone(), watchers: Arc::downgrade(&watchers) });
        LocalSignals { node, bus: self.clone(), clock, watchers, counts: Counts::new() }
    }
}

impl LocalSignals {
    /// A node without others.
    pub fn alone(clock: Arc<dyn Clock>) -> Self {
        Bus::default().join(clock)
    }
}

#[async_trait]
impl Signals for LocalSignals {
    fn publish(&self, body: SignalBody) {
        self.counts.published.increment(1);
        let signal = Arc::new(Signal { node: self.node.clone(), at: self.clock.now(), body });
        // Told under the lock, so that all hear it in one order.
        self.bus.0.lock().retain(|Member { node, watchers }| {
            let Some(watchers) = watchers.upgrade() else { return false };
            if *node != self.node {
                watchers.tell(&signal, &self.counts);
            }
            true
        });
    }

    fn watch(&self) -> mpsc::Receiver<Arc<Signal>> {
        self.watchers.add()
    }

    async fn flush(&self) {}
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("nodes", &self.0.lock().len()).finish()
    }
}

impl fmt::Debug for LocalSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalSignals").field("node", &self.node).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        signals::{SharedSignals, conformance::Subject},
    };

    struct OnBus(Bus);

    #[async_trait]
    impl Subject for OnBus {
        async fn fresh() -> Self {
            Self(Bus::default())
        }

        async fn node(&self) -> SharedSignals {
            Arc::new(self.0.join(Arc::new(SystemClock)))
        }
    }

    crate::signals_conformance!(OnBus);

    #[tokio::test]
    async fn a_node_that_is_gone_leaves_nothing_behind() {
        let bus = Bus::default();
        let (gone, here) = (bus.join(Arc::new(SystemClock)), bus.join(Arc::new(SystemClock)));
        drop(gone);
        here.publish(SignalBody::Asked(schemas::signal::Asked {}));
        assert_eq!(bus.0.lock().len(), 1);
    }
}
