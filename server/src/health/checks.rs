//! The checks that there are. Those that look up positions tell them as metrics too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::future::try_join_all;
use kernel::{
    event_log::SharedLog,
    history::{self, SharedHistory},
    identity::Tokens,
    metric::{self, Metric},
    mirror::Mirror,
};
use metrics::Gauge;
use schemas::{Partition, Position};
use store::ProjectError;
use tokio::{sync::watch, time::Instant};

use super::Check;

/// How long the mirror may take to reach what is in the log when it is asked.
const LEVEL_WAIT: Duration = Duration::from_secs(2);

/// The last known tails, by partition; so that the lag of a reader is told even when the log cannot be asked.
#[derive(Debug, Clone)]
pub(crate) struct Tails(Arc<Vec<AtomicU64>>);

/// Where a reader is in a partition, and how far behind the tail.
struct Gauges {
    partition: Partition,
    position: Gauge,
    lag: Gauge,
}

impl Tails {
    pub(crate) fn of(log: &SharedLog) -> Self {
        Self(Arc::new((0..log.partitions()).map(|_| AtomicU64::new(0)).collect()))
    }

    fn note(&self, partition: Partition, tail: Position) {
        if let Some(known) = self.0.get(partition.0 as usize) {
            known.fetch_max(tail.get(), Ordering::Relaxed);
        }
    }

    fn get(&self, partition: Partition) -> u64 {
        self.0.get(partition.0 as usize).map_or(0, |tail| tail.load(Ordering::Relaxed))
    }

    fn gauges(&self, position: &Metric, lag: &Metric) -> Arc<Vec<Gauges>> {
        let partitions = (0u32..).zip(self.0.iter()).map(|(partition, _)| Gauges {
            partition: Partition(partition),
            position: position.gauge_of([partition.to_string()]),
            lag: lag.gauge_of([partition.to_string()]),
        });
        Arc::new(partitions.collect())
    }
}

impl Gauges {
    fn tell(&self, place: Position, tails: &Tails) {
        self.position.set(number(place.get()));
        self.lag.set(number(tails.get(self.partition).saturating_sub(place.get())));
    }
}

/// The log tells its tail.
pub(crate) fn log(log: SharedLog, tails: Tails) -> Check {
    let gauges = (0..log.partitions())
        .map(|partition| (Partition(partition), metric::LOG_TAIL.gauge_of([partition.to_string()])));
    let gauges: Arc<Vec<_>> = Arc::new(gauges.collect());
    Check::new("log", move || {
        let (log, tails, gauges) = (Arc::clone(&log), tails.clone(), Arc::clone(&gauges));
        async move {
            let asked = gauges.iter().map(async |(partition, gauge)| {
                let tail = log.tail(*partition).await?;
                tails.note(*partition, tail);
                gauge.set(number(tail.get()));
                Ok::<_, kernel::event_log::ReadError>(())
            });
            try_join_all(asked).await.map(drop).map_err(|error| error.to_string())
        }
    })
}

/// The history tells its progress, and is that of this log.
pub(crate) fn history(log: SharedLog, history: SharedHistory, tails: Tails) -> Check {
    let gauges = tails.gauges(&metric::HISTORY_PROGRESS, &metric::HISTORY_LAG);
    Check::new("history", move || {
        let (log, history) = (Arc::clone(&log), Arc::clone(&history));
        let (tails, gauges) = (tails.clone(), Arc::clone(&gauges));
        async move {
            let epoch = log.epoch();
            let asked = gauges.iter().map(async |gauges| {
                let place = history::place(&*history, gauges.partition, &epoch).await?;
                gauges.tell(place, &tails);
                Ok::<_, history::HistoryError>(())
            });
            try_join_all(asked).await.map(drop).map_err(|error| error.to_string())
        }
    })
}

/// This node has folded what is in the log.
pub(crate) fn mirror(mirror: Arc<Mirror>, tails: Tails) -> Check {
    let gauges = tails.gauges(&metric::MIRROR_PLACE, &metric::MIRROR_LAG);
    Check::new("mirror", move || {
        let (mirror, tails, gauges) = (Arc::clone(&mirror), tails.clone(), Arc::clone(&gauges));
        async move {
            let deadline = Instant::now() + LEVEL_WAIT;
            let asked = gauges.iter().map(async |gauges| {
                gauges.tell(mirror.place(gauges.partition), &tails);
                mirror.catch_up(gauges.partition, deadline).await
            });
            try_join_all(asked).await.map(drop).map_err(|error| error.to_string())
        }
    })
}

/// The projector has not failed.
pub(crate) fn projector(failure: watch::Receiver<Option<ProjectError>>) -> Check {
    Check::new("projector", move || {
        let failure = failure.borrow().as_ref().map(ToString::to_string);
        async move { failure.map_or(Ok(()), Err) }
    })
}

/// There is a key to check the issuer's tokens with.
pub(crate) fn keys(tokens: Arc<Tokens>) -> Check {
    Check::new("keys", move || {
        let none = tokens.keys_len() == Some(0);
        async move {
            if none { Err("the issuer's key set has no key that can be used".to_owned()) } else { Ok(()) }
        }
    })
}

/// The node was not told to stop.
pub(crate) fn draining(stop: watch::Receiver<bool>) -> Check {
    Check::new("draining", move || {
        let stopping = *stop.borrow();
        async move { if stopping { Err("the node is stopping".to_owned()) } else { Ok(()) } }
    })
}

#[expect(clippy::cast_precision_loss, reason = "a position beyond 2^53 is not reached")]
fn number(position: u64) -> f64 {
    position as f64
}
