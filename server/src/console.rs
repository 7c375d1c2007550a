//! The first page, embedded: plain files, no build step.

use http::{HeaderValue, Response as HttpResponse, header};
use warp::{Filter, Rejection, filters::BoxedFilter, reply::Response};

/// The name under `/console/`, its type and its bytes.
type File = (&'static str, &'static str, &'static [u8]);

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

macro_rules! file {
    ($name:literal, $type:expr) => {
        ($name, $type, include_bytes!(concat!("../console/", $name)))
    };
}

const INDEX: File = file!("index.html", HTML);
include!("console_files.rs");

/// What the page may load and do: only what this server gives it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/` and the files it loads.
pub(crate) fn routes() -> BoxedFilter<(Response,)> {
    let index = warp::path::end().and(warp::get()).map(|| response(&INDEX));
    let files = warp::path("console").and(warp::path::tail()).and(warp::get()).and_then(
        |tail: warp::path::Tail| async move {
            let file = FILES.iter().find(|(name, ..)| *name == tail.as_str());
            file.map(response).ok_or_else(warp::reject::not_found)
        },
    );
    let files = files.map(|response: Response| response);
    index
        .or(files)
        .unify()
        .map(|response: Response| response)
        .or_else(|rejection: Rejection| async { Err(rejection) })
        .boxed()
}

fn response((_, content_type, bytes): &File) -> Response {
    let mut response: HttpResponse<_> = HttpResponse::new((*bytes).into());
    let headers = response.headers_mut();
    let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, content_type);
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    // The files belong to this build; a new one must not meet old ones.
    set(header::CACHE_CONTROL, "no-cache");
    response
}
