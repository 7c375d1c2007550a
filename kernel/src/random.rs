//! Fresh names, from the operating system's randomness.

use schemas::{Epoch, EventId, NodeId, SessionId};

use crate::clock::{Clock, SystemClock};

/// Letters and digits that are hard to confuse, 32 of them: five bits each.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A fresh name of `len` letters and digits, with 5 bits of randomness each.
///
/// # Panics
/// If the operating system has no randomness to give; nothing sensible can go on then.
#[expect(clippy::expect_used, reason = "without randomness no id is unique and no key secret")]
pub fn name(len: usize) -> String {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
        .iter()
        .filter_map(|byte| ALPHABET.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect()
}

/// A fresh event id, for commands whose sender chose none: the time in milliseconds (45 bits, until the year 3084) and randomness
/// (55 bits). Later ones sort behind earlier ones, so that what is kept by id grows at its end.
///
/// # Panics
/// As [`name`].
#[expect(clippy::expect_used, reason = "the alphabet lies within that of event ids")]
pub fn event_id() -> EventId {
    let id = millis(SystemClock.now().as_millis()) + &name(11);
    id.parse().expect("letters and digits are an event id")
}

/// The low 45 bits of a time, in nine letters that sort as it does.
fn millis(time: i64) -> String {
    let letter = |place: i64| ALPHABET.get(usize::try_from(time >> (5 * place) & 31).unwrap_or_default());
    (0..9).rev().filter_map(letter).map(|letter| char::from(*letter)).collect()
}

/// A fresh epoch (60 bits), for a log that begins.
///
/// # Panics
/// As [`name`].
#[expect(clippy::expect_used, reason = "the alphabet lies within that of epochs")]
pub fn epoch() -> Epoch {
    name(12).parse().expect("letters and digits are an epoch")
}

/// A fresh name for a session (100 bits).
///
/// # Panics
/// As [`name`].
#[expect(clippy::expect_used, reason = "the alphabet lies within that of session ids")]
pub fn session_id() -> SessionId {
    name(20).parse().expect("letters and digits are a session id")
}

/// A fresh name for this node (60 bits).
///
/// # Panics
/// As [`name`].
#[expect(clippy::expect_used, reason = "the alphabet lies within that of node ids")]
pub fn node_id() -> NodeId {
    name(12).parse().expect("letters and digits are a node id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_behind_earlier_ones() {
        assert_eq!(millis(0), "000000000");
        let times = [0, 31, 32, 1_708_937_379_372, 1_708_937_379_373, (1 << 45) - 1];
        assert!(times.map(millis).is_sorted(), "{:?}", times.map(millis));
        assert_eq!(millis((1 << 45) - 1), "zzzzzzzzz");
        assert_eq!(event_id().as_str().len(), 20);
        assert_ne!(event_id(), event_id());
    }
}
