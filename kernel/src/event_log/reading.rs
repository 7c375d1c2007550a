//! What a record says: the one reading of the topic that live delivery, history and recovery share.
//!
//! Invariant: whoever reads a record comes to the same answer. Were there two readings, an event could count for one
//! consumer and not for another, for ever.

use std::borrow::Cow;

use schemas::{
    ChatEvent,
    codec::{Codec, DecodeError, SchemaId},
};

use super::Record;

/// What a record is to us.
#[derive(Debug)]
pub enum Reading {
    /// An event of the conversation that the key names.
    Event(ChatEvent),
    /// No event of ours, and it never will be one; for this reason. To be passed over by everybody.
    NotOurs(Cow<'static, str>),
    /// Written with a schema that this build does not know. A newer build can read it: nothing that concerns its
    /// conversation may go on past it here.
    Newer(SchemaId),
}

/// Reads a record.
pub fn read(record: &Record, codec: &Codec) -> Reading {
    match codec.decode(&record.value) {
        Ok(event) if record.key == event.conversation.as_str().as_bytes() => Reading::Event(event),
        // It may stand in another partition than its conversation, where nobody would look for it.
        Ok(_) => Reading::NotOurs("its key is not the conversation of its event".into()),
        Err(DecodeError::UnknownSchema(schema)) => Reading::Newer(schema),
        Err(error) => Reading::NotOurs(error.to_string().into()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use schemas::{Offset, Timestamp};

    use super::*;
    use crate::testing::posted;

    fn reading(key: &'static [u8], value: Bytes) -> Reading {
        let (offset, recorded_at) = (Offset::new(0), Timestamp::from_millis(0));
        let record = Record { offset, recorded_at, key: key.into(), value, headers: [].into() };
        read(&record, &Codec::default())
    }

    #[test]
    fn only_an_event_under_the_key_of_its_conversation_is_one() {
        let value = Codec::default().encode(&posted("tea", "m-1", "ann")).unwrap();
        assert!(
            matches!(reading(b"tea", value.clone()), Reading::Event(event) if event.event_id.as_str() == "m-1")
        );
        assert!(matches!(reading(b"milk", value.clone()), Reading::NotOurs(_)));
        assert!(matches!(reading(&[0xff, 0xfe], value), Reading::NotOurs(_)));
    }

    #[test]
    fn a_newer_record_is_told_from_what_nobody_can_read() {
        let newer = Bytes::from_static(&[0, 0, 0, 0, 99, 1, 2, 3]);
        assert!(matches!(reading(b"tea", newer), Reading::Newer(SchemaId(99))));
        assert!(matches!(reading(b"tea", "garbage".into()), Reading::NotOurs(_)));
    }
}
