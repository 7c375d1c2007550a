//! The words by which adapters write down what is one of a few.

use schemas::{Visibility, event::Style};

use crate::conversation::Standing;

/// One of a few, each with a word that is stored.
pub trait Word: Copy + 'static {
    /// All there are.
    const ALL: &'static [Self];

    /// The word.
    fn word(self) -> &'static str;

    /// The one with this word.
    fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == word)
    }
}

impl Word for Standing {
    const ALL: &'static [Self] = &[Self::Removed, Self::Left, Self::Member, Self::Moderator, Self::Owner];

    fn word(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Left => "left",
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Owner => "owner",
        }
    }
}

impl Word for Visibility {
    const ALL: &'static [Self] = &[Self::Open, Self::Private];

    fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Private => "private",
        }
    }
}

impl Word for Style {
    const ALL: &'static [Self] = &[Self::Plain, Self::Action];

    fn word(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Action => "action",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_words<T: Word + PartialEq + std::fmt::Debug + serde::Serialize>() {
        for one in T::ALL {
            assert_eq!(T::of_word(one.word()), Some(*one));
            assert_eq!(serde_json::to_value(one).unwrap(), one.word(), "stored as clients see it");
        }
        assert_eq!(T::of_word("none of them"), None);
    }

    #[test]
    fn each_word_leads_back() {
        assert_words::<Standing>();
        assert_words::<Visibility>();
        assert_words::<Style>();
    }
}
