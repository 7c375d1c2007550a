//! From a token to who may do what.
//!
//! A token is a JWT. Its `sub` is the user; the scope `admin` lets one read, import and export conversations of
//! others.
//!
//! ```text
//!   an issuer's JWKS --> KeySet --\
//!                                  Tokens --> Identity, SubscriptionGrant
//!   token.key --------> TokenKey --/   \----> Awaited: the set should be read again
//! ```
//!
//! - `claims`: what a token says, and what follows from it;
//! - `token_key`: the local key, which makes tokens too;
//! - `key_set`: the keys of an issuer, each with the algorithms that go with it;
//! - `tokens`: which key a token is checked with.
//!
//! Invariants: the algorithm is pinned to the key, so a token cannot choose how it is checked (RFC 8725, 3.1). Checking
//! waits for nobody: keys are brought from outside, with [`Tokens::replace`].

use std::sync::Once;

use schemas::{ConversationId, Timestamp, UserId};

mod claims;
mod key_set;
#[cfg(test)]
mod tests;
mod token_key;
mod tokens;

pub use key_set::{JWKS_LEN_MAX, KEYS_LEN_MAX, KeySet, KeySetError};
pub use token_key::TokenKey;
pub use tokens::{Expected, KEY_SET_PAUSE, Tokens};

/// The scope that lets one act on conversations of others.
pub const ADMIN_SCOPE: &str = "admin";
/// Longest token that is looked at, in bytes.
pub const TOKEN_LEN_MAX: usize = 8 * 1_024;
/// How far the clocks of those who make and check tokens may differ, in seconds.
const LEEWAY_S: i64 = 5;

/// Somebody who has proved to be this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserId,
    /// Whether the token carries the scope `admin`.
    pub admin: bool,
    /// When a session that showed the token needs a new one; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Leave to read a conversation, from whoever may sign tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionGrant {
    /// Which one.
    pub conversation: ConversationId,
    /// When it ends; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is over; a new one is needed.
    #[error("the token has expired; get a new one")]
    Expired,
    /// It is not yet valid.
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    /// Its key is not among those that were read a while ago. They are read again; the same token may be good then.
    #[error("the token's key is not known yet; try again in a moment")]
    Awaited,
    /// Its key is not among those that were read just now: it was withdrawn, or never there. A new token may be good.
    #[error("the token's key is not known; get a new one")]
    UnknownKey,
    /// Well signed, but for something else: a subscription instead of a connection, another user, another conversation.
    #[error("the token is for something else: {0}")]
    Misplaced(&'static str),
    /// Not a token, or not signed by a key that counts here.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
}

/// jsonwebtoken asks for a provider of cryptography once in a process, and panics if a dependency
/// switched a second one on; naming it here leaves nothing to chance.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that one is installed already, which is as good.
        let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
    });
}
