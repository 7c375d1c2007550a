//! The addresses of the server: those of the services, and the few that are its own.

use std::{convert::Infallible, sync::Arc};

use fanout::Fanout;
use http::{HeaderValue, StatusCode, header};
use ingest::Ingest;
use kernel::{
    clock::Clock,
    identity::{Identity, TokenError, Tokens},
};
use schemas::Answer;
use store::Store;
use warp::{Filter, Rejection, Reply, filters::BoxedFilter, reject::Reject, reply::Response};

use crate::{
    console, guest,
    registry::{self, Registry},
    settings::Guests,
};

/// When to come back with a token whose key is being asked for.
const RETRY_AFTER_S: u32 = 1;

/// What the routes lead to.
#[derive(Clone)]
pub(crate) struct Services {
    /// With the role ingest.
    pub(crate) ingest: Option<Arc<Ingest>>,
    /// With the role store.
    pub(crate) store: Option<Arc<Store>>,
    /// With the role fanout.
    pub(crate) fanout: Option<Arc<Fanout>>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) guests: Guests,
    pub(crate) registry: Arc<Registry>,
}

/// The request bears no token that is accepted.
#[derive(Debug)]
struct Unauthorized(Option<TokenError>);

impl Reject for Unauthorized {}

/// All addresses, with an answer for every request.
///
/// `own` are further ones of the server itself.
pub(crate) fn all(services: &Services, own: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    let tokens = Arc::clone(&services.tokens);
    let identity = identity(Arc::clone(&tokens));
    let Services { ingest, store, fanout, registry, .. } = services.clone();
    let rare = own
        .or(console::routes())
        .unify()
        .or(guest::routes(services))
        .unify()
        .or(registry::routes(registry))
        .unify()
        .boxed();
    // They are tried in turn, so what is asked for most comes first.
    let services = [
        ingest.map(|ingest| ingest::routes(ingest, identity.clone())),
        store.map(|store| store::routes(store, identity)),
        fanout.map(|fanout| fanout::routes(fanout, identity_of_a_stream(tokens))),
    ];
    let routes = services.into_iter().flatten().rev();
    answering(routes.fold(rare, |others, routes| routes.or(others).unify().boxed()))
}

/// With an answer for every request that none of `routes` takes.
pub(crate) fn answering(routes: BoxedFilter<(Response,)>) -> BoxedFilter<(Response,)> {
    routes.recover(|rejection| async move { Ok::<_, Infallible>(answer(&rejection)) }).unify().boxed()
}

/// Who asks, by the bearer token.
fn identity(tokens: Arc<Tokens>) -> BoxedFilter<(Identity,)> {
    warp::header::optional::<String>("authorization")
        .and_then(move |header: Option<String>| {
            let identity = verify(&tokens, header.as_deref().and_then(bearer));
            async move { identity.map_err(warp::reject::custom) }
        })
        .boxed()
}

/// The same where browsers cannot set a header: the token may stand in the query as `access_token` (RFC 6750, 2.3).
fn identity_of_a_stream(tokens: Arc<Tokens>) -> BoxedFilter<(Identity,)> {
    warp::header::optional::<String>("authorization")
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and_then(move |header: Option<String>, query: String| {
            let named = || query.split('&').find_map(|part| part.strip_prefix("access_token="));
            let identity = verify(&tokens, header.as_deref().and_then(bearer).or_else(named));
            async move { identity.map_err(warp::reject::custom) }
        })
        .boxed()
}

/// The token of an `Authorization`. The name of the scheme may be written in any case (RFC 9110, 11.1).
fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn verify(tokens: &Tokens, token: Option<&str>) -> Result<Identity, Unauthorized> {
    let token = token.ok_or(Unauthorized(None))?;
    tokens.verify(token).map_err(|error| Unauthorized(Some(error)))
}

pub(crate) fn livez() -> BoxedFilter<(Response,)> {
    warp::path!("livez")
        .and(warp::get())
        .map(|| {
            Answer::ok(serde_json::json!({"version": env!("CARGO_PKG_VERSION")}))
                .into_response()
                .map(Into::into)
        })
        .boxed()
}

pub(crate) fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Response {
    Answer::refusal(status, code, message).into_response().map(Into::into)
}

/// The answer to a request that no route took.
fn answer(rejection: &Rejection) -> Response {
    if let Some(Unauthorized(error)) = rejection.find() {
        if let Some(error @ TokenError::Awaited) = error {
            let answer = Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string());
            return answer.retry_after(RETRY_AFTER_S).into_response().map(Into::into);
        }
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

#[cfg(test)]
mod tests {
    use kernel::{
        identity::{KEY_SET_PAUSE, KeySet, TokenKey},
        testing::issuer::{Issuer, jwks},
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_token_is_refused_for_good_or_for_a_moment() {
        let tokens = Arc::new(Tokens::from(TokenKey::new(&[7; 32])));
        let issuer = Issuer::new("ES256").called("k1");
        tokens.replace(KeySet::parse(jwks(&[issuer.jwk()]).as_bytes()).unwrap());
        let routes = answering(identity(Arc::clone(&tokens)).map(|_| Response::default()).boxed());
        let ask = async |token: &str| {
            let request = warp::test::request().header("authorization", format!("Bearer {token}"));
            let response = request.reply(&routes).await;
            let code =
                serde_json::from_slice(response.body()).map(|body: serde_json::Value| body["code"].clone());
            let code = code.ok().and_then(|code| code.as_str().map(str::to_owned)).unwrap_or_default();
            (response.status().as_u16(), code, response.headers().contains_key(header::RETRY_AFTER))
        };
        let claims = serde_json::json!({"sub": "ann"});
        let refused = |status: u16, code: &str, again: bool| (status, code.to_owned(), again);
        assert_eq!(ask(&issuer.sign(&claims)).await, refused(200, "", false));
        let over = serde_json::json!({"sub": "ann", "exp": 1});
        assert_eq!(ask(&issuer.sign(&over)).await, refused(401, "token_expired", false));
        assert_eq!(ask("nonsense").await, refused(401, "unauthorized", false));
        let unknown = Issuer::another().called("k2").sign(&claims);
        assert_eq!(ask(&unknown).await, refused(401, "unauthorized", false));
        tokio::time::advance(KEY_SET_PAUSE).await;
        assert_eq!(ask(&unknown).await, refused(503, "unavailable", true));
    }
}
