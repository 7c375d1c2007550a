//! A conversation as server-sent events, for `curl -N` and the `EventSource` of browsers: `GET /v1/conversations/{id}/stream`.
//!
//! What answers is a session like any other, with one subscription and nobody who could send it a command. Each
//! event bears its [`EventId`], which the client sends back when it comes again: so a stream that was cut goes on without a gap,
//! on any node.
//!
//! - here: the question, and the answer's head;
//! - `session`: the body, on a shard.

mod session;

use std::{borrow::Cow, convert::Infallible, sync::Arc};

use futures_util::stream;
use http::{HeaderValue, StatusCode, header};
use kernel::{conversation::Refusal, identity::Identity};
use percent_encoding::percent_decode_str;
use schemas::{Answer, Position};
use serde::Deserialize;
use warp::{Filter, Rejection, Reply, filters::BoxedFilter, reply::Response};

use crate::{
    Fanout,
    protocol::{ErrorCode, EventId, SubscribeRequest},
};

pub(crate) use session::{Ask, run};

/// Seconds after which it is worth to ask again, where log or history did not answer or no place was free.
const RETRY_AFTER_S: u32 = 1;

/// What may stand in the query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The position after which to begin, as for `events`; 0 is the start. Without it the stream begins with what comes from now on.
    from: Option<Position>,
    /// The epoch that the position belongs to.
    #[serde(default)]
    epoch: String,
    /// Looked at by whoever checks tokens.
    #[serde(rename = "access_token")]
    _token: Option<String>,
}

/// The route; `identity` says who asks.
pub(crate) fn route(fanout: Arc<Fanout>, identity: BoxedFilter<(Identity,)>) -> BoxedFilter<(Response,)> {
    warp::path!("v1" / "conversations" / String / "stream")
        .and(warp::get())
        .and(identity)
        .and(warp::query::<Query>())
        .and(warp::header::optional::<String>("last-event-id"))
        .and_then(move |segment: String, identity, query, last: Option<String>| {
            let fanout = Arc::clone(&fanout);
            async move { Ok::<_, Rejection>(answer(&fanout, &segment, identity, query, last).await) }
        })
        .boxed()
}

async fn answer(
    fanout: &Fanout,
    segment: &str,
    identity: Identity,
    query: Query,
    last: Option<String>,
) -> Response {
    // Matched as it came, and decoded after that, so that an encoded slash is no separator.
    let Ok(channel) = percent_decode_str(segment).decode_utf8().map(Cow::into_owned) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid", "the conversation id is not UTF-8");
    };
    let request = match beginning(query, last) {
        Ok((recover, epoch, position)) => {
            let offset = position.get();
            SubscribeRequest { channel, recover, epoch, offset, ..SubscribeRequest::default() }
        }
        Err(message) => return refuse(StatusCode::BAD_REQUEST, "invalid", &message),
    };
    let Ok(place) = Arc::clone(&fanout.streams).try_acquire_owned() else {
        return unavailable("as many streams are open here as may be; ask again in a moment");
    };
    match fanout.stream(identity, request).await {
        Ok(mut chunks) => {
            let body = stream::poll_fn(move |cx| {
                // It is held for as long as the body is there.
                let _ = &place;
                chunks.poll_recv(cx).map(|chunk| chunk.map(Ok::<_, Infallible>))
            });
            let mut response = warp::reply::stream(body).into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            // Proxies that gather answers before they pass them on (nginx) leave this one alone.
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            response
        }
        Err(error) => refused(error),
    }
}

/// Whether and from where to recover. What the client saw last counts more than the address it was first given.
fn beginning(query: Query, last: Option<String>) -> Result<(bool, String, Position), String> {
    match last.filter(|last| !last.is_empty()) {
        Some(last) => {
            let EventId { epoch, position } =
                last.parse().map_err(|error| format!("Last-Event-ID: {error}"))?;
            Ok((true, epoch.to_string(), position))
        }
        None => Ok((query.from.is_some(), query.epoch, query.from.unwrap_or(Position::START))),
    }
}

fn refused(error: ErrorCode) -> Response {
    let (status, refusal) = match error {
        ErrorCode::UNKNOWN_CHANNEL => (StatusCode::NOT_FOUND, Refusal::UnknownConversation),
        ErrorCode::PERMISSION_DENIED => (StatusCode::FORBIDDEN, Refusal::NotAMember),
        ErrorCode::REMOVED => (StatusCode::FORBIDDEN, Refusal::Removed),
        ErrorCode::BAD_REQUEST => {
            return refuse(StatusCode::BAD_REQUEST, "invalid", "this is no id of a conversation");
        }
        _ => return unavailable("the conversation cannot be read now; ask again in a moment"),
    };
    refuse(status, refusal.code(), &refusal.to_string())
}

fn unavailable(message: &str) -> Response {
    let answer = Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
    answer.retry_after(RETRY_AFTER_S).into_response().map(Into::into)
}

fn refuse(status: StatusCode, code: &'static str, message: &str) -> Response {
    Answer::refusal(status, code, message).into_response().map(Into::into)
}
