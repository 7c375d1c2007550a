//! What a shard counts and traces. Handles are taken once; a delivery to a session costs two additions.

use std::cell::Cell;

use kernel::{metric, mirror::LiveEvent, trace};
use metrics::{Counter, Gauge, Histogram};
use schemas::Timestamp;
use tracing::{Span, field::Empty};

use crate::{protocol::Disconnect, session::Session};

/// The handles of one shard. The gauges are shared with the other shards, so each moves them by its own differences.
pub(crate) struct Meters {
    pub(crate) sessions: Gauge,
    pub(crate) subscriptions: Gauge,
    pub(crate) overflows: Counter,
    deliveries: Counter,
    latency: Histogram,
    outbox: Gauge,
    /// What this shard has added to `outbox`.
    outbox_told: Cell<i64>,
}

/// What is noted while one stretch is delivered.
pub(crate) struct Watch<'a> {
    meters: &'a Meters,
    handed: usize,
    /// When the log took the events that somebody was handed.
    times: Vec<Timestamp>,
    delivering: Vec<Delivering>,
}

/// A span `deliver` that is open, and when the log took the event.
pub(crate) struct Delivering(Span, Timestamp);

impl Meters {
    pub(crate) fn new() -> Self {
        Self {
            sessions: metric::SESSIONS.gauge(),
            subscriptions: metric::SUBSCRIPTIONS.gauge(),
            overflows: metric::OVERFLOWS.counter(),
            deliveries: metric::DELIVERIES.counter(),
            latency: metric::DELIVERY_LATENCY.histogram(),
            outbox: metric::OUTBOX.gauge(),
            outbox_told: Cell::new(0),
        }
    }

    /// A session is over.
    pub(crate) fn ended(&self, session: &Session) {
        self.sessions.decrement(1);
        let Disconnect { code, .. } = session.over().unwrap_or(Disconnect::NORMAL);
        metric::CLOSES.counter_of([code.to_string()]).increment(1);
    }

    /// So many bytes wait in the outboxes of this shard.
    pub(crate) fn outbox(&self, waiting: usize) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        let more = waiting - self.outbox_told.replace(waiting);
        if more != 0 {
            #[expect(clippy::cast_precision_loss, reason = "bytes in memory are below 2^53")]
            self.outbox.increment(more as f64);
        }
    }

    /// A stretch is about to be delivered.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch { meters: self, handed: 0, times: Vec::new(), delivering: Vec::new() }
    }
}

impl Watch<'_> {
    /// These events are about to be handed to their subscriptions. Spans are made for those whose trace is sampled.
    pub(crate) fn begin(events: &[&LiveEvent]) -> Vec<Delivering> {
        let traced = events.iter().filter_map(|event| Some((event.trace.as_ref()?, event.recorded_at)));
        let delivering = traced.map(|(trace, recorded_at)| {
            let span = tracing::info_span!(
                target: trace::TARGET, parent: None, "deliver",
                sessions = Empty, latency_ms = Empty,
            );
            trace.adopt(&span);
            Delivering(span, recorded_at)
        });
        delivering.collect()
    }

    /// They were handed to so many sessions; `handed` counts each event for each.
    pub(crate) fn end(
        &mut self,
        events: &[&LiveEvent],
        delivering: Vec<Delivering>,
        sessions: usize,
        handed: usize,
    ) {
        if sessions > 0 {
            self.handed += handed;
            self.times.extend(events.iter().map(|event| event.recorded_at));
        }
        for Delivering(span, _) in &delivering {
            span.record("sessions", sessions);
        }
        self.delivering.extend(delivering);
    }

    /// All of it is written, as far as the sockets take it.
    pub(crate) fn written(self, now: Timestamp) {
        let since = |then: Timestamp| u32::try_from(now.as_millis() - then.as_millis()).unwrap_or(0);
        self.meters.deliveries.increment(self.handed as u64);
        for then in self.times {
            self.meters.latency.record(f64::from(since(then)) / 1_000.0);
        }
        for Delivering(span, then) in self.delivering {
            span.record("latency_ms", since(then));
        }
    }
}
