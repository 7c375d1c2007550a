//! One JSON object, read strictly: known fields only, each at most once, nothing behind it.
//!
//! Refusals say what is wrong and where, in our words: what was sent is never echoed, for it may be a message.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor},
};
use serde_json::{error::Category, value::RawValue};

/// Why an object, or what stands in it, was not accepted. Sending it again is useless.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// No method has this name.
    #[error("there is no such method")]
    UnknownMethod,
    /// Its form: not JSON, or not with these fields and types.
    #[error("{0}")]
    BadJson(String),
    /// Its content: a value breaks its rule.
    #[error("{0}")]
    Invalid(String),
}

impl WireError {
    /// The stable name of the refusal, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownMethod => "not_found",
            Self::BadJson(_) => "bad_json",
            Self::Invalid(_) => "invalid",
        }
    }
}

pub(super) type Read<T> = Result<T, WireError>;

/// The fields of one object, and texts that were given beside it.
#[derive(Debug)]
pub struct Fields<'a> {
    object: Object<'a>,
    given: &'a [Given],
}

/// The name and the value of a text that stood elsewhere, as in an address.
pub type Given = (&'static str, String);

/// The fields as they were written.
#[derive(Debug)]
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The object in `bytes`, whose fields are all among `known`.
    ///
    /// # Errors
    /// It is not one object in UTF-8, has a field that is not known or one twice, or something stands behind it.
    pub fn read(bytes: &'a [u8], known: &[&str]) -> Read<Self> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| bad(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        let Object(fields) = serde_json::from_str(text).map_err(|error| match error.classify() {
            Category::Data => bad("one JSON object is wanted"),
            _ => bad(format!("not JSON: {error}")),
        })?;
        let mut names = BTreeSet::new();
        for (name, _) in &fields {
            if !known.contains(&name.as_str()) {
                return Err(bad(format!("a field is not known here; there are: {}", known.join(", "))));
            }
            if !names.insert(name) {
                return Err(bad(format!("{name}: stands there twice")));
            }
        }
        Ok(Self { object: Object(fields), given: &[] })
    }

    /// The same of a body: none at all is as good as an empty object.
    ///
    /// # Errors
    /// As [`Fields::read`].
    pub fn of_body(bytes: &'a [u8], known: &[&str]) -> Read<Self> {
        Self::read(if bytes.is_empty() { b"{}" } else { bytes }, known)
    }

    /// The same, and these texts beside it. They are not checked yet, as little as what stands in the object.
    #[must_use]
    pub fn beside(self, given: &'a [Given]) -> Self {
        Self { given, ..self }
    }

    /// A text that is made into a `T`, which knows its rule.
    ///
    /// # Errors
    /// It is no text, or breaks that rule.
    pub fn text<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Read<Option<T>> {
        if let Some((_, text)) = self.given.iter().find(|(key, _)| *key == name) {
            return parse(name, text).map(Some);
        }
        self.value::<String>(name, "a text")?.map(|text| parse(name, &text)).transpose()
    }

    /// A list of such texts.
    ///
    /// # Errors
    /// It is no list of texts, or one of them breaks its rule.
    pub fn texts<T: FromStr<Err: fmt::Display>>(&self, name: &str) -> Read<Option<Vec<T>>> {
        let texts = self.value::<Vec<String>>(name, "a list of texts")?;
        texts.map(|texts| texts.iter().map(|text| parse(name, text)).collect()).transpose()
    }

    /// One of some `words`, which are told to whoever sends another.
    ///
    /// # Errors
    /// It is no text, or another word.
    pub fn choice<T: DeserializeOwned>(&self, name: &str, words: &str) -> Read<Option<T>> {
        let _: Option<String> = self.value(name, "a text")?;
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match serde_json::from_str(raw.get()) {
            Ok(choice) => Ok(Some(choice)),
            Err(_) => Err(WireError::Invalid(format!("{name}: one of {words} is wanted"))),
        }
    }

    /// A value as JSON has it. `wanted` says what it should be.
    ///
    /// # Errors
    /// It is something else.
    pub fn value<T: DeserializeOwned>(&self, name: &str, wanted: &str) -> Read<Option<T>> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match serde_json::from_str(raw.get()) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_data() => Err(bad(format!("{name}: {wanted} is wanted"))),
            Err(error) => Err(bad(format!("{name}: not JSON: {error}"))),
        }
    }

    /// The field as it was written; `null` is as good as nothing.
    fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.object.0.iter().find(|(key, _)| key == name);
        found.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }
}

