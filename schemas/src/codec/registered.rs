//! The ids that a schema registry gave to the versions of the event schema, and the change from ours to them.
//!
//! ```text
//!   in this process   0x00 | version         | body
//!   on the topic      0x00 | registered id   | body
//! ```
//!
//! Within the process, and so in the history, a record carries the version as its id, whatever registry is in use: a
//! history says the same under any of them. Only at the edge to the topic are the five bytes in front exchanged.
//!
//! Invariant: an id that is not of one of our versions stays what it is. So a record of a newer writer stays one of
//! an unknown schema, and one that was written before a registry was configured, under its version, stays readable. The ids
//! of a registry rise: those of versions that this build does not know lie above the ids of those it
//! knows, and these are at least as large as the number of versions; a newer record is never taken for an old one.
//!
//! Deliberately not here: how ids are asked for; that is I/O.

use bytes::{Bytes, BytesMut};

use super::{HEADER_LEN, MAGIC, SCHEMAS, SchemaId};

/// How many versions this build knows.
pub const VERSION_COUNT: usize = SCHEMAS.len();

/// The id of each version, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredIds([SchemaId; VERSION_COUNT]);

/// Two versions have the same id, so that nobody could tell their records apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("schema id {} names two versions", .0.0)]
pub struct SharedId(pub SchemaId);

impl Default for RegisteredIds {
    /// The built-in registry: the id is the version, from 1.
    fn default() -> Self {
        let mut version = 0;
        Self([(); VERSION_COUNT].map(|()| {
            version += 1;
            SchemaId(version)
        }))
    }
}

impl RegisteredIds {
    /// The ids that a registry gave, oldest version first.
    ///
    /// # Errors
    /// Two are equal.
    pub fn new(ids: [SchemaId; VERSION_COUNT]) -> Result<Self, SharedId> {
        let mut later = ids.iter();
        while let Some(id) = later.next() {
            if later.as_slice().contains(id) {
                return Err(SharedId(*id));
            }
        }
        Ok(Self(ids))
    }

    /// Each version's id, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = SchemaId> {
        self.0.iter().copied()
    }

    /// A value of this process as it stands on the topic.
    pub fn to_topic(&self, value: Bytes) -> Bytes {
        exchange(value, |id| pairs(self).find(|(version, _)| *version == id).map(|(_, given)| given))
    }

    /// A value of the topic as this process knows it.
    pub fn from_topic(&self, value: Bytes) -> Bytes {
        exchange(value, |id| pairs(self).find(|(_, given)| *given == id).map(|(version, _)| version))
    }
}

/// Puts another id into the header; copies the value only if somebody else holds it too.
fn exchange(value: Bytes, other: impl Fn(SchemaId) -> Option<SchemaId>) -> Bytes {
    let Some(&[MAGIC, a, b, c, d]) = value.first_chunk::<HEADER_LEN>() else { return value };
    let id = SchemaId(u32::from_be_bytes([a, b, c, d]));
    let Some(wanted) = other(id).filter(|wanted| *wanted != id) else { return value };
    let mut value = value.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
    if let Some(header) = value.first_chunk_mut::<HEADER_LEN>() {
        let [a, b, c, d] = wanted.0.to_be_bytes();
        *header = [MAGIC, a, b, c, d];
    }
    value.freeze()
}

/// The version as an id beside the id given to it.
fn pairs(ids: &RegisteredIds) -> impl Iterator<Item = (SchemaId, SchemaId)> {
    RegisteredIds::default().0.into_iter().zip(ids.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ids as a registry gives them that many teams use.
    fn given() -> RegisteredIds {
        RegisteredIds::new(RegisteredIds::default().0.map(|id| SchemaId(1_000 + 7 * id.0))).unwrap()
    }

    fn value(id: u32, body: &str) -> Bytes {
        [&[0][..], &id.to_be_bytes(), body.as_bytes()].concat().into()
    }

    #[test]
    fn every_version_is_exchanged_in_both_directions() {
        for (version, id) in (1..).zip(given().iter()) {
            let (inside, outside) = (value(version, "body"), value(id.0, "body"));
            assert_eq!(given().to_topic(inside.clone()), outside);
            assert_eq!(given().from_topic(outside.clone()), inside);
            // A value that somebody else holds too is left as it is for them.
            assert_eq!(outside, value(id.0, "body"));
        }
    }

    #[test]
    fn an_id_that_is_nobodys_stays() {
        let newer = 1_000 + 7 * (1 + u32::try_from(VERSION_COUNT).unwrap());
        for other in
            [value(newer, "x"), value(u32::MAX, ""), "".into(), "\0\0\0".into(), "{\"json\":1}".into()]
        {
            assert_eq!(given().from_topic(other.clone()), other);
            assert_eq!(given().to_topic(other.clone()), other);
        }
    }

    #[test]
    fn records_from_before_the_registry_keep_their_version() {
        for version in 1..=u32::try_from(VERSION_COUNT).unwrap() {
            assert_eq!(given().from_topic(value(version, "x")), value(version, "x"));
        }
    }

    #[test]
    fn the_built_in_ids_change_nothing() {
        let inside = value(1, "x");
        assert_eq!(RegisteredIds::default().to_topic(inside.clone()), inside);
    }
}
