//! How far the import is, for somebody who watches.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on standard error; nothing at all where that is no terminal.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    bar: ProgressBar,
    bytes: Arc<AtomicU64>,
}

impl Progress {
    /// For these files. Time left is known only when they all have a size.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let sizes = files.iter().map(|path| path.metadata().ok().filter(std::fs::Metadata::is_file));
        let total: Option<u64> = sizes.map(|file| file.map(|file| file.len())).sum();
        // A template that does not parse would show the library's own.
        let style = |template| {
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
        };
        let target = ProgressDrawTarget::stderr();
        let bar = match total {
            Some(total) => ProgressBar::with_draw_target(Some(total), target)
                .with_style(style("{bar:30} {percent:>3}%  {msg}  {eta} left")),
            None => ProgressBar::with_draw_target(None, target).with_style(style("{spinner}  {msg}")),
        };
        Self { bar, bytes: Arc::default() }
    }

    /// Where the reader counts what it has read.
    pub(super) fn bytes_read(&self) -> &Arc<AtomicU64> {
        &self.bytes
    }

    /// So many lines are done.
    pub(super) fn lines(&self, count: u64) {
        self.bar.set_message(format!("{count} lines, {:.0} a second", self.rate(count)));
        self.bar.set_position(self.bytes.load(Ordering::Relaxed));
    }

    /// Lines a second, since the beginning.
    pub(super) fn rate(&self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let count = count as f64;
        count / self.seconds().max(0.001)
    }

    /// How long it has taken, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        self.bar.elapsed().as_secs_f64()
    }

    /// Does something that writes to standard error, with the bar out of the way.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.bar.suspend(write);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