/// The value of a field that must be there.
///
/// # Errors
/// It is not.
pub fn required<T>(name: &str, value: Option<T>) -> Read<T> {
    value.ok_or_else(|| bad(format!("{name}: is missing")))
}

/// A `T` from a text, which it checks. `name` says where the text stood.
///
/// # Errors
/// The text breaks the rule.
pub fn parse<T: FromStr<Err: fmt::Display>>(name: &str, text: &str) -> Read<T> {
    text.parse().map_err(|error: T::Err| WireError::Invalid(format!("{name}: {error}")))
}

fn bad(message: impl Into<String>) -> WireError {
    WireError::BadJson(message.into())
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = Vec<(String, &'de RawValue)>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(ObjectVisitor).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use schemas::{MessageText, UserId, event::Role};

    use super::*;

    const KNOWN: &[&str] = &["text", "role", "members", "n"];

    fn read(json: &str) -> Read<Fields<'_>> {
        Fields::read(json.as_bytes(), KNOWN)
    }

    #[test]
    fn fields_are_read_as_what_they_are() {
        let fields = read(r#" {"text":"a\n","role":"owner","members":["ann","bob"],"n":-3} "#).unwrap();
        assert_eq!(fields.text::<MessageText>("text").unwrap().unwrap().as_str(), "a\n");
        assert_eq!(fields.choice::<Role>("role", "").unwrap(), Some(Role::Owner));
        assert_eq!(fields.texts::<UserId>("members").unwrap().unwrap().len(), 2);
        assert_eq!(fields.value::<i64>("n", "a number").unwrap(), Some(-3));
        assert_eq!(read(r#"{"text":null}"#).unwrap().text::<MessageText>("text").unwrap(), None);
        assert_eq!(read("{}").unwrap().value::<i64>("n", "a number").unwrap(), None);
    }

    #[test]
    fn what_is_not_one_object_with_these_fields_is_bad_json() {
        for bad in [
            "",
            "null",
            "[]",
            "\"hi\"",
            "{",
            "{}x",
            "{}{}",
            r#"{"text":"a",}"#,
            r#"{"other":1}"#,
            r#"{"text":"a","text":"a"}"#,
            r#"{"text":"a","te\u0078t":"a"}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(read(bad).unwrap_err().code(), "bad_json", "{bad}");
        }
        let deep = format!("{{\"text\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(read(&deep).unwrap().text::<MessageText>("text").unwrap_err().code(), "bad_json");
        assert!(Fields::read(b"{\"text\":\"\xff\"}", KNOWN).unwrap_err().to_string().contains("byte 9"));
    }

    #[test]
    fn what_was_sent_is_not_echoed() {
        let long = "secret".repeat(4_000);
        for json in [
            "\"secret\"".to_owned(),
            r#"{"secret":1}"#.to_owned(),
            r#"{"role":"secret"}"#.to_owned(),
            r#"{"n":"secret"}"#.to_owned(),
            r#"{"members":"secret"}"#.to_owned(),
            r#"{"members":["secret secret"]}"#.to_owned(),
            r#"{"text":"secret\ud83d"}"#.to_owned(),
            r#"{"text":{"secret":"secret"}}"#.to_owned(),
            format!(r#"{{"text":"{long}"}}"#),
        ] {
            let refused = read(&json).and_then(|fields| {
                fields.text::<MessageText>("text")?;
                fields.choice::<Role>("role", "member or owner")?;
                fields.texts::<UserId>("members")?;
                fields.value::<i64>("n", "a number").map(|_| ())
            });
            let message = refused.unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
