//! What can be seen of a server in numbers: one list of names, units, labels and meanings.
//!
//! Invariants: no label tells a conversation or a person, and each has few values; times are histograms with buckets, so
//! that several nodes can be added up. `docs/metrics.md` shows this list, and a test holds both equal.
//!
//! Whoever counts often takes the handle once and keeps it. Before the server has set up its recorder, handles count
//! nothing; in tests of a single crate there is none.

use metrics::{Counter, Gauge, Histogram, Label, SharedString};

/// From a tenth of a millisecond to ten seconds.
const TIMES_S: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// The log's times have whole milliseconds.
const LATENCIES_S: &[f64] =
    &[0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// How the numbers of a metric move.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Up only, from 0 at the start of the process.
    Counter,
    /// Up and down.
    Gauge,
    /// Observations, counted below each of these bounds.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name; the unit stands last (`_seconds`, `_bytes`), `_total` for counters.
    pub name: &'static str,
    /// How its numbers move.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it tells.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($id:ident: $kind:expr, $name:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help };
        )+
        /// All of them.
        pub const ALL: &[Metric] = &[$($id),+];
    };
}

metrics! {
    COMMANDS: Kind::Counter, "tidings_commands_total" ["type", "code"]
        "Commands by the type of event they ask for and what became of them: ok, repeated, or the code of the refusal.";
    COMMAND_TIME: Kind::Histogram(TIMES_S), "tidings_command_duration_seconds" []
        "From the arrival of a command at ingest to its answer.";
    APPEND_TIME: Kind::Histogram(TIMES_S), "tidings_append_duration_seconds" []
        "How long the log took to make an append durable.";
    LOG_TAIL: Kind::Gauge, "tidings_log_tail_position" ["partition"]
        "The position after the last durable record.";
    MIRROR_PLACE: Kind::Gauge, "tidings_mirror_position" ["partition"]
        "All records before it are folded in this node's mirror.";
    MIRROR_LAG: Kind::Gauge, "tidings_mirror_lag_records" ["partition"]
        "Records between this node's mirror and the tail of the log.";
    IN_USE: Kind::Gauge, "tidings_conversations_in_use" []
        "Conversations that sessions and commands use at this node.";
    HISTORY_PROGRESS: Kind::Gauge, "tidings_history_position" ["partition"]
        "All records before it are in the history.";
    HISTORY_LAG: Kind::Gauge, "tidings_history_lag_records" ["partition"]
        "Records between the history and the tail of the log.";
    HISTORY_APPLY_TIME: Kind::Histogram(TIMES_S), "tidings_history_apply_duration_seconds" []
        "How long the history took to make a batch durable.";
    HISTORY_EVENTS: Kind::Counter, "tidings_history_events_total" []
        "Events that were written to the history by this node.";
    SESSIONS: Kind::Gauge, "tidings_sessions" []
        "Sessions that are connected.";
    SUBSCRIPTIONS: Kind::Gauge, "tidings_subscriptions" []
        "Subscriptions of all sessions.";
    DELIVERIES: Kind::Counter, "tidings_deliveries_total" []
        "Live events that were handed to sessions, one for each session.";
    DELIVERY_LATENCY: Kind::Histogram(LATENCIES_S), "tidings_delivery_latency_seconds" []
        "From the log's time of an event until a shard has written it to its live sessions.";
    OUTBOX: Kind::Gauge, "tidings_outbox_bytes" []
        "Bytes that wait to be written to sessions.";
    OVERFLOWS: Kind::Counter, "tidings_overflows_total" []
        "Times a subscription fell behind because its session's outbox was full.";
    RESUMES: Kind::Counter, "tidings_resumes_total" ["outcome"]
        "Subscriptions that asked to go on from a position: recovered, or lost.";
    FILL_PAGES: Kind::Counter, "tidings_fill_pages_total" ["source"]
        "Pages of past events read for sessions, by where from: recent, history, log.";
    CLOSES: Kind::Counter, "tidings_closes_total" ["code"]
        "Sessions that ended, by WebSocket close code.";
    SIGNALS: Kind::Counter, "tidings_signals_total" ["outcome"]
        "Signals between nodes by what became of them here: published, heard, or dropped for want of room or of an answer.";
    PRESENCE: Kind::Gauge, "tidings_presence_sessions" ["of"]
        "Sessions that are present in a conversation, counted in each: own ones, and those of other nodes that are remembered here.";
    INBOX_ENTRIES: Kind::Gauge, "tidings_inbox_entries" []
        "Conversations of people whose inbox is kept up to date here, counted for each person.";
    HTTP_REQUESTS: Kind::Counter, "tidings_http_requests_total" ["route", "status"]
        "HTTP requests by class of address and status.";
    HTTP_TIME: Kind::Histogram(TIMES_S), "tidings_http_request_duration_seconds" ["route"]
        "From the head of a request to the head of its answer.";
    KEY_SET_READS: Kind::Counter, "tidings_key_set_reads_total" ["outcome"]
        "Readings of the issuer's key set: read, or failed.";
    KEY_SET_KEYS: Kind::Gauge, "tidings_key_set_keys" []
        "Keys of the issuer that tokens are checked with.";
    READY: Kind::Gauge, "tidings_ready" ["check"]
        "1 if the check of /readyz passed the last time, else 0.";
    BUILD: Kind::Gauge, "tidings_build_info" ["version"]
        "1, for the version that runs.";
    PROCESS_CPU: Kind::Counter, "process_cpu_seconds_total" []
        "Processor time of the process.";
    PROCESS_MEMORY: Kind::Gauge, "process_resident_memory_bytes" []
        "Memory of the process that is in use.";
    PROCESS_FDS: Kind::Gauge, "process_open_fds" []
        "File descriptors that are open.";
}

