//! Ends the process when a task that it cannot do without panics.
//!
//! A panic is a defect. A follower or a shard that is gone while the rest goes on would hold up everybody without a
//! word; a process that ends is started again, and its clients resume. Nothing is lost by it: that is what the log is for.

use std::fmt::Display;

use tokio::task::JoinHandle;

/// Ends the process because `task` panicked.
pub fn crash(task: &str) -> ! {
    tracing::error!(task, "panicked; the process ends, to be started again");
    std::process::abort();
}

/// Ends the process because `task` met an error that no trying again helps against, as when the log was replaced. What a
/// process knows of the log is worth nothing then; the next one begins anew.
pub fn give_up(task: &str, error: &dyn Display) -> ! {
    tracing::error!(task, %error, "cannot go on; the process ends, to be started again");
    std::process::exit(1);
}

/// Waits for a task and ends the process if it panicked; if it was ended by others, so be it.
pub async fn watch(task: &'static str, handle: JoinHandle<()>) {
    if handle.await.is_err_and(|error| error.is_panic()) {
        crash(task);
    }
}
