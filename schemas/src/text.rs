//! What people write: message texts, titles, reactions, parting words.
//!
//! Nothing is trimmed, normalised or escaped: what is accepted comes back byte for byte.

use std::{fmt, str::FromStr, sync::Arc};

use crate::caps;

/// Why a text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was given.
    #[error("{what} is empty")]
    Empty {
        /// Which kind of text.
        what: &'static str,
    },
    /// More bytes of UTF-8 than the cap allows.
    #[error("{what} has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Which kind of text.
        what: &'static str,
        /// How many bytes it has.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// Only characters with the Unicode property `White_Space`.
    #[error("{what} is white space only")]
    Blank {
        /// Which kind of text.
        what: &'static str,
    },
    /// A control character (Unicode category Cc) that this kind of text may not hold.
    #[error("{what} may not hold the control character U+{code:04X}")]
    Control {
        /// Which kind of text.
        what: &'static str,
        /// The code point found.
        code: u32,
    },
}

/// What one kind of text may hold.
struct Rule {
    what: &'static str,
    len_max: usize,
    /// May hold line breaks (`\n`) and tabs; other control characters never pass.
    multiline: bool,
    /// May be empty or white space only.
    blank: bool,
}

impl Rule {
    fn check(&self, s: &str) -> Result<(), TextError> {
        let what = self.what;
        if s.len() > self.len_max {
            return Err(TextError::TooLong { what, len: s.len(), max: self.len_max });
        }
        let allowed = |c: char| self.multiline && matches!(c, '\n' | '\t');
        // Nearly all texts have none, and most are ASCII: that is soon seen.
        let plain = s.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        if !plain && let Some(c) = s.chars().find(|c| c.is_control() && !allowed(*c)) {
            return Err(TextError::Control { what, code: u32::from(c) });
        }
        if self.blank {
            return Ok(());
        }
        if s.is_empty() {
            return Err(TextError::Empty { what });
        }
        if s.chars().all(char::is_whitespace) {
            return Err(TextError::Blank { what });
        }
        Ok(())
    }
}

/// Declares a text: a shared immutable string that obeys `$rule`.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $rule:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        $crate::string::as_string!($name);

        impl $name {
            /// The text, as it was written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;
            fn from_str(s: &str) -> Result<Self, TextError> {
                const RULE: Rule = $rule;
                RULE.check(s).map(|()| Self(s.into()))
            }
        }

        // Texts are private: a `{:?}` in a log line shows how much was written, never what.
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({} bytes)"), self.0.len())
            }
        }
    };
}

text!(
    /// The text of a message: 1 to 16,384 bytes, not only white space, no control characters but
    /// line breaks (`\n`) and tabs.
    MessageText,
    Rule { what: "the text", len_max: caps::TEXT_LEN_MAX, multiline: true, blank: false }
);

text!(
    /// The title of a conversation: 1 to 256 bytes on one line, not only white space.
    Title,
    Rule { what: "the title", len_max: caps::TITLE_LEN_MAX, multiline: false, blank: false }
);

text!(
    /// A reaction: an emoji or a short word, 1 to 64 bytes on one line.
    Emoji,
    Rule { what: "the reaction", len_max: caps::EMOJI_LEN_MAX, multiline: false, blank: false }
);

text!(
    /// What somebody said when leaving; may be empty.
    PartingWords,
    Rule { what: "the parting words", len_max: caps::PARTING_WORDS_LEN_MAX, multiline: false, blank: true }
);

impl Default for PartingWords {
    fn default() -> Self {
        Self("".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Result<MessageText, TextError> {
        s.parse()
    }

    #[test]
    fn a_text_may_have_its_limit_and_not_one_byte_more() {
        assert!(text(&"a".repeat(caps::TEXT_LEN_MAX)).is_ok());
        assert!(matches!(
            text(&"a".repeat(caps::TEXT_LEN_MAX + 1)),
            Err(TextError::TooLong { len: 16_385, max: 16_384, .. })
        ));
        assert!(text(&"😀".repeat(4_096)).is_ok());
        assert!(text(&"😀".repeat(4_097)).is_err());
    }

    #[test]
    fn white_space_alone_is_no_text_and_is_kept_around_one() {
        for blank in [" ", "\n\t ", "\u{a0}", "\u{3000}", "\u{2028}"] {
            assert!(matches!(text(blank), Err(TextError::Blank { .. })), "{blank:?}");
        }
        assert_eq!(text("  hi \t ").unwrap().as_str(), "  hi \t ");
        assert!(text("\u{200b}").is_ok(), "a zero width space is no White_Space");
    }

    #[test]
    fn of_the_controls_only_line_breaks_and_tabs_pass() {
        assert!(text("a\n\tb").is_ok());
        for bad in ['\0', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}'] {
            assert!(matches!(text(&format!("a{bad}")), Err(TextError::Control { .. })), "{bad:?}");
        }
        assert!("a\nb".parse::<Title>().is_err());
    }

    #[test]
    fn a_debug_line_does_not_show_the_text() {
        assert_eq!(format!("{:?}", text("secret").unwrap()), "MessageText(6 bytes)");
    }
}
