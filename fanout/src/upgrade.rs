//! The door: `/connection/websocket`. The handshake is HTTP's; what comes after belongs to a shard.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use schemas::Answer;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use warp::{Filter, Rejection, Reply, filters::BoxedFilter, reply::Response};

use crate::{Fanout, protocol::Form, shard::Arrival};

/// The subprotocols and their forms; clients that want JSON mostly ask for none.
const SUBPROTOCOLS: [(&str, Form); 2] =
    [("centrifuge-json", Form::Json), ("centrifuge-protobuf", Form::Protobuf)];
/// What the query of the address may say instead, for clients that cannot offer a subprotocol.
const PROTOBUF_QUERIES: [&str; 2] = ["format=protobuf", "cf_protocol=protobuf"];

/// The route.
pub(crate) fn route(fanout: Arc<Fanout>) -> BoxedFilter<(Response,)> {
    warp::path!("connection" / "websocket")
        .and(warp::method())
        .and(warp::header::headers_cloned())
        .and(warp::query::raw().or(warp::any().map(String::new)).unify())
        .and(warp::ext::optional::<OnUpgrade>())
        .and_then(move |method, headers, query: String, upgrade| {
            let response = open(&fanout, &method, &headers, &query, upgrade);
            async move { Ok::<_, Rejection>(response) }
        })
        .boxed()
}

fn open(
    fanout: &Arc<Fanout>,
    method: &Method,
    headers: &HeaderMap,
    query: &str,
    upgrade: Option<OnUpgrade>,
) -> Response {
    let refuse =
        |status, code, message: &str| Answer::refusal(status, code, message).into_response().map(Into::into);
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let (Some(upgrade), Some(key), true) = (upgrade, key, asks_for_websocket(method, headers)) else {
        let message =
            "this address takes WebSocket connections only (GET with Upgrade: websocket, version 13)";
        let mut response: Response = refuse(StatusCode::UPGRADE_REQUIRED, "upgrade_required", message);
        let headers = response.headers_mut();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    if !fanout.allows_origin(headers) {
        let message = "pages of this origin may not connect; allow it with --allow-origin";
        return refuse(StatusCode::FORBIDDEN, "origin_refused", message);
    }
    let Some((form, subprotocol)) = agree(headers, query) else {
        let message = "of the subprotocols only centrifuge-json and centrifuge-protobuf are spoken; offer one of them, or none";
        return refuse(StatusCode::BAD_REQUEST, "subprotocol_refused", message);
    };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(hand_over(Arc::clone(fanout), upgrade, form));
    switching_protocols(&accept, subprotocol)
}

fn asks_for_websocket(method: &Method, headers: &HeaderMap) -> bool {
    let has = |name, word: &str| {
        let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).any(|value| value.trim().eq_ignore_ascii_case(word))
    };
    method == Method::GET
        && has(header::CONNECTION, "upgrade")
        && has(header::UPGRADE, "websocket")
        && has(header::SEC_WEBSOCKET_VERSION, "13")
}

/// The form that client and server both speak, and the subprotocol that named it: the client's first that is known.
/// `None`: it offers others only.
fn agree(headers: &HeaderMap, query: &str) -> Option<(Form, Option<&'static str>)> {
    let values = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let mut offered = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        // Some clients that want none offer an empty list.
        .filter(|offer| !offer.is_empty())
        .peekable();
    if offered.peek().is_none() {
        let protobuf = query.split('&').any(|part| PROTOBUF_QUERIES.contains(&part));
        return Some((if protobuf { Form::Protobuf } else { Form::Json }, None));
    }
    let known = |offer: &str| SUBPROTOCOLS.into_iter().find(|(name, _)| *name == offer);
    offered.find_map(known).map(|(name, form)| (form, Some(name)))
}

fn switching_protocols(accept: &str, subprotocol: Option<&'static str>) -> Response {
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(subprotocol) = subprotocol {
        // Browsers fail the handshake when what they offered is not echoed.
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

/// Waits until the handshake is written, then gives the bare socket to a shard.
async fn hand_over(fanout: Arc<Fanout>, upgrade: OnUpgrade, form: Form) {
    let upgraded = match upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a client went away in the handshake");
            return;
        }
    };
    // Our accept loop serves plain TCP; nothing else can come out here.
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
        tracing::error!("a connection came over something that is no TCP socket; it was dropped");
        return;
    };
    match parts.io.into_inner().into_std() {
        Ok(socket) => fanout.accept(Arrival { socket, ahead: parts.read_buf, form }).await,
        Err(error) => tracing::warn!(%error, "a connection could not be handed over"),
    }
}
