//! What measurements share: a schedule that does not wait for the server, all latencies, processor time.

pub mod cpu;
mod latencies;
mod schedule;

pub use latencies::Latencies;
pub use schedule::Schedule;
