//! What measurements share: a schedule that does not wait for the server, all latencies, sessions that cost little, and a way to drive a
//! server and count what it delivers.
//!
//! ```text
//!   Work: how many conversations and sessions, at which pace
//!     | Drive: connections on one thread, which speak a Dialect
//!     v
//!   a server in a process of its own, or the Floor: how much processor time is a delivery?
//! ```
//!
//! Invariant: the load has one processor and what is measured another ([`Cores`]), where there are two.

mod cores;
mod crowd;
mod dialect;
mod drive;
mod files;
mod floor;
mod frame;
mod latencies;
mod posting;
mod process;
mod report;
mod row;
mod schedule;
mod server;
mod session;
mod work;

pub use cores::Cores;
pub use crowd::{CameIn, Held, come_in, hold};
pub use dialect::{Channels, Dialect, Returning, Step, Until};
pub use drive::{Drive, Pace, Ran, text};
pub use files::make_room;
pub use floor::{Again, Floor, Lines};
pub use frame::{client_frame, lines, pushes, text_frame, upgrade};
pub use latencies::Latencies;
pub use posting::{Door, OverHttp, OverSession, Posted, Posting};
pub use process::{Process, memory_of};
pub use report::{Report, tell, unless_stopped};
pub use row::Row;
pub use schedule::Schedule;
pub use server::Server;
pub use session::Session;
pub use work::{Percentiles, Place, Taken, Work, in_place_of_a_server, on_the_load};
