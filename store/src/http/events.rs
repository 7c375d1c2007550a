//! The events of a conversation as a stream of JSON lines: replay and export.
//!
//! Invariant: pages are read as the client takes them, and at most a few are in memory, however long the conversation
//! and however slow the client. A stream that cannot be finished is cut, never closed in good order, so that
//! nobody takes a part for the whole.

use futures_util::{
    StreamExt, TryStreamExt,
    future::ready,
    stream::{self, BoxStream},
};
use http::{HeaderValue, header};
use kernel::{
    history::{Extent, HistoryError, Order, SharedHistory, StoredEvent},
    identity::Identity,
};
use parking_lot::Mutex;
use schemas::{ConversationId, Position, json::EventJson};
use warp::{Reply, reply::Response};

use super::{Query, Readable, Refused, Store};
use crate::time_travel::AsOf;

/// Events that are read at once: with the longest texts about 1 MiB.
pub(super) const EVENTS_PAGE_LEN: usize = 64;

/// What is left to be sent.
struct Rest {
    history: SharedHistory,
    conversation: ConversationId,
    extent: Extent,
    as_of: AsOf,
    done: bool,
}

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
        let mut rest = Rest { history, conversation: id, extent, as_of, done: false };
        // Before the status is sent, so that a history that does not answer is told as such.
        let first = rest.next().await?.unwrap_or_default();
        Ok(stream_of(first, rest))
    }
}

impl Rest {
    /// The lines of the next page; `None`: all is sent.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, HistoryError> {
        if self.done {
            return Ok(None);
        }
        let page = self.history.events(&self.conversation, self.extent).await?;
        match page.last() {
            Some(last) if page.len() == EVENTS_PAGE_LEN => self.extent.after = last.offset.position(),
            _ => self.done = true,
        }
        let mut lines = Vec::new();
        for StoredEvent { event, offset, recorded_at, .. } in
            page.iter().filter(|event| self.as_of.holds(event))
        {
            let line = EventJson::new(event, offset.position(), *recorded_at).to_text();
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
        Ok(Some(lines))
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