impl Metric {
    /// The handle of a counter without labels.
    pub fn counter(&self) -> Counter {
        metrics::counter!(self.name)
    }

    /// The handle of a counter with these values of its labels, in their order.
    pub fn counter_of<V: Into<SharedString>>(&self, values: impl IntoIterator<Item = V>) -> Counter {
        metrics::counter!(self.name, self.labels(values))
    }

    /// The handle of a gauge without labels.
    pub fn gauge(&self) -> Gauge {
        metrics::gauge!(self.name)
    }

    /// The handle of a gauge with these values of its labels, in their order.
    pub fn gauge_of<V: Into<SharedString>>(&self, values: impl IntoIterator<Item = V>) -> Gauge {
        metrics::gauge!(self.name, self.labels(values))
    }

    /// The handle of a histogram without labels.
    pub fn histogram(&self) -> Histogram {
        metrics::histogram!(self.name)
    }

    /// The handle of a histogram with these values of its labels, in their order.
    pub fn histogram_of<V: Into<SharedString>>(&self, values: impl IntoIterator<Item = V>) -> Histogram {
        metrics::histogram!(self.name, self.labels(values))
    }

    fn labels<V: Into<SharedString>>(&self, values: impl IntoIterator<Item = V>) -> Vec<Label> {
        self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_document_shows_this_list() {
        let document = include_str!("../../docs/metrics.md");
        let is_row = |line: &&str| line.starts_with("| `tidings_") || line.starts_with("| `process_");
        let documented: Vec<_> = document.lines().filter(is_row).collect();
        let rows: Vec<_> = ALL
            .iter()
            .map(|Metric { name, kind, labels, help }| {
                let kind = match kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Histogram(_) => "histogram",
                };
                format!("| `{name}` | {kind} | {} | {help} |", labels.join(", "))
            })
            .collect();
        assert_eq!(documented, rows);
    }

    #[test]
    fn names_are_told_apart_and_say_what_they_are() {
        let names: HashSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for Metric { name, kind, labels, .. } in ALL {
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}");
            assert!(!matches!(kind, Kind::Histogram(_)) || name.ends_with("_seconds"), "{name}");
            for personal in ["conversation", "user", "member", "client", "session"] {
                assert!(!labels.contains(&personal), "{name}");
            }
        }
    }

    #[test]
    fn bounds_rise() {
        for Metric { name, kind, .. } in ALL {
            if let Kind::Histogram(bounds) = kind {
                assert!(bounds.is_sorted_by(|a, b| a < b), "{name}");
            }
        }
    }
}
