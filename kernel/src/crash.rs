//! Ends the process when a task that it cannot do without panics.
//!
//! A panic is a defect. A follower or a shard that is gone while the rest goes on would hold up everybody without a
//! word; a process that ends is started again, and its clients resume. Nothing is lost by it: that is what the log is for.

/// Hold one in a task or thread that must not end by a panic.
#[derive(Debug)]
pub struct CrashOnPanic(pub &'static str);

impl Drop for CrashOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "panicked; the process ends, to be started again");
            std::process::abort();
        }
    }
}
