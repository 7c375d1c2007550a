//! The events of a conversation as a stream of JSON lines: replay and export.
//!
//! While the lines of a page are made the next page is read, on another thread.
//!
//! Invariant: pages are read as the client takes them, one ahead, and at most a few are in memory, however long the conversation
//! and however slow the client. A stream that cannot be finished is cut, never closed in good order, so that
//! nobody takes a part for the whole.

use std::pin::Pin;

use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::{BoxFuture, MaybeDone, maybe_done, ready},
    poll,
    stream::{self, BoxStream},
};
use http::{HeaderValue, header};
use kernel::{
    history::{Extent, HistoryError, Order, SharedHistory, StoredEvent},
    identity::Identity,
};
use parking_lot::Mutex;
use schemas::{ConversationId, Position, caps::PAGE_LEN_MAX, json::EventJson};
use warp::{Reply, reply::Response};

use super::{Query, Readable, Refused, Store};
use crate::time_travel::AsOf;

/// Events that are read at once, at first: with the longest texts about 1 MiB.
pub(super) const EVENTS_PAGE_LEN: usize = 64;
/// Bytes of lines that a page is to have, once it is known how long they are.
const PAGE_BYTES_AIM: usize = 128 * 1_024;

/// What is left to be sent.
struct Rest {
    history: SharedHistory,
    conversation: ConversationId,
    /// From where on, and how much of it at once.
    extent: Extent,
    as_of: AsOf,
    /// The next page; `None`: there is none.
    next: Option<Reading>,
}

/// A page that is being read.
struct Reading {
    limit: usize,
    page: Pin<Box<MaybeDone<BoxFuture<'static, Page>>>>,
}

type Page = Result<Vec<StoredEvent>, HistoryError>;

impl Store {
    pub(super) async fn events(
        &self,
        identity: &Identity,
        id: &str,
        query: &str,
    ) -> Result<Response, Refused> {
        let query = Query::parse(query, &["from", "to", "as_of"])?;
        let (from, to) = (query.position("from")?, query.position("to")?);
        let as_of = query.get("as_of")?.unwrap_or(AsOf::Position(Position::new(u64::MAX)));
        let Readable { id, position, .. } = self.readable(identity, id).await?;
        let extent = Extent {
            after: from.unwrap_or_default(),
            // What comes in while the stream goes on belongs to the next question.
            up_to: to.unwrap_or(position).min(position).min(as_of.up_to()),
            order: Order::Ascending,
            limit: EVENTS_PAGE_LEN,
        };
        let history = SharedHistory::clone(&self.history);
        let mut rest = Rest { history, conversation: id, extent, as_of, next: None };
        rest.next = Some(rest.read());
        // Before the status is sent, so that a history that does not answer is told as such.
        let first = rest.next().await?.unwrap_or_default();
        Ok(stream_of(first, rest))
    }
}

impl Rest {
    /// The lines of the next page; `None`: all is sent.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, HistoryError> {
        let Some(Reading { limit, mut page }) = self.next.take() else { return Ok(None) };
        page.as_mut().await;
        let page = page.as_mut().take_output().transpose()?.unwrap_or_default();
        if let Some(last) = page.last().filter(|_| page.len() == limit) {
            self.extent.after = last.offset.position();
            let reading = self.read();
            let next = self.next.insert(reading);
            // That is how it begins.
            let _ = poll!(next.page.as_mut());
        }
        let mut lines = Vec::with_capacity(PAGE_BYTES_AIM);
        for StoredEvent { event, offset, recorded_at, .. } in
            page.iter().filter(|event| self.as_of.holds(event))
        {
            EventJson::new(event, offset.position(), *recorded_at).write_to(&mut lines);
            lines.push(b'\n');
        }
        self.extent.limit = next_limit(limit, lines.len());
        Ok(Some(lines))
    }

    fn read(&self) -> Reading {
        let (history, conversation) = (SharedHistory::clone(&self.history), self.conversation.clone());
        let extent = self.extent;
        let page = async move { history.events(&conversation, extent).await };
        Reading { limit: extent.limit, page: Box::pin(maybe_done(page.boxed())) }
    }

    fn pages(self) -> BoxStream<'static, Result<Vec<u8>, HistoryError>> {
        let pages = stream::try_unfold(self, |mut rest| async move {
            match rest.next().await {
                Ok(page) => Ok(page.map(|page| (page, rest))),
                Err(error) => {
                    tracing::error!(conversation = %rest.conversation, %error, "a stream of events is cut");
                    Err(error)
                }
            }
        });
        pages.boxed()
    }
}

/// How many events to read at once, after a page of `limit` events had so many bytes: never more than twice as many, since the next may be
/// longer.
fn next_limit(limit: usize, bytes: usize) -> usize {
    let fitting = limit.saturating_mul(PAGE_BYTES_AIM) / bytes.max(1);
    fitting.clamp(EVENTS_PAGE_LEN, (limit * 2).min(PAGE_LEN_MAX))
}

fn stream_of(first: Vec<u8>, rest: Rest) -> Response {
    let pages = stream::once(ready(Ok(first))).chain(rest.pages());
    let mut pages = Mutex::new(pages.try_filter(|page| ready(!page.is_empty())));
    // A body must be shareable between threads, which a stream of futures is not: the mutex says that it is never
    // shared, and is never locked.
    let body = stream::poll_fn(move |cx| pages.get_mut().poll_next_unpin(cx));
    let mut response = warp::reply::stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_grow_while_lines_are_short_and_shrink_at_once_when_they_are_long() {
        let (mut limit, mut limits) = (EVENTS_PAGE_LEN, Vec::new());
        for _ in 0..6 {
            limit = next_limit(limit, limit * 100);
            limits.push(limit);
        }
        assert_eq!(limits, [128, 256, 512, 1_000, 1_000, 1_000]);
        assert_eq!(next_limit(1_000, 1_000 * 16_384), EVENTS_PAGE_LEN);
        assert_eq!(next_limit(1_000, 1_000 * 512), 256);
        assert_eq!(next_limit(64, 0), 128, "a page of which nothing is shown");
    }
}
