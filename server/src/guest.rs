//! `POST /v1/guest`: a token for any handle, where guests are let in, so that a newcomer needs no identity provider.
//!
//! A page that somebody else served must not get one: the origin must be that of the request's host, and, where guests
//! are let in only because this machine alone can connect, the host must be one that no name server can point here.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::StatusCode;
use kernel::{clock::Clock, identity::TokenKey};
use schemas::{Answer, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    body,
    routes::{Services, refusal},
    settings::{GUEST_TOKEN_TTL_S, Guests},
};

/// Most bytes of the body, and the longest time until the last.
const BODY_LEN_MAX: usize = 1_024;
const BODY_WAIT: Duration = Duration::from_secs(10);

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

/// The address; it is not there where no guests are let in.
pub(crate) fn routes(services: &Services) -> BoxedFilter<(Response,)> {
    let Services { tokens, clock, guests, .. } = services.clone();
    let let_in =
        move || async move { if guests == Guests::Off { Err(warp::reject::not_found()) } else { Ok(()) } };
    warp::path!("v1" / "guest")
        .and(warp::post())
        .and_then(let_in)
        .untuple_one()
        .and(warp::header::optional::<String>("origin"))
        .and(warp::header::optional::<String>("host"))
        .and(warp::body::stream())
        .then(move |origin: Option<String>, host: Option<String>, sent| {
            let (tokens, clock) = (Arc::clone(&tokens), Arc::clone(&clock));
            async move {
                if is_stranger(guests, origin.as_deref(), host.as_deref()) {
                    let message = "pages of other origins get no guest token";
                    return refusal(StatusCode::FORBIDDEN, "origin_refused", message);
                }
                match timeout(BODY_WAIT, body::collect(sent, BODY_LEN_MAX)).await {
                    Err(_) => {
                        refusal(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "the body did not come in time")
                    }
                    Ok(None) => {
                        refusal(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "the body is too large")
                    }
                    Ok(Some(body)) => token(tokens.local(), &*clock, &body),
                }
            }
        })
        .boxed()
}

/// Whether a page that this server did not serve is asking.
fn is_stranger(guests: Guests, origin: Option<&str>, host: Option<&str>) -> bool {
    let foreign = origin.is_some_and(|origin| origin.split_once("://").map(|(_, own)| own) != host);
    foreign || (guests == Guests::Local && !host.is_some_and(names_this_machine))
}

/// Whether a host, with or without a port, is an address or `localhost`: a name could be made to lead here.
fn names_this_machine(host: &str) -> bool {
    let bare = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = bare.map_or(host, |(name, _)| name);
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn token(key: &TokenKey, clock: &dyn Clock, body: &[u8]) -> Response {
    let GuestRequest { user } = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return refusal(StatusCode::BAD_REQUEST, "bad_json", error.to_string()),
    };
    let now = clock.now();
    let expires_at = Timestamp::from_millis(now.as_millis() + GUEST_TOKEN_TTL_S * 1_000);
    match key.mint(&user, false, now, Some(GUEST_TOKEN_TTL_S)) {
        Ok(token) => Answer::ok(Guest { token, user, expires_at }).into_response().map(Into::into),
        Err(error) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_get_a_token() {
        let stranger = |guests, origin: Option<&str>, host: &str| is_stranger(guests, origin, Some(host));
        for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "[::1]", "127.0.0.1"] {
            assert!(!stranger(Guests::Local, None, host), "{host}");
            assert!(!stranger(Guests::Local, Some(format!("http://{host}").as_str()), host), "{host}");
            assert!(stranger(Guests::Local, Some("http://evil.example"), host), "{host}");
        }
        // A name that its owner points at this machine is the host and the origin alike.
        let rebound = Some("http://evil.example:8000");
        assert!(stranger(Guests::Local, rebound, "evil.example:8000"));
        assert!(stranger(Guests::Local, None, "evil.example:8000"));
        assert!(!stranger(Guests::Anywhere, Some("https://chat.example"), "chat.example"));
        assert!(stranger(Guests::Anywhere, Some("https://evil.example"), "chat.example"));
        assert!(stranger(Guests::Anywhere, Some("null"), "chat.example"));
    }
}
