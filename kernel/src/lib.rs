//! What ingest, fanout and store share: ports, the adapters that all of them use, the rules, identity.
//!
//! - [`event_log`]: the topic as a port, with its `memory` and `sqlite` adapters;
//! - [`history`]: the queryable projection of the topic as a port, with the same two adapters;
//! - [`signals`]: what nodes tell each other beside the topic, as a port with its `local` and `kafka` adapters;
//! - [`inbox`]: what somebody has not read, counted from the history;
//! - [`conversation`]: the law. What may happen in a conversation, as a pure fold;
//! - [`command`]: what people ask for, and the port that takes it;
//! - [`mirror`]: the fold kept up to date, for the conversations in use at this node;
//! - [`identity`]: from a token to who may do what;
//! - [`trace`]: one trace over log and processes; [`metric`]: what is counted, under which names;
//! - [`clock`]: the time, so that tests can set it; [`random`]: fresh names; [`crash`]: how a defect ends the process.
//!
//! Invariant: nothing here knows HTTP or WebSocket. A module lives here only if two services use it.

pub mod clock;
pub mod command;
pub mod conversation;
pub mod crash;
pub mod event_log;
pub mod history;
pub mod identity;
pub mod inbox;
pub mod metric;
pub mod mirror;
pub mod random;
pub mod signals;
mod sqlite;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod trace;

pub use event_log::EventLog;
pub use history::History;
