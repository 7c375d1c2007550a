//! Fresh names, from the operating system's randomness.

use schemas::{Epoch, EventId, NodeId, SessionId};

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

/// A fresh event id (100 bits), for commands whose sender chose none.
///
/// # Panics
/// As [`name`].
#[expect(clippy::expect_used, reason = "the alphabet lies within that of event ids")]
pub fn event_id() -> EventId {
    name(20).parse().expect("letters and digits are an event id")
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
