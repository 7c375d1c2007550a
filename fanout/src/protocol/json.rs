//! The JSON form of the messages. It is not protobuf's canonical mapping: names are in `snake_case`, `bytes` hold JSON
//! values, 64-bit numbers are plain numbers, and zero values are left out except where clients rely on them.

/// Whether a field may be left out.
pub(super) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `bytes` that hold a JSON value.
pub(super) mod raw {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};
    use serde_json::value::RawValue;

    pub(in crate::protocol) fn serialize<S: Serializer>(bytes: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_slice(bytes).map_err(S::Error::custom)?;
        value.serialize(to)
    }

    pub(in crate::protocol) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        let value = <&RawValue>::deserialize(from)?;
        Ok(Bytes::copy_from_slice(value.get().as_bytes()))
    }
}
