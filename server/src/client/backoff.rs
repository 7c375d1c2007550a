//! How long to wait before the same call is sent again.

use std::time::Duration;

/// The first pause.
const FIRST: Duration = Duration::from_millis(100);
/// No pause is longer, unless the server asks for it.
const LONGEST: Duration = Duration::from_secs(5);
/// When to give up, counted from the first call.
const PATIENCE: Duration = Duration::from_mins(1);

/// Pauses that double, up to a cap, until patience ends.
#[derive(Debug)]
pub struct Backoff {
    pause: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { pause: FIRST }
    }
}

impl Backoff {
    /// The next pause, when `elapsed` has passed since the first call; `None`: it is time to give up. The pause is at
    /// least what the server asks for (`retry_after`).
    pub fn next(&mut self, elapsed: Duration, retry_after: Option<Duration>) -> Option<Duration> {
        let pause = self.pause.max(retry_after.unwrap_or_default());
        self.pause = (self.pause * 2).min(LONGEST);
        (elapsed + pause <= PATIENCE).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_cap() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8)
            .filter_map(|_| backoff.next(Duration::ZERO, None))
            .map(|pause| pause.as_millis())
            .collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    }

    #[test]
    fn the_server_may_ask_for_a_longer_pause_but_not_a_shorter() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(Duration::ZERO, Some(Duration::from_secs(1))), Some(Duration::from_secs(1)));
        assert_eq!(backoff.next(Duration::ZERO, Some(Duration::ZERO)), Some(Duration::from_millis(200)));
    }

    #[test]
    fn patience_ends_after_a_minute() {
        let mut backoff = Backoff::default();
        assert!(backoff.next(PATIENCE.saturating_sub(FIRST), None).is_some());
        let mut backoff = Backoff::default();
        assert!(backoff.next(PATIENCE.saturating_sub(FIRST) + Duration::from_millis(1), None).is_none());
        assert!(Backoff::default().next(Duration::ZERO, Some(Duration::from_secs(61))).is_none());
    }
}
