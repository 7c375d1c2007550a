//! Addresses: matched segment by segment, and decoded after that, so that an encoded slash is no separator.

use std::{fmt, str::FromStr};

use percent_encoding::percent_decode_str;

use super::fault::Fault;
use crate::fields::{FieldError, parse};

/// What stands in an address for the `{…}` of its pattern, still encoded, in their order; none is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captured(Vec<(&'static str, String)>);

impl Captured {
    /// The parts of `path`, if it is of the form of `pattern`.
    pub(super) fn matching(pattern: &'static str, path: &str) -> Option<Self> {
        let mut captured = Vec::new();
        let mut segments = path.split('/');
        for wanted in pattern.split('/') {
            let segment = segments.next()?;
            match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(_) if segment.is_empty() => return None,
                Some(name) => captured.push((name, segment.to_owned())),
                None if wanted == segment => {}
                None => return None,
            }
        }
        segments.next().is_none().then_some(Self(captured))
    }

    /// The part with this name in the pattern, decoded and checked.
    pub(super) fn get<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Result<T, Fault> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        let encoded = found.map(|(_, encoded)| encoded.as_str()).unwrap_or_default();
        let decoded = percent_decode_str(encoded)
            .decode_utf8()
            .map_err(|_| FieldError::Invalid(format!("{name}: the address is not UTF-8")))?;
        Ok(parse(name, &decoded)?)
    }
}

#[cfg(test)]
mod tests {
    use schemas::{ConversationId, Emoji};

    use super::*;

    const PATTERN: &str = "/v1/conversations/{conversation}/messages";

    #[test]
    fn only_addresses_of_the_form_match() {
        let captured = Captured::matching(PATTERN, "/v1/conversations/te%61/messages").unwrap();
        assert_eq!(captured.get::<ConversationId>("conversation").unwrap().as_str(), "tea");
        for other in [
            "/v1/conversations",
            "/v1/conversations//messages",
            "/v1/conversations/tea/messages/",
            "/v1/conversations/tea/message",
            "/v1/conversations/t/ea/messages",
            "v1/conversations/tea/messages",
        ] {
            assert_eq!(Captured::matching(PATTERN, other), None, "{other}");
        }
    }

    #[test]
    fn what_is_decoded_obeys_the_rule_of_its_name() {
        for bad in ["%2E%2E%2Fetc", "tea%0A", "%FF", "te%zz", "%20"] {
            let path = format!("/v1/conversations/{bad}/messages");
            let captured = Captured::matching(PATTERN, &path).unwrap();
            assert!(captured.get::<ConversationId>("conversation").is_err(), "{bad}");
        }
        let captured = Captured::matching("/{emoji}", "/%F0%9F%91%8D").unwrap();
        assert_eq!(captured.get::<Emoji>("emoji").unwrap().as_str(), "👍");
    }
}
