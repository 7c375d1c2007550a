//! What bounds the work of one node. The times are parts of one argument; see the crate's page.

use std::time::Duration;

use schemas::caps;

/// Most commands that are at work at one node at a time, those that wait for their turn included.
pub const COMMANDS_IN_FLIGHT_MAX: usize = 4_096;
/// Most imports that are at work at one node at a time.
pub const IMPORTS_IN_FLIGHT_MAX: usize = 8;
/// How long ago the mirror may have been level with the log when a lookup begins.
pub const FRESH_MAX: Duration = Duration::from_secs(15);
/// How long what the history said of its progress is relied on. It does not go back by itself.
pub const HORIZON_MAX: Duration = Duration::from_secs(1);
/// Longest time from there to the append: bringing the conversation into use, looking up, deciding.
pub const PREPARE_MAX: Duration = Duration::from_secs(5);
/// The same for an import, which looks up many ids and is level with the log when it begins.
pub const IMPORT_PREPARE_MAX: Duration = Duration::from_secs(15);
/// Longest time an append may take.
pub const APPEND_MAX: Duration = Duration::from_millis(caps::APPEND_DEADLINE_MS);
/// Longest time until this node has folded what it appended.
pub const FOLD_MAX: Duration = Duration::from_secs(5);
/// What remains of the repeat window for clocks that differ.
const MARGIN: Duration = Duration::from_secs(20);

const WINDOW: Duration = Duration::from_millis(caps::REPEAT_WINDOW_MS.unsigned_abs());

// A command appends once; an import at most twice, since each line makes at most two records.
const _: () = assert!(
    FRESH_MAX.as_secs() + PREPARE_MAX.as_secs() + APPEND_MAX.as_secs() + MARGIN.as_secs() <= WINDOW.as_secs()
);
const _: () =
    assert!(IMPORT_PREPARE_MAX.as_secs() + 2 * APPEND_MAX.as_secs() + MARGIN.as_secs() <= WINDOW.as_secs());
