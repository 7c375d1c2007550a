//! From a signal to the bytes of a record and back, as events are written, under a schema of its own.
//!
//! A node writes the ids that the registry in use gave, and reads those and no others: nothing is kept of signals, so there
//! are no records from before. What a newer build writes is not understood, and counts as lost.

use std::sync::LazyLock;

use apache_avro::Schema;
use bytes::Bytes;

use super::{DecodeError, EncodeError, SchemaId, Versions, parse};
use crate::{caps, signal::Signal};

/// Versions of the schema of signals, oldest first. Append only.
pub const SIGNAL_SCHEMAS: &[&str] = &[include_str!("../../avro/signal.v1.avsc")];

/// The id of the first version in the built-in registry: above those of events, which count from 1 there.
const FIRST_ID: u32 = 1_001;

static PARSED: LazyLock<Vec<Schema>> = LazyLock::new(|| parse(SIGNAL_SCHEMAS));
static VERSIONS: LazyLock<Versions> = LazyLock::new(|| Versions::of(&PARSED, caps::SIGNAL_LEN_MAX));

/// Writes and reads signals. See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignalCodec([SchemaId; SIGNAL_SCHEMAS.len()]);

impl Default for SignalCodec {
    /// With the ids of the built-in registry.
    fn default() -> Self {
        let mut id = FIRST_ID - 1;
        Self([(); SIGNAL_SCHEMAS.len()].map(|()| {
            id += 1;
            SchemaId(id)
        }))
    }
}

impl SignalCodec {
    /// With the ids that a registry gave, oldest version first.
    pub const fn registered(ids: [SchemaId; SIGNAL_SCHEMAS.len()]) -> Self {
        Self(ids)
    }

    /// Each version's id, oldest first.
    pub fn ids(&self) -> impl Iterator<Item = SchemaId> {
        self.0.iter().copied()
    }

    /// The value of a record for `signal`.
    ///
    /// # Errors
    /// Never in practice: each signal fits the schema.
    pub fn encode(&self, signal: &Signal) -> Result<Bytes, EncodeError> {
        let [.., newest] = self.0;
        VERSIONS.encode(newest, signal)
    }

    /// The signal in the value of a record.
    ///
    /// # Errors
    /// The bytes are no signal in a schema known here; trying again does not help.
    pub fn decode(&self, value: &[u8]) -> Result<Signal, DecodeError> {
        VERSIONS.decode(value, |id| self.0.iter().position(|known| *known == id))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::{
        Timestamp,
        signal::{Asked, Came, Here, Session, SignalBody, Typing, Went},
    };

    fn session(user: &str, client: &str) -> Session {
        Session { user: user.parse().unwrap(), client: client.parse().unwrap() }
    }

    fn signal(body: SignalBody) -> Signal {
        Signal { node: "n-1".parse().unwrap(), at: Timestamp::from_millis(1_708_937_379_372), body }
    }

    fn samples() -> Vec<Signal> {
        let conversation = || "tea".parse().unwrap();
        let bodies = [
            SignalBody::Came(Came { conversation: conversation(), session: session("ann", "s-1") }),
            SignalBody::Went(Went { conversation: conversation(), session: session("x|away", "s-1") }),
            SignalBody::Here(Here {
                conversation: conversation(),
                sessions: vec![session("ann", "s-1"), session("Ünï", "s-2")],
            }),
            SignalBody::Typing(Typing {
                conversation: conversation(),
                session: session("ann", "s-1"),
                typing: true,
            }),
            SignalBody::Asked(Asked {}),
        ];
        bodies.into_iter().map(signal).collect()
    }

    fn golden(version: usize, name: &str) -> PathBuf {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
        root.join(format!("signals-v{version}")).join(format!("{name}.avro"))
    }

    #[test]
    fn the_golden_bytes_are_written_and_read() {
        let write = std::env::var_os("TIDINGS_GOLDEN").is_some_and(|v| v == "write");
        for (signal, name) in samples().into_iter().zip(SignalBody::TYPES) {
            let value = SignalCodec::default().encode(&signal).unwrap();
            let path = golden(SIGNAL_SCHEMAS.len(), name);
            if write && !path.exists() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &value).unwrap();
            }
            let kept = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert_eq!(kept, value, "{name} would be written differently now");
            assert_eq!(SignalCodec::default().decode(&kept).unwrap(), signal);
        }
    }

    #[test]
    fn the_schema_lists_the_bodies_in_the_order_of_the_enum() {
        let newest: serde_json::Value = serde_json::from_str(SIGNAL_SCHEMAS.last().unwrap()).unwrap();
        let branches = newest["fields"][2]["type"].as_array().unwrap();
        let names: Vec<_> = branches.iter().map(|branch| branch["name"].as_str().unwrap()).collect();
        assert_eq!(names, SignalBody::TYPES);
    }

    #[test]
    fn the_largest_signal_is_read_and_a_larger_value_is_not() {
        let longest = session(&"u".repeat(caps::USER_ID_LEN_MAX), &"s".repeat(caps::EVENT_ID_LEN_MAX));
        let conversation = "c".repeat(caps::CONVERSATION_ID_LEN_MAX).parse().unwrap();
        let sessions = vec![longest; caps::SIGNAL_SESSIONS_MAX];
        let largest = signal(SignalBody::Here(Here { conversation, sessions }));
        let codec = SignalCodec::default();
        let value = codec.encode(&largest).unwrap();
        assert!(value.len() <= caps::SIGNAL_LEN_MAX, "{} bytes", value.len());
        assert_eq!(codec.decode(&value).unwrap(), largest);
        let one_more = vec![0; caps::SIGNAL_LEN_MAX + 1];
        assert!(matches!(codec.decode(&one_more), Err(DecodeError::TooLong { .. })));
        let at_the_limit = vec![0; caps::SIGNAL_LEN_MAX];
        assert!(matches!(codec.decode(&at_the_limit), Err(DecodeError::UnknownSchema(SchemaId(0)))));
    }

    #[test]
    fn events_and_signals_are_not_taken_for_each_other() {
        let signal = samples().swap_remove(0);
        let value = SignalCodec::default().encode(&signal).unwrap();
        assert!(matches!(super::super::Codec::default().decode(&value), Err(DecodeError::UnknownSchema(_))));
        let registered = SignalCodec::registered([SchemaId(7); SIGNAL_SCHEMAS.len()]);
        assert!(matches!(registered.decode(&value), Err(DecodeError::UnknownSchema(SchemaId(FIRST_ID)))));
        assert_eq!(registered.decode(&registered.encode(&signal).unwrap()).unwrap(), signal);
    }
}
