//! The schema registry: which versions the event schema has, and under which ids records name them.
//!
//! ```text
//!   who reads the topic   -- GET /schemas/ids/1 -->   routes -> question -> Registry (the schemas of this build)
//!   `tidings serve`       -- client::register  -->    another registry, where one is configured
//! ```
//!
//! The interface is the one of Confluent's Schema Registry, as far as one reads with it, so that any Kafka client that
//! knows Avro decodes the topic with nothing but the addresses of Kafka and of this server.
//!
//! Invariant: the schemas are those that this build writes and reads with; there is no store, nothing can be added.
//! Reading needs no token: a schema says how events are built, never what was said, and it is published with the
//! sources.

use apache_avro::Schema;
use schemas::codec::{RegisteredIds, SCHEMAS, SchemaId, subject_of};

pub mod client;
mod fault;
mod question;
mod routes;
#[cfg(test)]
mod tests;

pub(crate) use routes::routes;

/// See the module.
#[derive(Debug)]
pub struct Registry {
    subject: String,
    /// Oldest first, at least one.
    versions: Vec<Registered>,
}

/// One version of the event schema.
#[derive(Debug)]
struct Registered {
    /// From 1.
    version: u32,
    id: SchemaId,
    text: &'static str,
    /// The part of the schema that decides about bytes, in Avro's one way to write it.
    canonical: String,
}

impl Registry {
    /// The schemas of this build, for the records of `topic` that carry `ids`.
    ///
    /// # Errors
    /// A schema of the build cannot be parsed: a defect.
    pub fn new(topic: &str, ids: &RegisteredIds) -> Result<Self, apache_avro::Error> {
        let versions = (1..).zip(ids.iter()).zip(SCHEMAS).map(|((version, id), text)| {
            Ok(Registered { version, id, text, canonical: Schema::parse_str(text)?.canonical_form() })
        });
        Ok(Self {
            subject: subject_of(topic),
            versions: versions.collect::<Result<_, apache_avro::Error>>()?,
        })
    }

    /// The version that writes the same bytes as `schema`, whatever the two say beside that.
    fn equal_to(&self, schema: &Schema) -> Option<&Registered> {
        let canonical = schema.canonical_form();
        self.versions.iter().find(|registered| registered.canonical == canonical)
    }

    fn with_id(&self, id: u32) -> Option<&Registered> {
        self.versions.iter().find(|registered| registered.id.0 == id)
    }
}
