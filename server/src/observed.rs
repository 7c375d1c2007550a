//! Requests as they are seen from outside: the trace they belong to, and how many there are.

use std::{convert::Infallible, future::Future};

use http::{Method, Request};
use hyper::body::Incoming;
use kernel::metric;
use opentelemetry::context::FutureExt;
use tokio::time::Instant;
use warp::reply::Response;

use crate::telemetry::traces;

/// Answers a request by `routes`, as part of the trace that it names.
pub(crate) async fn answer<F>(
    request: Request<Incoming>,
    routes: impl FnOnce(Request<Incoming>) -> F,
) -> Result<Response, Infallible>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    let begun = Instant::now();
    let class = class(request.method(), request.uri().path());
    let response = match traces::origin(request.headers()) {
        Some(context) => routes(request).with_context(context).await?,
        None => routes(request).await?,
    };
    let status = response.status().as_u16().to_string();
    metric::HTTP_REQUESTS.counter_of([class.to_owned(), status]).increment(1);
    metric::HTTP_TIME.histogram_of([class]).record(begun.elapsed());
    Ok(response)
}

/// Few words for all the addresses there are.
fn class(method: &Method, path: &str) -> &'static str {
    let questions = method == Method::GET || method == Method::HEAD;
    match path {
        "/connection/websocket" => "socket",
        "/livez" | "/readyz" | "/metrics" => "operation",
        "/v1/import" => "import",
        "/v1/guest" => "guest",
        "/" => "page",
        _ if path.starts_with("/console/") => "page",
        _ if !path.starts_with("/v1/") => "other",
        _ if !questions => "command",
        _ if path.ends_with("/events") => "events",
        _ => "question",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_few_classes() {
        for (method, path, expected) in [
            (Method::POST, "/v1/conversations/tea/messages", "command"),
            (Method::GET, "/v1/conversations/tea/messages", "question"),
            (Method::GET, "/v1/conversations/tea/events", "events"),
            (Method::GET, "/console/main.js", "page"),
            (Method::GET, "/wp-login.php", "other"),
        ] {
            assert_eq!(class(&method, path), expected, "{path}");
        }
    }
}
