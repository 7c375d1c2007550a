//! What the tests that cross crates share: the real binary, and the ways in which people reach it.
//!
//! Reading path: [`server`] (start, kill, restart), [`api`] (HTTP), [`observer`] (a session), [`tools`] (programs in other
//! languages), [`wait`].
//!
//! Invariants: a server is the real `tidings` process on its own folder and port, and ends with the value that
//! started it; nothing sleeps for a fixed time, everything waits for a condition until a deadline.

pub mod api;
pub mod binary;
pub mod caller;
pub mod checker;
pub mod observer;
pub mod sent;
pub mod server;
pub mod tools;
pub mod topic;
pub mod wait;
mod wire;

pub use api::Api;
pub use caller::Caller;
pub use observer::Observer;
pub use server::Server;
