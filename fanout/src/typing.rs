//! How often a session may tell that it types: others are told once a second, however often it says so.

use std::time::Duration;

use schemas::ConversationId;
use tokio::time::Instant;

/// Between two of the same that are passed on.
const INTERVAL: Duration = Duration::from_secs(1);
/// Most that are passed on of one session within the interval, over all conversations.
const PASSED_LEN_MAX: usize = 16;

/// What a session told of late, and was passed on.
#[derive(Debug, Default)]
pub(crate) struct Pace(Vec<Passed>);

#[derive(Debug)]
struct Passed {
    conversation: ConversationId,
    typing: bool,
    at: Instant,
}

impl Pace {
    /// Whether it is passed on, now. Beginning and stopping are counted apart: who stops within a second must not seem to
    /// type on.
    pub(crate) fn passes(&mut self, conversation: &ConversationId, typing: bool, now: Instant) -> bool {
        self.0.retain(|passed| now.duration_since(passed.at) < INTERVAL);
        let same = |passed: &Passed| passed.conversation == *conversation && passed.typing == typing;
        if self.0.len() >= PASSED_LEN_MAX || self.0.iter().any(same) {
            return false;
        }
        self.0.push(Passed { conversation: conversation.clone(), typing, at: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn one_of_each_passes_in_a_second_in_each_conversation() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let [tea, cake]: [ConversationId; 2] = ["tea", "cake"].map(|name| name.parse().unwrap());
        assert!(pace.passes(&tea, true, now));
        assert!(!pace.passes(&tea, true, now));
        assert!(pace.passes(&cake, true, now));
        assert!(pace.passes(&tea, false, now + MS));
        assert!(!pace.passes(&tea, true, now + INTERVAL - MS));
        assert!(pace.passes(&tea, true, now + INTERVAL));
        assert!(!pace.passes(&tea, false, now + INTERVAL));
        assert!(pace.passes(&tea, false, now + INTERVAL + MS));
    }

    #[test]
    fn a_session_that_types_everywhere_is_bounded() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let passes = |pace: &mut Pace, n: usize, at| pace.passes(&format!("c{n}").parse().unwrap(), true, at);
        for n in 0..PASSED_LEN_MAX {
            assert!(passes(&mut pace, n, now));
        }
        assert!(!passes(&mut pace, PASSED_LEN_MAX, now));
        assert!(passes(&mut pace, PASSED_LEN_MAX, now + INTERVAL));
    }
}
