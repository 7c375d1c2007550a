//! Signs of life while a measurement goes on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Between two signs of life.
const TICK: Duration = Duration::from_millis(200);

/// For work of so many steps, each of which says what it is.
pub(super) fn steps(len: usize) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg:<44} {bar:30} {pos} of {len}, {elapsed}")?;
    let progress = ProgressBar::new(len as u64).with_style(style);
    progress.enable_steady_tick(TICK);
    Ok(progress)
}

/// For work of which nobody knows how far it is.
pub(super) fn spinner() -> ProgressBar {
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(TICK);
    progress
}
