//! What the tests that cross crates share: the real binary, the servers that it works with, and the ways in which people
//! reach it.
//!
//! Reading path: [`server`] (start, kill, restart), [`api`] (HTTP), [`observer`] (a session), [`tools`] (programs in other
//! languages), [`jvm`] (servers of others) with [`kafka`] and [`cassandra`], [`backing`] (topics and tables on them),
//! [`collector`] (where traces go), [`registry`] (where schemas are registered), [`scrape`] (what is counted), [`wait`].
//!
//! Invariants: a server is a real process on its own folder and port, and ends with the value that
//! started it; nothing sleeps for a fixed time, everything waits for a condition until a deadline.

pub mod address;
pub mod api;
pub mod backing;
pub mod binary;
pub mod cassandra;
pub mod collector;
pub mod http;
pub mod jvm;
pub mod kafka;
pub mod observer;
pub mod registry;
pub mod scrape;
pub mod server;
pub mod signal;
pub mod tools;
pub mod wait;

pub use api::Api;
pub use backing::Backing;
pub use cassandra::Cassandra;
pub use collector::Collector;
pub use kafka::Kafka;
pub use observer::Observer;
pub use registry::Registry;
pub use server::Server;
