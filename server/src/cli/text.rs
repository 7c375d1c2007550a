//! Text from elsewhere, made safe to show.

use std::{borrow::Cow, fmt::Write};

/// `text` with everything made visible that could steer a terminal or change what a reader sees: control characters but
/// line break and tab, line separators, and the marks that turn the direction of writing. The rest is as it is.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        _ => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_passes() {
        assert_eq!(visible("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
        assert_eq!(visible("a\rb\u{7f}\u{9b}31m\0"), "a\\u{d}b\\u{7f}\\u{9b}31m\\u{0}");
        assert_eq!(visible("\u{202e}evil\u{2066}"), "\\u{202e}evil\\u{2066}");
    }

    #[test]
    fn what_people_write_stays_as_it_is() {
        for text in ["", "a\tb\nc", "¬_¬ ❥ 👩‍👩‍👧 \u{feff}שלום", "a\u{300}"] {
            assert!(matches!(visible(text), Cow::Borrowed(same) if same == text), "{text:?}");
        }
    }
}
