//! The history of conversations: kept up to date from the log, and asked over HTTP.
//!
//! - [`project`]: records in, changes out, as a pure function;
//! - [`projector`]: follows the log and brings what it reads into the history;
//! - [`rebuild`](mod@rebuild): the same for a whole log and an empty history;
//! - [`time_travel`]: a conversation as it was then;
//! - [`scylla`](mod@scylla): the history in Scylla or Cassandra;
//! - [`http`]: the questions, as `docs/http.md` has them.
//!
//! Invariant: nothing here writes to the log, and nothing but the projector writes to the history.

mod fold;
mod folds;
pub mod http;
pub mod project;
pub mod projector;
pub mod rebuild;
pub mod scylla;
mod states;
pub mod time_travel;

#[cfg(test)]
mod testing;

pub use fold::ProjectError;
pub use http::{Store, routes};
pub use projector::{Projector, ProjectorHandle};
pub use rebuild::{RebuildStep, rebuild};
pub use states::States;
