//! Names: of conversations, people, events, sessions, nodes and logs.
//!
//! Each is a newtype made by [`FromStr`], so a value of the type *is* valid.

use std::{fmt, str::FromStr, sync::Arc};

use crate::caps;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
    },
    /// More bytes than the cap allows.
    #[error("{what} has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// A character outside the alphabet of this kind of name.
    #[error("{what} may not hold {found:?}: {rule}")]
    Alphabet {
        /// Which kind of name.
        what: &'static str,
        /// The first character that is not allowed.
        found: char,
        /// What is allowed.
        rule: &'static str,
    },
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-')
}

fn check_len(what: &'static str, s: &str, max: usize) -> Result<(), IdError> {
    if s.is_empty() {
        return Err(IdError::Empty { what });
    }
    if s.len() > max {
        return Err(IdError::TooLong { what, len: s.len(), max });
    }
    Ok(())
}

fn check_chars(
    what: &'static str,
    s: &str,
    rule: &'static str,
    allowed: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    match s.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(IdError::Alphabet { what, found, rule }),
        None => Ok(()),
    }
}

/// Declares a name: a shared immutable string that was checked by `$check`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        $crate::string::as_string!($name);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(s: &str) -> Result<Self, IdError> {
                let check: fn(&str) -> Result<(), IdError> = $check;
                check(s).map(|()| Self(s.into()))
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

name!(
    /// Names a conversation; the key of its records. `[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}`.
    ConversationId,
    |s| {
        const WHAT: &str = "the conversation id";
        check_len(WHAT, s, caps::CONVERSATION_ID_LEN_MAX)?;
        check_chars(WHAT, s, "letters, digits and _ . : - are", is_word)?;
        match s.chars().next() {
            Some(found) if !found.is_ascii_alphanumeric() => {
                Err(IdError::Alphabet { what: WHAT, found, rule: "it starts with a letter or a digit" })
            }
            _ => Ok(()),
        }
    }
);

name!(
    /// Names an event within its conversation: 1 to 64 of `[A-Za-z0-9_.:-]`.
    ///
    /// Chosen by the client, so that a command may be sent again and still happen once. The id of a
    /// message is the id of the event that posted it.
    EventId,
    |s| {
        const WHAT: &str = "the event id";
        check_len(WHAT, s, caps::EVENT_ID_LEN_MAX)?;
        check_chars(WHAT, s, "letters, digits and _ . : - are", is_word)
    }
);

name!(
    /// Names a person, as in the `sub` of a token: 1 to 128 bytes of UTF-8 without white space or
    /// control characters.
    UserId,
    |s| {
        const WHAT: &str = "the user id";
        check_len(WHAT, s, caps::USER_ID_LEN_MAX)?;
        check_chars(WHAT, s, "white space and control characters are not allowed", |c| {
            !c.is_whitespace() && !c.is_control()
        })
    }
);

name!(
    /// Names a session, fresh for each connection: 1 to 64 of `[A-Za-z0-9_.:-]`.
    SessionId,
    |s| {
        const WHAT: &str = "the session id";
        check_len(WHAT, s, caps::EVENT_ID_LEN_MAX)?;
        check_chars(WHAT, s, "letters, digits and _ . : - are", is_word)
    }
);

name!(
    /// Names a process of Tidings, from its start to its end: 1 to 64 of `[A-Za-z0-9_.:-]`.
    NodeId,
    |s| {
        const WHAT: &str = "the node id";
        check_len(WHAT, s, caps::EVENT_ID_LEN_MAX)?;
        check_chars(WHAT, s, "letters, digits and _ . : - are", is_word)
    }
);

name!(
    /// Names one incarnation of the log: offsets of two epochs cannot be compared. 1 to 64 of
    /// `[A-Za-z0-9_.:-]`, and never the lone `_`, which clients use for "no epoch".
    Epoch,
    |s| {
        const WHAT: &str = "the epoch";
        check_len(WHAT, s, caps::EVENT_ID_LEN_MAX)?;
        check_chars(WHAT, s, "letters, digits and _ . : - are", is_word)?;
        if s == "_" {
            return Err(IdError::Alphabet { what: WHAT, found: '_', rule: "a lone _ means no epoch" });
        }
        Ok(())
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversation_ids_at_their_limits() {
        let longest = "c".repeat(caps::CONVERSATION_ID_LEN_MAX);
        assert!(longest.parse::<ConversationId>().is_ok());
        assert!(matches!(
            format!("{longest}c").parse::<ConversationId>(),
            Err(IdError::TooLong { len: 129, max: 128, .. })
        ));
        for good in ["a", "a..b", "help:2008-06-03:0205", "9"] {
            assert!(good.parse::<ConversationId>().is_ok(), "{good}");
        }
        for bad in ["", "../../etc/passwd", "room-1\n", ".a", "_a", "a b", "ä", "a/b"] {
            assert!(bad.parse::<ConversationId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn event_ids_at_their_limits() {
        assert!("A".repeat(64).parse::<EventId>().is_ok());
        assert!("A".repeat(65).parse::<EventId>().is_err());
        assert!("-_x".parse::<EventId>().is_ok());
        assert!("m 1".parse::<EventId>().is_err());
    }

    #[test]
    fn sessions_and_nodes_at_their_limits() {
        let longest = "s".repeat(caps::EVENT_ID_LEN_MAX);
        assert!(longest.parse::<SessionId>().is_ok() && longest.parse::<NodeId>().is_ok());
        for bad in [format!("{longest}s"), String::new(), "s 1".to_owned()] {
            assert!(bad.parse::<SessionId>().is_err() && bad.parse::<NodeId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn user_ids_keep_the_handles_of_old_chat_systems() {
        for good in ["a", "x|away", "[x]^{y}\\~`", "Ünï"] {
            assert!(good.parse::<UserId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\u{7f}", "a\u{a0}b"] {
            assert!(bad.parse::<UserId>().is_err(), "{bad:?}");
        }
        assert!("u".repeat(128).parse::<UserId>().is_ok());
        assert!("u".repeat(129).parse::<UserId>().is_err());
    }

    #[test]
    fn the_epoch_is_never_the_sentinel_of_the_clients() {
        assert!("_".parse::<Epoch>().is_err());
        assert!("k7".parse::<Epoch>().is_ok());
    }

    #[test]
    fn json_goes_through_the_same_checks() {
        assert!(serde_json::from_str::<ConversationId>("\"a b\"").is_err());
        let id: ConversationId = serde_json::from_str("\"a.b\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"a.b\"");
    }
}
