//! Ingest: commands become events. The only writer of the topic.
//!
//! ```text
//!   command --turn--> looked up --> decided --> appended --> folded here --> "accepted", at its position
//!                     (done before?)  (allowed?)               (does it count?)
//! ```
//!
//! - [`Ingest`] takes commands ([`kernel::command::CommandSink`]) and imports;
//! - [`routes()`] is its HTTP interface, as `docs/http.md` says.
//!
//! Invariant: nobody is told "accepted" of an event that is not durable, or that does not count: each is followed
//! until this node has folded it.
//!
//! # Once: why an id never counts twice
//!
//! Let a command be sent again. Say E is its first event, which counts, and R the record that this node would append for
//! the repetition. Before it appends, this node makes sure that at some moment T of late its mirror had
//! folded the whole partition; T is less than [`limits::FRESH_MAX`] before the lookup begins, the lookup takes at
//! most [`limits::PREPARE_MAX`], and an append at most [`schemas::caps::APPEND_DEADLINE_MS`].
//!
//! - *E became durable after T.* Then E and R are closer together than the repeat window
//!   ([`schemas::caps::REPEAT_WINDOW_MS`], which exceeds the sum of the three by far; the rest is for brokers whose clocks
//!   differ). The fold has E in its window when it comes to R, so R is void for everybody, and this node
//!   answers with E's position.
//! - *E was durable at T, and is in the window of the state looked at:* found there.
//! - *E was durable at T, and left that window:* so it was recorded before the window begins. The lookup goes to the
//!   history, but only when the history has come so far that all that it lacks was recorded within the window. So the
//!   history has E: found there. Where the history lags by more than that the lookup waits, and if that takes too long the
//!   command is refused as unavailable, with nothing done.
//!
//! How far the history has come is not asked for each command: what it said less than [`limits::HORIZON_MAX`] ago still holds, for it only
//! goes on. The question for the id itself is always asked after that, for each command anew, if together with others.
//!
//! It does not matter which node does this, or what crashed in between: nothing but the log, the fold and the history is
//! asked. Commands with one id at one node take turns (`turns`) merely so that no void record is
//! written for the common double click.
//!
//! Deliberately not here: reading for clients, sessions, and any state that would have to outlive the process.

mod accept;
mod append;
mod fresh;
mod import;
mod ingest;
pub mod limits;
mod lookups;
mod recall;
mod routes;
mod turns;

#[cfg(test)]
mod tests;

pub use append::record_of;
pub use import::{ImportReport, RefusedLine};
pub use ingest::Ingest;
pub use routes::{BodyLimits, routes, routes_with};
