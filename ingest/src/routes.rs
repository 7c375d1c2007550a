//! The HTTP interface, as `docs/http.md` says under "Commands".
//!
//! A request goes through layers, and each may end it: address and method (else it is left to other routes), identity,
//! body (size, time, coding), JSON, the rules of each name and text, the command. The table of routes is data;
//! from address and body to command is the affair of [`kernel::command::wire`].

use std::{future::ready, sync::Arc};

use bytes::Buf;
use futures_util::Stream;
use http::HeaderMap;
use kernel::{
    command::{CommandSink, wire},
    identity::Identity,
};
use schemas::Answer;
use warp::{Filter, filters::BoxedFilter, path::FullPath, reply::Response};

mod body;
mod fault;
mod path;
mod table;

pub use body::BodyLimits;

use crate::ingest::Ingest;
use fault::Fault;
use path::Captured;
use table::{ROUTES, Route, Verb};

const IMPORT: &str = "/v1/import";

/// The routes of `ingest`. `identity` says who asks, or rejects. What is none of these routes is rejected, so that
/// others can be tried after them.
pub fn routes(ingest: Arc<Ingest>, identity: BoxedFilter<(Identity,)>) -> BoxedFilter<(Response,)> {
    routes_with(ingest, identity, BodyLimits::default())
}

/// [`routes()`] with other limits for bodies.
pub fn routes_with(
    ingest: Arc<Ingest>,
    identity: BoxedFilter<(Identity,)>,
    limits: BodyLimits,
) -> BoxedFilter<(Response,)> {
    let maker = Maker { ingest, identity, limits };
    ROUTES.iter().fold(maker.import(), |routes, route| routes.or(maker.command(route)).unify().boxed())
}

/// Makes routes.
struct Maker {
    ingest: Arc<Ingest>,
    identity: BoxedFilter<(Identity,)>,
    limits: BodyLimits,
}

impl Maker {
    fn import(&self) -> BoxedFilter<(Response,)> {
        let (ingest, limits) = (Arc::clone(&self.ingest), self.limits);
        at(IMPORT, Verb::Post)
            .and(self.identity.clone())
            .and(warp::header::headers_cloned())
            .and(warp::body::stream())
            .then(move |_, identity, headers, stream| {
                let ingest = Arc::clone(&ingest);
                async move { reply(import(&ingest, &identity, &headers, stream, limits).await) }
            })
            .boxed()
    }

    fn command(&self, route: &'static Route) -> BoxedFilter<(Response,)> {
        let (ingest, limits) = (Arc::clone(&self.ingest), self.limits);
        at(route.path, route.verb)
            .and(self.identity.clone())
            .and(warp::header::headers_cloned())
            .and(warp::body::stream())
            .then(move |captured, identity, headers, stream| {
                let ingest = Arc::clone(&ingest);
                async move {
                    let body = body::read(&headers, stream, limits.len_max, limits.time_max).await;
                    reply(command(&ingest, identity, route.method, &captured, body).await)
                }
            })
            .boxed()
    }
}

/// Requests to an address of this form, with this method.
fn at(pattern: &'static str, verb: Verb) -> BoxedFilter<(Captured,)> {
    let method = match verb {
        Verb::Post => warp::post().boxed(),
        Verb::Patch => warp::patch().boxed(),
        Verb::Put => warp::put().boxed(),
        Verb::Delete => warp::delete().boxed(),
    };
    warp::path::full()
        .and_then(move |path: FullPath| {
            ready(Captured::matching(pattern, path.as_str()).ok_or_else(warp::reject::not_found))
        })
        .and(method)
        .boxed()
}

async fn command(
    ingest: &Ingest,
    identity: Identity,
    method: &str,
    captured: &Captured,
    body: Result<Vec<u8>, Fault>,
) -> Result<http::Response<Vec<u8>>, Fault> {
    let request = wire::request(identity, method, &captured.decoded()?, &body?)?;
    let accepted = ingest.execute(request).await?;
    let answer = if accepted.duplicate { Answer::ok(accepted) } else { Answer::created(accepted) };
    Ok(answer.into_response())
}

async fn import<B: Buf>(
    ingest: &Ingest,
    identity: &Identity,
    headers: &HeaderMap,
    stream: impl Stream<Item = Result<B, warp::Error>>,
    limits: BodyLimits,
) -> Result<http::Response<Vec<u8>>, Fault> {
    if !identity.admin {
        return Err(Fault::AdminOnly);
    }
    let lines = body::read(headers, stream, limits.import_len_max, limits.time_max).await?;
    Ok(Answer::ok(ingest.import(identity, &lines).await?).into_response())
}

fn reply(answer: Result<http::Response<Vec<u8>>, Fault>) -> Response {
    answer.unwrap_or_else(|fault| fault.answer().into_response()).map(Into::into)
}
