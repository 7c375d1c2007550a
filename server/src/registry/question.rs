//! What each address of the registry answers, as a function of what is asked.
//!
//! Queries that only concern what this registry does not have (deleted schemas, other formats, references) are let
//! pass: without such things the answer is the same.

use apache_avro::Schema;
use http::Method;
use serde::Deserialize;
use serde_json::json;

use super::{Registered, Registry, fault::Fault};

/// The highest version that may be asked for.
const VERSION_MAX: u32 = i32::MAX.cast_unsigned();
/// What a new version may not break: whoever reads with the newest reads records of all before it.
const COMPATIBILITY: &str = "BACKWARD_TRANSITIVE";
/// The prefix by which clients ask for the subjects of all contexts.
const ALL_CONTEXTS: &str = ":*:";

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) method: &'a Method,
    /// Between the slashes of the path, decoded.
    pub(super) path: &'a [&'a str],
    pub(super) query: Query,
    pub(super) body: &'a [u8],
}

/// The queries that make a difference here, as they come.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Query {
    fetch_max_id: Option<String>,
    subject: Option<String>,
    subject_prefix: Option<String>,
    default_to_global: Option<String>,
}

/// The body that names a schema.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SchemaRequest {
    schema: String,
    schema_type: Option<String>,
}

impl Registry {
    /// The answer, as JSON.
    pub(super) fn answer(&self, question: &Question<'_>) -> Result<String, Fault> {
        match (question.method, question.path) {
            (&Method::GET | &Method::HEAD, path) => self.read(path, &question.query),
            (&Method::POST, ["subjects", subject]) => self.look_up(subject, question.body),
            (&Method::POST, ["subjects", _, "versions"]) => self.register(question.body),
            _ => Err(Fault::read_only()),
        }
    }

    fn read(&self, path: &[&str], query: &Query) -> Result<String, Fault> {
        let json = match path {
            ["schemas", "types"] => json!(["AVRO"]),
            ["schemas", "ids", id] => {
                let mut answer = json!({"schema": self.id(id)?.text});
                if let (true, Some(answer)) = (is_true(query.fetch_max_id.as_ref()), answer.as_object_mut()) {
                    let max = self.versions.iter().map(|registered| registered.id.0).max();
                    answer.insert("maxId".to_owned(), json!(max));
                }
                answer
            }
            ["schemas", "ids", id, "schema"] => return Ok(self.id(id)?.text.to_owned()),
            ["schemas", "ids", id, "subjects"] => {
                let subject = &self.id(id)?.subject;
                let asked = query.subject.as_ref();
                json!(asked.is_none_or(|asked| asked == subject).then_some(subject).as_slice())
            }
            ["schemas", "ids", id, "versions"] => {
                let Registered { subject, version, .. } = self.id(id)?;
                json!([{"subject": subject, "version": version}])
            }
            ["subjects"] => {
                let prefix = query.subject_prefix.as_deref().unwrap_or_default();
                let prefix = prefix.strip_prefix(ALL_CONTEXTS).unwrap_or(prefix);
                json!(self.subjects().filter(|subject| subject.starts_with(prefix)).collect::<Vec<_>>())
            }
            ["subjects", subject, "versions"] => {
                self.subject(subject)?;
                json!(self.of(subject).map(|registered| registered.version).collect::<Vec<_>>())
            }
            ["subjects", subject, "versions", version] => told(self.version(subject, version)?),
            ["subjects", subject, "versions", version, "schema"] => {
                return Ok(self.version(subject, version)?.text.to_owned());
            }
            ["config"] => json!({"compatibilityLevel": COMPATIBILITY}),
            ["config", subject] if self.has(subject) || is_true(query.default_to_global.as_ref()) => {
                json!({"compatibilityLevel": COMPATIBILITY})
            }
            ["config", subject] => return Err(Fault::no_compatibility_of(subject)),
            ["mode"] => json!({"mode": "READONLY"}),
            ["mode", subject] if self.has(subject) || is_true(query.default_to_global.as_ref()) => {
                json!({"mode": "READONLY"})
            }
            ["mode", subject] => return Err(Fault::no_mode_of(subject)),
            ["contexts"] => json!(["."]),
            // Deserializers ask whether a topic has a subject of another name; none has.
            ["associations", "resources", _, _] => json!([]),
            _ => return Err(Fault::no_address()),
        };
        Ok(json.to_string())
    }

    /// Whether a schema is one of the subject's, and which.
    fn look_up(&self, subject: &str, body: &[u8]) -> Result<String, Fault> {
        self.subject(subject)?;
        let schema = parse(body)?;
        let found = equal_to(&schema, self.of(subject)).ok_or_else(Fault::no_schema)?;
        Ok(told(found).to_string())
    }

    /// A schema that is there already has its id, under whatever subject a producer asks: an id names a schema. Others
    /// are not taken.
    fn register(&self, body: &[u8]) -> Result<String, Fault> {
        let schema = parse(body)?;
        let found = equal_to(&schema, self.versions.iter()).ok_or_else(Fault::read_only)?;
        Ok(json!({"id": found.id.0}).to_string())
    }

    fn id(&self, id: &str) -> Result<&Registered, Fault> {
        let id = id.parse().map_err(|_| Fault::no_address())?;
        self.with_id(id).ok_or_else(|| Fault::no_schema_with(id))
    }

    fn subject(&self, subject: &str) -> Result<(), Fault> {
        if self.has(subject) { Ok(()) } else { Err(Fault::no_subject(subject)) }
    }

    fn version(&self, subject: &str, version: &str) -> Result<&Registered, Fault> {
        let wanted = match version {
            "latest" | "-1" => None,
            number => match number.parse() {
                Ok(number @ 1..=VERSION_MAX) => Some(number),
                _ => return Err(Fault::invalid_version(version)),
            },
        };
        self.subject(subject)?;
        let found = match wanted {
            None => self.of(subject).last(),
            Some(number) => self.of(subject).find(|registered| registered.version == number),
        };
        found.ok_or_else(|| Fault::no_version(wanted.unwrap_or_default()))
    }
}

fn told(registered: &Registered) -> serde_json::Value {
    let Registered { subject, version, id, text, .. } = registered;
    json!({"subject": subject, "version": version, "id": id.0, "schema": text})
}

/// The version that writes the same bytes as `schema`, whatever the two say beside that.
fn equal_to<'a>(
    schema: &Schema,
    mut versions: impl Iterator<Item = &'a Registered>,
) -> Option<&'a Registered> {
    let canonical = schema.canonical_form();
    versions.find(|registered| registered.canonical == canonical)
}

/// Clients write it as their language does.
fn is_true(query: Option<&String>) -> bool {
    query.is_some_and(|query| query.eq_ignore_ascii_case("true"))
}

fn parse(body: &[u8]) -> Result<Schema, Fault> {
    let request: SchemaRequest = serde_json::from_slice(body).map_err(|error| Fault::not_json(&error))?;
    match request.schema_type.as_deref() {
        None | Some("AVRO") => Schema::parse_str(&request.schema).map_err(Fault::invalid_schema),
        Some(other) => {
            Err(Fault::invalid_schema(format_args!("the type {other} is not served here, only AVRO")))
        }
    }
}
