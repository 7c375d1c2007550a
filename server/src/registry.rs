//! The schema registry: which versions the schemas of events and signals have, and under which ids records name them.
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
use schemas::codec::{SchemaId, subject_of};

pub mod client;
mod fault;
mod question;
mod routes;
#[cfg(test)]
mod tests;

pub(crate) use routes::routes;

/// See the module.
#[derive(Debug, Default)]
pub struct Registry {
    /// Subject after subject, each oldest first.
    versions: Vec<Registered>,
}

/// One version of a schema.
#[derive(Debug)]
struct Registered {
    subject: String,
    /// From 1.
    version: u32,
    id: SchemaId,
    text: &'static str,
    /// The part of the schema that decides about bytes, in Avro's one way to write it.
    canonical: String,
}

impl Registry {
    /// The same, and the schemas of the records of `topic`, oldest first, with the ids that these carry.
    ///
    /// # Errors
    /// A schema cannot be parsed: a defect.
    pub fn with(
        mut self,
        topic: &str,
        schemas: &[&'static str],
        ids: impl IntoIterator<Item = SchemaId>,
    ) -> Result<Self, apache_avro::Error> {
        for ((version, id), text) in (1..).zip(ids).zip(schemas) {
            let (subject, canonical) = (subject_of(topic), Schema::parse_str(text)?.canonical_form());
            self.versions.push(Registered { subject, version, id, text, canonical });
        }
        Ok(self)
    }

    fn subjects(&self) -> impl Iterator<Item = &str> {
        // Each begins with its first version.
        let firsts = self.versions.iter().filter(|registered| registered.version == 1);
        firsts.map(|registered| registered.subject.as_str())
    }

    fn has(&self, subject: &str) -> bool {
        self.subjects().any(|known| known == subject)
    }

    /// The versions of a subject, oldest first.
    fn of(&self, subject: &str) -> impl Iterator<Item = &Registered> {
        self.versions.iter().filter(move |registered| registered.subject == subject)
    }

    fn with_id(&self, id: u32) -> Option<&Registered> {
        self.versions.iter().find(|registered| registered.id.0 == id)
    }
}
