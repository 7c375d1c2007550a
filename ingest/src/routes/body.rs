//! Reading a body: as much, as long and as plain as is allowed.
//!
//! The length that counts is that of the bytes that came, whatever a header says of them.

use std::{pin::pin, time::Duration};

use bytes::Buf;
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, header};
use schemas::caps;
use tokio::time::timeout;

use super::fault::Fault;

/// How large a body may be, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Most bytes of the body of a command.
    pub len_max: u64,
    /// Most bytes of the body of an import.
    pub import_len_max: u64,
    /// Longest time until the last byte.
    pub time_max: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            len_max: caps::BODY_LEN_MAX,
            import_len_max: caps::IMPORT_BODY_LEN_MAX,
            time_max: Duration::from_secs(10),
        }
    }
}

/// The whole body.
pub(super) async fn read<B: Buf>(
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, warp::Error>>,
    len_max: u64,
    time_max: Duration,
) -> Result<Vec<u8>, Fault> {
    let plain = |coding: &header::HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(header::CONTENT_ENCODING).iter().all(plain) {
        return Err(Fault::Encoding);
    }
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|len| len > len_max) {
        return Err(Fault::TooLarge { max: len_max });
    }
    timeout(time_max, collect(stream, len_max)).await.map_err(|_| Fault::TooSlow)?
}

async fn collect<B: Buf>(
    stream: impl Stream<Item = Result<B, warp::Error>>,
    len_max: u64,
) -> Result<Vec<u8>, Fault> {
    let mut stream = pin!(stream);
    let mut body = Vec::new();
    while let Some(part) = stream.next().await {
        let mut part = part.map_err(|_| Fault::BrokenOff)?;
        if (body.len() + part.remaining()) as u64 > len_max {
            return Err(Fault::TooLarge { max: len_max });
        }
        while part.has_remaining() {
            let chunk = part.chunk();
            body.extend_from_slice(chunk);
            part.advance(chunk.len());
        }
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http::{HeaderValue, StatusCode};

    use super::*;

    async fn len_of(
        headers: &[(header::HeaderName, &'static str)],
        parts: &[usize],
    ) -> Result<usize, StatusCode> {
        let pairs = headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let headers: HeaderMap = pairs.collect();
        let parts = stream::iter(parts.iter().map(|len| Ok(bytes::Bytes::from(vec![b'x'; *len]))));
        let body = read(&headers, parts, 10, Duration::from_secs(1)).await;
        body.map(|body| body.len()).map_err(|fault| fault.status())
    }

    #[tokio::test]
    async fn the_bytes_that_came_are_counted() {
        assert_eq!(len_of(&[], &[4, 6]).await, Ok(10));
        assert_eq!(len_of(&[], &[4, 7]).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(len_of(&[(header::CONTENT_LENGTH, "3")], &[11]).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(len_of(&[(header::CONTENT_LENGTH, "11")], &[]).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
        assert_eq!(len_of(&[(header::CONTENT_LENGTH, "10")], &[10]).await, Ok(10));
    }

    #[tokio::test]
    async fn only_plain_bodies_are_read() {
        assert_eq!(len_of(&[(header::CONTENT_ENCODING, "Identity")], &[1]).await, Ok(1));
        for coding in ["gzip", "br", "identity, gzip", ""] {
            let read = len_of(&[(header::CONTENT_ENCODING, coding)], &[1]).await;
            assert_eq!(read, Err(StatusCode::UNSUPPORTED_MEDIA_TYPE), "{coding}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_given_up() {
        let drip = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            Some((Ok(bytes::Bytes::from_static(b"x")), ()))
        });
        let read = read(&HeaderMap::new(), drip, 10, Duration::from_secs(1)).await;
        assert_eq!(read.unwrap_err().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
