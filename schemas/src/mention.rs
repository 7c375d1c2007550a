//! Mentions: where a text calls somebody by name.

use crate::{MessageText, UserId};

/// What a mention begins with.
const SIGN: char = '@';

impl MessageText {
    /// Whether the text mentions `user`: `@` and the user id, letter for letter.
    ///
    /// Before the `@` stands no letter or digit, so that addresses of mail are none. Behind the id its name must be over: a letter,
    /// a digit or `_` would go on with it, and so does one of `. : - @` that a letter or a digit follows. So `@ann.` mentions `ann`,
    /// and `@anna`, `@ann_`, `@ann.lee` mention others.
    pub fn mentions(&self, user: &UserId) -> bool {
        let (text, name) = (self.as_str(), user.as_str());
        text.match_indices(SIGN).any(|(at, sign)| {
            let (before, behind) = (text.get(..at), text.get(at + sign.len()..));
            let begins = before.is_none_or(|before| !before.ends_with(char::is_alphanumeric));
            let rest = behind.and_then(|behind| behind.strip_prefix(name));
            begins && rest.is_some_and(|rest| !goes_on(rest))
        })
    }
}

/// Whether a name goes on with what stands behind it.
fn goes_on(rest: &str) -> bool {
    let joined = rest.trim_start_matches(['.', ':', '-', SIGN]);
    rest.starts_with('_') || joined.starts_with(char::is_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentions(text: &str, user: &str) -> bool {
        text.parse::<MessageText>().unwrap().mentions(&user.parse().unwrap())
    }

    #[test]
    fn a_mention_is_the_sign_and_the_whole_name() {
        for text in [
            "@ann",
            "hi @ann",
            "(@ann)",
            "@ann.",
            "@ann: tea?",
            "@bob, @ann!",
            "@anna @ann",
            "see\n@ann",
            "@@ann",
            "@ann-",
            "@ann,bob",
        ] {
            assert!(mentions(text, "ann"), "{text}");
        }
        for text in [
            "ann",
            "@ ann",
            "@anna",
            "@Ann",
            "@ann_",
            "@ann.lee",
            "@ann:home",
            "@ann-lee",
            "me@ann",
            "@ann@home",
            "@annä",
            "@a",
            "@",
        ] {
            assert!(!mentions(text, "ann"), "{text}");
        }
    }

    #[test]
    fn any_user_id_can_be_mentioned() {
        for user in ["x|away", "[x]^{y}\\~`", "Ünï", "@", "a.b:c-d_e"] {
            assert!(mentions(&format!("ho @{user} ho"), user), "{user}");
        }
    }
}
