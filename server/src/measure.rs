//! What measurements share: a schedule that does not wait for the server, and all latencies.

mod latencies;
mod schedule;

pub use latencies::Latencies;
pub use schedule::Schedule;
