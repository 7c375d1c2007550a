//! The addresses of the registry, and how its answers go over HTTP.

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::time::timeout;
use warp::{
    Buf, Filter, Rejection, Stream,
    filters::{BoxedFilter, path::FullPath},
    reply::Response,
};

use super::{
    Registry,
    fault::Fault,
    question::{Query, Question},
};
use crate::body;

/// What clients expect answers to be.
const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.schemaregistry.v1+json");
/// The first part of every path here.
const ROOTS: [&str; 6] = ["schemas", "subjects", "config", "mode", "contexts", "associations"];
/// Most bytes of a body, some times the largest schema, and the longest time until the last.
const BODY_LEN_MAX: usize = 128 * 1_024;
const BODY_WAIT: Duration = Duration::from_secs(10);

/// All addresses of the registry.
pub(crate) fn routes(registry: Arc<Registry>) -> BoxedFilter<(Response,)> {
    warp::path::full()
        .and_then(|path: FullPath| async move { ours(&path) })
        .and(warp::method())
        .and(warp::query::<Query>())
        .and(warp::body::stream())
        .then(move |path: Vec<String>, method: Method, query: Query, sent| {
            let registry = Arc::clone(&registry);
            async move {
                match ask(&registry, &path, &method, query, sent).await {
                    Ok(answer) => response(StatusCode::OK, answer),
                    Err(Fault { status, body }) => {
                        response(status, serde_json::to_string(&body).unwrap_or_default())
                    }
                }
            }
        })
        .boxed()
}

/// The parts of a path that begins as ours do.
fn ours(path: &FullPath) -> Result<Vec<String>, Rejection> {
    let path = path.as_str().trim_matches('/');
    let first = path.split('/').next().unwrap_or_default();
    if !ROOTS.contains(&first) {
        return Err(warp::reject::not_found());
    }
    // A slash within a subject comes encoded, so the path is cut first.
    let parts = path.split('/').map(|part| Ok(percent_decode_str(part).decode_utf8()?.into_owned()));
    parts.collect::<Result<_, std::str::Utf8Error>>().map_err(|_| warp::reject::not_found())
}

async fn ask<B: Buf>(
    registry: &Registry,
    path: &[String],
    method: &Method,
    query: Query,
    sent: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<String, Fault> {
    let body = match timeout(BODY_WAIT, body::collect(sent, BODY_LEN_MAX)).await {
        Ok(Some(body)) => body,
        Ok(None) => return Err(Fault::body(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")),
        Err(_) => {
            return Err(Fault::body(StatusCode::REQUEST_TIMEOUT, "the body did not come in time"));
        }
    };
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    registry.answer(&Question { method, path: &path, query, body: &body })
}

fn response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, CONTENT_TYPE);
    response
}
