//! The body of a request that this crate answers itself: read whole, up to a limit.

use std::pin::pin;

use bytes::Buf;
use futures_util::{Stream, StreamExt};

/// The body; `None` if it is longer than `len_max` or breaks off.
pub(crate) async fn collect<B: Buf>(
    body: impl Stream<Item = Result<B, warp::Error>>,
    len_max: usize,
) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        let mut part = part.ok()?;
        if bytes.len() + part.remaining() > len_max {
            return None;
        }
        bytes.extend_from_slice(&part.copy_to_bytes(part.remaining()));
    }
    Some(bytes)
}
