//! The query of a question, read strictly: what is not known, is named twice or does not parse is refused, so that a
//! misspelt bound never passes for none.

use std::str::FromStr;

use percent_encoding::percent_decode_str;
use schemas::{Position, caps};

use super::Refused;

/// The parameters of one question.
#[derive(Debug)]
pub(super) struct Query(Vec<(&'static str, String)>);

impl Query {
    /// Reads a raw query, of which the parameters `known` may be part. A `+` stands for itself, as in the offset of a
    /// time zone.
    pub(super) fn parse(raw: &str, known: &[&'static str]) -> Result<Self, Refused> {
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in raw.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(Refused::invalid(format!("there is no parameter {name:?} here")));
            };
            if found.iter().any(|(there, _)| there == name) {
                return Err(Refused::invalid(format!("{name} is given twice")));
            }
            found.push((name, value));
        }
        Ok(Self(found))
    }

    /// The value of a parameter, if it is given.
    pub(super) fn get<T>(&self, name: &str) -> Result<Option<T>, Refused>
    where
        T: FromStr<Err: ToString>,
    {
        let value = self.0.iter().find(|(there, _)| *there == name).map(|(_, value)| value.as_str());
        let wrong = |error: T::Err| Refused::invalid(format!("{name}: {}", error.to_string()));
        value.map(str::parse).transpose().map_err(wrong)
    }

    /// A position, if it is given.
    pub(super) fn position(&self, name: &str) -> Result<Option<Position>, Refused> {
        let number: Option<i64> = self.get(name)?;
        number
            .map(Position::try_from)
            .transpose()
            .map_err(|error| Refused::invalid(format!("{name}: {error}")))
    }

    /// How many items the page may have.
    pub(super) fn limit(&self) -> Result<usize, Refused> {
        let limit = self.get("limit")?.unwrap_or(caps::PAGE_LEN_DEFAULT);
        if (1..=caps::PAGE_LEN_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Refused::invalid(format!("limit: 1 to {} items make a page", caps::PAGE_LEN_MAX)))
        }
    }
}

fn decode(text: &str) -> Result<String, Refused> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| Refused::invalid("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use schemas::Timestamp;

    use super::*;

    fn parse(raw: &str) -> Result<Query, Refused> {
        Query::parse(raw, &["limit", "after", "as_of"])
    }

    #[test]
    fn what_is_given_is_found_and_the_rest_is_not() {
        let query = parse("after=7&&limit=%31%30&").unwrap();
        assert_eq!(query.position("after").unwrap(), Some(Position::new(7)));
        assert_eq!(query.limit().unwrap(), 10);
        assert_eq!(query.get::<String>("as_of").unwrap(), None);
        assert_eq!(parse("").unwrap().limit().unwrap(), caps::PAGE_LEN_DEFAULT);
    }

    #[test]
    fn a_plus_in_a_time_is_a_plus() {
        for raw in ["as_of=2024-02-26T10:00:00+02:00", "as_of=2024-02-26T10:00:00%2B02:00"] {
            let time: Option<Timestamp> = parse(raw).unwrap().get("as_of").unwrap();
            assert_eq!(time.unwrap().to_string(), "2024-02-26T08:00:00.000Z");
        }
    }

    #[test]
    fn what_is_unknown_doubled_or_garbled_is_refused() {
        for raw in ["befor=1", "limit=1&limit=1", "%ff=1", "limit=%ff", "=1"] {
            assert!(parse(raw).is_err(), "{raw}");
        }
        for raw in ["limit=0", "limit=1001", "limit=", "limit", "limit=-1", "limit=1.0"] {
            assert!(parse(raw).unwrap().limit().is_err(), "{raw}");
        }
        assert_eq!(parse("limit=1000").unwrap().limit().unwrap(), 1_000);
        for raw in ["after=-1", "after=x", "after=9223372036854775808"] {
            assert!(parse(raw).unwrap().position("after").is_err(), "{raw}");
        }
    }
}
