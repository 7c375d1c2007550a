//! From an event to the bytes of a record and back: Avro with the Confluent header.
//!
//! ```text
//!   0x00 | schema id, 4 bytes, big endian | Avro body in that schema
//! ```
//!
//! Writers use the newest schema. Readers know every version there was and read a record with the schema that
//! wrote it, straight into the types of today: fields that came later take their serde default, which is
//! the default in the newest schema too. The library's own schema resolution is not used: it matches the branches of a union by
//! shape and not by name, so that a message from an older writer came back as a `ConversationChanged`.
//! Golden bytes of every version are kept in `golden/`. Signals are written the same way, in a schema of their own
//! ([`SignalCodec`]).

use std::{collections::HashMap, sync::LazyLock};

use apache_avro::{Schema, reader::datum::GenericDatumReader, writer::datum::GenericDatumWriter};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Serialize, de::DeserializeOwned};

use crate::{caps, event::ChatEvent};

mod registered;
mod signals;

pub use registered::{RegisteredIds, SharedId, VERSION_COUNT};
pub use signals::{SIGNAL_SCHEMAS, SignalCodec};

/// Versions of the event schema, oldest first; a version is its place in the list, from 1. Append only.
pub const SCHEMAS: &[&str] = &[include_str!("../avro/chat_event.v1.avsc")];

/// The subject under which a schema registry keeps the schema of a topic's values, as the default naming strategy of
/// Confluent's clients has it.
pub fn subject_of(topic: &str) -> String {
    format!("{topic}-value")
}

const MAGIC: u8 = 0;
const HEADER_LEN: usize = 5;

/// Names a schema in the registry; stands in the header of each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SchemaId(pub u32);

/// Why bytes are no event, or no signal.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Too short for the header, or the magic byte is not 0.
    #[error(
        "no Confluent header: the value is {len} bytes long and does not start with 0x00 and a schema id"
    )]
    NoHeader {
        /// Length of the value.
        len: usize,
    },
    /// Written with a schema that this build does not know.
    #[error("schema id {} is unknown; a newer writer may be at work", .0.0)]
    UnknownSchema(SchemaId),
    /// Larger than [`caps::RECORD_LEN_MAX`], or [`caps::SIGNAL_LEN_MAX`].
    #[error("the value has {len} bytes, at most {max} are read")]
    TooLong {
        /// Length of the value.
        len: usize,
        /// How many it may have.
        max: usize,
    },
    /// The Avro body does not match its schema, or a field breaks its rule.
    #[error("not a valid value: {0}")]
    Body(#[source] Box<apache_avro::Error>),
    /// Bytes are left behind the value.
    #[error("{0} bytes are left behind the value")]
    Trailing(usize),
}

/// The value could not be written; a defect, since every [`ChatEvent`] and every [`crate::Signal`] fits its schema.
#[derive(Debug, thiserror::Error)]
#[error("the value does not fit its schema: {0}")]
pub struct EncodeError(#[source] Box<apache_avro::Error>);

/// The versions of one schema, oldest first, with ready readers and the writer of the newest.
struct Versions {
    readers: Vec<GenericDatumReader<'static>>,
    writer: GenericDatumWriter<'static>,
    /// Longest value that is read, in bytes.
    len_max: usize,
}

static PARSED: LazyLock<Vec<Schema>> = LazyLock::new(|| parse(SCHEMAS));
static VERSIONS: LazyLock<Versions> = LazyLock::new(|| Versions::of(&PARSED, caps::RECORD_LEN_MAX));

#[expect(clippy::expect_used, reason = "the schemas are part of the build; a unit test parses each of them")]
fn parse(schemas: &[&str]) -> Vec<Schema> {
    // No schema comes from outside; a budget still bounds what a damaged record can make us allocate.
    apache_avro::util::max_allocation_bytes(4 * caps::RECORD_LEN_MAX);
    let parsed = schemas.iter().map(|text| Schema::parse_str(text).expect("a schema of the build parses"));
    parsed.collect()
}

impl Versions {
    #[expect(clippy::expect_used, reason = "as above: the same schemas, resolved")]
    fn of(parsed: &'static [Schema], len_max: usize) -> Self {
        let newest = parsed.last().expect("there is a schema");
        let readers = parsed
            .iter()
            .map(|written_with| {
                GenericDatumReader::builder(written_with)
                    .human_readable(false)
                    .build()
                    .expect("a schema of the build resolves")
            })
            .collect();
        let writer = GenericDatumWriter::builder(newest)
            .human_readable(false)
            .build()
            .expect("a schema of the build resolves");
        Self { readers, writer, len_max }
    }

    /// The value in the newest version, under the id that this one has.
    fn encode(&self, newest: SchemaId, it: &impl Serialize) -> Result<Bytes, EncodeError> {
        let mut value = BytesMut::with_capacity(256).writer();
        value.get_mut().put_u8(MAGIC);
        value.get_mut().put_u32(newest.0);
        self.writer.write_ser(&mut value, it).map_err(|e| EncodeError(Box::new(e)))?;
        Ok(value.into_inner().freeze())
    }

    /// What stands in a value; `version_of` knows the ids.
    fn decode<T: DeserializeOwned>(
        &self,
        value: &[u8],
        version_of: impl Fn(SchemaId) -> Option<usize>,
    ) -> Result<T, DecodeError> {
        let len = value.len();
        if len > self.len_max {
            return Err(DecodeError::TooLong { len, max: self.len_max });
        }
        let (Some((&[MAGIC, a, b, c, d], mut body)), true) =
            (value.split_first_chunk::<HEADER_LEN>(), len > HEADER_LEN)
        else {
            return Err(DecodeError::NoHeader { len });
        };
        let id = SchemaId(u32::from_be_bytes([a, b, c, d]));
        let reader = version_of(id).and_then(|version| self.readers.get(version));
        let reader = reader.ok_or(DecodeError::UnknownSchema(id))?;
        let it = reader.read_deser(&mut body).map_err(|e| DecodeError::Body(Box::new(e)))?;
        if body.is_empty() { Ok(it) } else { Err(DecodeError::Trailing(body.len())) }
    }
}

/// Writes and reads events, with the version as the schema id. What another registry calls the versions is exchanged
/// where a record crosses to the topic; see [`RegisteredIds`].
#[derive(Debug, Clone)]
pub struct Codec {
    /// The id of the newest version.
    newest: SchemaId,
    /// Version (index into [`SCHEMAS`]) by id.
    versions: HashMap<SchemaId, usize>,
}

impl Default for Codec {
    fn default() -> Self {
        let ids = RegisteredIds::default();
        let versions = ids.iter().zip(0..).collect();
        Self { newest: ids.iter().last().unwrap_or(SchemaId(1)), versions }
    }
}

impl Codec {
    /// The value of a record for `event`.
    ///
    /// # Errors
    /// Never in practice: each event fits the schema.
    pub fn encode(&self, event: &ChatEvent) -> Result<Bytes, EncodeError> {
        VERSIONS.encode(self.newest, event)
    }

    /// The event in the value of a record.
    ///
    /// # Errors
    /// The bytes are no event in a schema known here; trying again does not help.
    pub fn decode(&self, value: &[u8]) -> Result<ChatEvent, DecodeError> {
        VERSIONS.decode(value, |id| self.versions.get(&id).copied())
    }
}

#[cfg(test)]
mod tests;
