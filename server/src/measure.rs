//! What measurements share: a schedule that does not wait for the server, all latencies, and a session that costs little.

mod latencies;
mod schedule;
mod session;

pub use latencies::Latencies;
pub use schedule::Schedule;
pub use session::{Session, pushes, text_frame};
