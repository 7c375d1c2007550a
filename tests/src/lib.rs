//! What the tests that cross crates share: the real binary, the servers that it works with, the ways in which people reach
//! it, and the judge of what they saw.
//!
//! Reading path: [`node`] (a process of the binary), [`server`] (one that does everything) and [`cluster`] (several, by
//! role), [`api`] (HTTP), [`observer`], [`caller`] and [`talker`] (sessions), [`topic`] (the topic as strangers read it), [`sent`] (what a
//! sender was told), [`checker`] (whether it is all true), [`tools`] (programs in other languages), [`jvm`] (servers of
//! others) with [`kafka`] and [`cassandra`], [`authority`] (who vouches for them), [`site`] (topics and tables on them), [`collector`] (where traces go), [`registry`]
//! (where schemas are registered), [`scrape`] (what is counted), [`wait`].
//!
//! Invariants: a server is a real process on its own folder and port, and ends with the value that
//! started it; nothing sleeps for a fixed time, everything waits for a condition until a deadline.

pub mod address;
pub mod api;
pub mod authority;
pub mod binary;
pub mod caller;
pub mod cassandra;
pub mod checker;
pub mod cluster;
pub mod collector;
pub mod http;
pub mod jvm;
pub mod kafka;
pub mod node;
pub mod observer;
pub mod registry;
pub mod scrape;
pub mod sent;
pub mod server;
pub mod signal;
pub mod site;
pub mod talker;
pub mod tools;
pub mod topic;
pub mod wait;
mod wire;

pub use api::Api;
pub use authority::Authority;
pub use caller::Caller;
pub use cassandra::Cassandra;
pub use cluster::Cluster;
pub use collector::Collector;
pub use kafka::Kafka;
pub use node::Node;
pub use observer::Observer;
pub use registry::Registry;
pub use server::Server;
pub use site::Site;
pub use talker::Talker;
