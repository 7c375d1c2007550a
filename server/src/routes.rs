//! The addresses of the server: those of the services, and the few that are its own.

use std::{convert::Infallible, sync::Arc};

use fanout::Fanout;
use http::{HeaderValue, StatusCode, header};
use ingest::Ingest;
use kernel::{
    clock::Clock,
    identity::{Identity, TokenError, TokenKey},
};
use schemas::{Answer, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use store::Store;
use warp::{Filter, Rejection, Reply, filters::BoxedFilter, reject::Reject, reply::Response};

use crate::{console, settings::GUEST_TOKEN_TTL_S};

/// What the routes lead to.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) ingest: Arc<Ingest>,
    pub(crate) store: Arc<Store>,
    pub(crate) fanout: Arc<Fanout>,
    pub(crate) key: Arc<TokenKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) guests: bool,
}

/// The request bears no token that is accepted.
#[derive(Debug)]
struct Unauthorized(Option<TokenError>);

impl Reject for Unauthorized {}

/// All addresses, with an answer for every request.
pub(crate) fn all(services: &Services) -> BoxedFilter<(Response,)> {
    let identity = identity(Arc::clone(&services.key));
    let routes = fanout::routes(Arc::clone(&services.fanout))
        .or(livez())
        .unify()
        .or(console::routes())
        .unify()
        .or(guest(services))
        .unify()
        .or(ingest::routes(Arc::clone(&services.ingest), identity.clone()))
        .unify()
        .or(store::routes(Arc::clone(&services.store), identity))
        .unify();
    routes.recover(|rejection| async move { Ok::<_, Infallible>(answer(&rejection)) }).unify().boxed()
}

/// Who asks, by the bearer token.
fn identity(key: Arc<TokenKey>) -> BoxedFilter<(Identity,)> {
    warp::header::optional::<String>("authorization")
        .and_then(move |header: Option<String>| {
            let token = header.as_deref().and_then(|header| header.strip_prefix("Bearer "));
            let identity = match token {
                Some(token) => key.verify(token.trim()).map_err(|error| Unauthorized(Some(error))),
                None => Err(Unauthorized(None)),
            };
            async move { identity.map_err(warp::reject::custom) }
        })
        .boxed()
}

fn livez() -> BoxedFilter<(Response,)> {
    warp::path!("livez")
        .and(warp::get())
        .map(|| {
            Answer::ok(serde_json::json!({"version": env!("CARGO_PKG_VERSION")}))
                .into_response()
                .map(Into::into)
        })
        .boxed()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GuestRequest {
    user: UserId,
}

#[derive(Serialize)]
struct Guest {
    token: String,
    user: UserId,
    expires_at: Timestamp,
}

/// A token for any handle, where guests are let in: so that a newcomer needs no identity provider. Pages of other
/// origins are refused, or any page in the same browser could take a token.
fn guest(services: &Services) -> BoxedFilter<(Response,)> {
    let Services { key, clock, guests, .. } = services.clone();
    warp::path!("v1" / "guest")
        .and(warp::post())
        .and(warp::header::optional::<String>("origin"))
        .and(warp::header::optional::<String>("host"))
        .and(warp::body::content_length_limit(1_024))
        .and(warp::body::bytes())
        .and_then(move |origin: Option<String>, host: Option<String>, body: bytes::Bytes| {
            let answer = if !guests {
                Err(warp::reject::not_found())
            } else if origin
                .is_some_and(|origin| origin.split_once("://").map(|(_, own)| own) != host.as_deref())
            {
                Ok(refusal(
                    StatusCode::FORBIDDEN,
                    "origin_refused",
                    "pages of other origins get no guest token",
                ))
            } else {
                Ok(guest_token(&key, clock.now(), &body))
            };
            async move { answer }
        })
        .boxed()
}

fn guest_token(key: &TokenKey, now: Timestamp, body: &[u8]) -> Response {
    let GuestRequest { user } = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "bad_json", error.to_string()),
    };
    let expires_at = Timestamp::from_millis(now.as_millis() + GUEST_TOKEN_TTL_S * 1_000);
    match key.mint(&user, false, now, Some(GUEST_TOKEN_TTL_S)) {
        Ok(token) => Answer::ok(Guest { token, user, expires_at }).into_response().map(Into::into),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()),
    }
}

fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Response {
    Answer::refusal(status, code, message).into_response().map(Into::into)
}

/// The answer to a request that no route took.
fn answer(rejection: &Rejection) -> Response {
    if let Some(Unauthorized(error)) = rejection.find() {
        let (code, message) = match error {
            Some(TokenError::Expired) => ("token_expired", "the token has expired; get a new one".to_owned()),
            Some(error) => ("unauthorized", error.to_string()),
            None => ("unauthorized", "send a token as `Authorization: Bearer TOKEN`".to_owned()),
        };
        let mut response = refusal(StatusCode::UNAUTHORIZED, code, message);
        let challenge = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        return response;
    }
    if rejection.find::<warp::reject::MethodNotAllowed>().is_some() {
        let message = "this address does not take this method; docs/http.md lists both";
        return refusal(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    }
    if rejection.is_not_found() {
        return refusal(
            StatusCode::NOT_FOUND,
            "not_found",
            "there is nothing at this address; see docs/http.md",
        );
    }
    if rejection.find::<warp::reject::PayloadTooLarge>().is_some() {
        return refusal(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large");
    }
    if rejection.find::<warp::reject::LengthRequired>().is_some() {
        return refusal(StatusCode::LENGTH_REQUIRED, "length_required", "send a Content-Length");
    }
    // What is left is the library's own refusals of headers and queries that are not well formed.
    tracing::debug!(?rejection, "a request was not understood");
    let mut response =
        refusal(StatusCode::BAD_REQUEST, "invalid", "the request is malformed").into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
