//! Waiting for conditions.

use std::time::Duration;

use anyhow::bail;
use tokio::time::{Instant, sleep};

/// How long anything that should happen at once may take on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);
/// Pause between two looks.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Looks again and again until `look` finds something; fails after [`SOON`], saying what was waited for.
///
/// # Errors
/// It did not happen, or `look` failed.
pub async fn until<T>(what: &str, look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    within(SOON, what, look).await
}

/// As [`until`], with a limit of its own, for what takes longer on a busy machine.
///
/// # Errors
/// It did not happen, or `look` failed.
pub async fn within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("waited {} s in vain for {what}", limit.as_secs());
        }
        sleep(POLL).await;
    }
}
