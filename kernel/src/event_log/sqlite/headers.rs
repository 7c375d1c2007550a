//! The headers of a record as one blob: name and value in turn, each after its length (4 bytes, big-endian).
//!
//! Why not JSON: values are bytes, and a row is written and read far more often than looked at.

use bytes::Bytes;

use crate::event_log::Header;

/// The blob for these headers; empty for none.
pub(super) fn encode(headers: &[Header]) -> Vec<u8> {
    let mut blob = Vec::new();
    for header in headers {
        for part in [header.name.as_bytes(), &header.value] {
            let len = u32::try_from(part.len()).unwrap_or(u32::MAX);
            blob.extend_from_slice(&len.to_be_bytes());
            blob.extend_from_slice(part);
        }
    }
    blob
}

/// The headers in a blob; `None` if it was not made by [`encode`].
pub(super) fn decode(mut blob: &[u8]) -> Option<Vec<Header>> {
    let mut headers = Vec::new();
    while !blob.is_empty() {
        let name = String::from_utf8(part(&mut blob)?.to_vec()).ok()?;
        headers.push(Header { name, value: Bytes::copy_from_slice(part(&mut blob)?) });
    }
    Some(headers)
}

fn part<'a>(blob: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = u32::from_be_bytes(*blob.split_off(..4)?.first_chunk()?);
    blob.split_off(..usize::try_from(len).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_cut_ones_are_noticed() {
        let header = |name: &str, value: &'static [u8]| Header {
            name: name.to_owned(),
            value: Bytes::from_static(value),
        };
        let headers =
            vec![header("event-type", b"MessagePosted"), header("empty", b""), header("", b"\0\xff")];
        let blob = encode(&headers);
        assert_eq!(decode(&blob), Some(headers));
        assert_eq!(decode(&encode(&[])), Some(vec![]));
        assert_eq!(decode(&blob[..blob.len() - 1]), None);
    }
}
