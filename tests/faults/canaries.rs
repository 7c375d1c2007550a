//! Planted bugs: a checker that never finds anything proves nothing. Each bug is a real one, in the middle of real parts
//! under load, and the test fails if the checker is silent. Beside each stands the same run without the bug, which must be
//! clean: it is the bug that is found, not the plant.
//!
//! - `delivery`: between a session and its node stands a [`proxy`](crate::proxy) that skips, repeats or swaps;
//! - `projection`: the real projector, on a history whose progress is durable before its rows are.
//!
//! What is left (lost and doubled in the log, other places than answered, …) is planted into what was seen, beside the
//! checker itself.

mod delivery;
mod projection;
