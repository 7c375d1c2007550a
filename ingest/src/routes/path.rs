//! Addresses: matched segment by segment, and decoded after that, so that an encoded slash is no separator.

use percent_encoding::percent_decode_str;

use kernel::command::wire::{Given, WireError};

/// What stands in an address for the `{…}` of its pattern, still encoded, in their order; none is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Captured(Vec<Given>);

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

    /// The parts, decoded.
    pub(super) fn decoded(&self) -> Result<Vec<Given>, WireError> {
        let decode = |(name, encoded): &Given| match percent_decode_str(encoded).decode_utf8() {
            Ok(decoded) => Ok((*name, decoded.into_owned())),
            Err(_) => Err(WireError::Invalid(format!("{name}: the address is not UTF-8"))),
        };
        self.0.iter().map(decode).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATTERN: &str = "/v1/conversations/{conversation}/messages";

    #[test]
    fn only_addresses_of_the_form_match() {
        let captured = Captured::matching(PATTERN, "/v1/conversations/te%61/messages").unwrap();
        assert_eq!(captured.decoded().unwrap(), [("conversation", "tea".to_owned())]);
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
    fn each_part_is_decoded_as_a_whole() {
        let captured = Captured::matching("/{member}/{emoji}", "/a%2Fb%0A/%F0%9F%91%8D").unwrap();
        let parts = [("member", "a/b\n".to_owned()), ("emoji", "👍".to_owned())];
        assert_eq!(captured.decoded().unwrap(), parts);
        let captured = Captured::matching(PATTERN, "/v1/conversations/%FF/messages").unwrap();
        assert_eq!(captured.decoded().unwrap_err().code(), "invalid");
    }
}
