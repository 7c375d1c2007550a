//! The HTTP interface, as clients see it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Response;
use kernel::event_log::faulty::{Fault, Faults};
use schemas::caps;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use warp::{Filter, filters::BoxedFilter, reply::Response as Reply};

use super::support::{Site, create, identity, post};
use crate::{BodyLimits, Ingest, routes, routes_with};

/// Whoever the header `x-user` names; `root` is an admin.
fn by_header() -> BoxedFilter<(kernel::identity::Identity,)> {
    warp::header::<String>("x-user")
        .map(|user: String| {
            let admin = user == "root";
            kernel::identity::Identity { admin, ..identity(&user) }
        })
        .boxed()
}

pub(super) fn served(ingest: &Arc<Ingest>) -> BoxedFilter<(Reply,)> {
    routes(Arc::clone(ingest), by_header())
}

async fn send(
    routes: &BoxedFilter<(Reply,)>,
    user: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, Value) {
    let request = warp::test::request().method(method).path(path).header("x-user", user).body(body);
    told(&request.reply(routes).await)
}

pub(super) fn told(response: &Response<Bytes>) -> (u16, Value) {
    let body = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
    (response.status().as_u16(), body)
}

#[tokio::test]
async fn each_route_does_what_it_says() {
    let site = Site::new();
    let routes = served(&site.node().await);
    let calls = [
        (
            "ann",
            "POST",
            "/v1/conversations",
            r#"{"conversation":"tea","title":"Tea","members":["bob"]}"#,
            "ConversationCreated",
        ),
        ("ann", "PATCH", "/v1/conversations/tea", r#"{"title":"More tea"}"#, "ConversationChanged"),
        ("eve", "POST", "/v1/conversations/tea/join", "", "MemberJoined"),
        ("eve", "POST", "/v1/conversations/tea/leave", r#"{"parting_words":"bye"}"#, "MemberLeft"),
        ("eve", "POST", "/v1/conversations/tea/join", r#"{"client_event_id":"j-2"}"#, "MemberJoined"),
        ("eve", "POST", "/v1/conversations/tea/leave", "", "MemberLeft"),
        ("ann", "POST", "/v1/conversations/tea/members", r#"{"member":"dan"}"#, "MemberJoined"),
        ("ann", "PATCH", "/v1/conversations/tea/members/bob", r#"{"role":"moderator"}"#, "RoleChanged"),
        ("bob", "DELETE", "/v1/conversations/tea/members/dan", "", "MemberRemoved"),
        (
            "bob",
            "POST",
            "/v1/conversations/tea/messages",
            r#"{"client_message_id":"m-1","text":"hi"}"#,
            "MessagePosted",
        ),
        (
            "ann",
            "POST",
            "/v1/conversations/tea/messages",
            r#"{"text":"waves","reply_to":"m-1","style":"action"}"#,
            "MessagePosted",
        ),
        ("bob", "PATCH", "/v1/conversations/tea/messages/m-1", r#"{"text":"hi!"}"#, "MessageEdited"),
        ("ann", "PUT", "/v1/conversations/tea/messages/m-1/reactions/%F0%9F%91%8D", "", "ReactionAdded"),
        ("ann", "DELETE", "/v1/conversations/tea/messages/m-1/reactions/%F0%9F%91%8D", "", "ReactionRemoved"),
        ("ann", "DELETE", "/v1/conversations/tea/messages/m-1", "{}", "MessageRedacted"),
        ("bob", "PUT", "/v1/conversations/tea/read_marker", r#"{"up_to":7}"#, "ReadMarkerMoved"),
    ];
    for (n, (user, method, path, body, event_type)) in calls.iter().enumerate() {
        let (status, answer) = send(&routes, user, method, path, body).await;
        assert_eq!((status, &answer["code"]), (201, &"ok".into()), "{method} {path}: {answer}");
        assert_eq!(answer["data"]["offset"], n + 1);
        assert_eq!(answer["data"]["conversation"], "tea");
        let events = site.events().await;
        let (event, counts) = events.last().unwrap();
        assert_eq!((event.body.type_name(), event.actor.as_str(), *counts), (*event_type, *user, true));
        assert_eq!(answer["data"]["event_id"], event.event_id.as_str());
    }
}

#[tokio::test]
async fn a_command_sent_again_answers_200_with_the_same_place() {
    let site = Site::new();
    let routes = served(&site.node().await);
    send(&routes, "ann", "POST", "/v1/conversations", r#"{"conversation":"tea"}"#).await;
    let body = r#"{"client_message_id":"m-1","text":"hi"}"#;
    let (status, first) = send(&routes, "ann", "POST", "/v1/conversations/tea/messages", body).await;
    assert_eq!((status, &first["data"]["duplicate"]), (201, &false.into()));
    let (status, again) = send(&routes, "ann", "POST", "/v1/conversations/tea/messages", body).await;
    assert_eq!((status, &again["data"]["duplicate"]), (200, &true.into()));
    assert_eq!(first["data"]["offset"], again["data"]["offset"]);
    assert_eq!(first["data"]["epoch"], site.epoch().as_str());
}

#[tokio::test]
async fn conversations_and_events_without_an_id_are_given_fresh_ones() {
    let site = Site::new();
    let routes = served(&site.node().await);
    let (_, one) = send(&routes, "ann", "POST", "/v1/conversations", "{}").await;
    let (_, other) = send(&routes, "ann", "POST", "/v1/conversations", "{}").await;
    assert_eq!(one["data"]["conversation"].as_str().unwrap().len(), 20);
    assert_ne!(one["data"]["conversation"], other["data"]["conversation"]);
    assert_ne!(one["data"]["event_id"], other["data"]["event_id"]);
}

#[tokio::test]
async fn what_is_refused_is_refused_in_the_documented_way() {
    let site = Site::new();
    let routes = served(&site.node().await);
    send(&routes, "ann", "POST", "/v1/conversations", r#"{"conversation":"tea","client_event_id":"c-1"}"#)
        .await;
    let messages = "/v1/conversations/tea/messages";
    let cases = [
        ("POST", messages, "", 400, "bad_json"),
        ("POST", messages, r#"{"text":"hi","client_event_id":"m-1"}"#, 400, "bad_json"),
        ("POST", messages, r#"{"text":"hi","conversation":"tea"}"#, 400, "bad_json"),
        ("POST", messages, r#"{"text":"hi","style":"loud"}"#, 400, "invalid"),
        ("POST", messages, r#"{"text":" "}"#, 400, "invalid"),
        ("POST", messages, r#"{"text":"hi","reply_to":"m-9"}"#, 404, "unknown_message"),
        ("POST", messages, r#"{"text":"hi","client_message_id":"c-1"}"#, 409, "id_taken"),
        ("POST", "/v1/conversations/coffee/messages", r#"{"text":"hi"}"#, 404, "unknown_conversation"),
        ("POST", "/v1/conversations/%2E%2E/messages", r#"{"text":"hi"}"#, 400, "invalid"),
        ("POST", "/v1/conversations", r#"{"conversation":"tea"}"#, 409, "conversation_exists"),
        ("POST", "/v1/conversations", r#"{"client_event_id":"c-2"}"#, 400, "invalid"),
        ("PATCH", "/v1/conversations/tea", "{}", 400, "nothing_to_change"),
        ("PATCH", "/v1/conversations/tea/members/bob", r#"{"role":"king"}"#, 400, "invalid"),
        ("PATCH", "/v1/conversations/tea/members/b%20b", r#"{"role":"owner"}"#, 400, "invalid"),
        ("PATCH", "/v1/conversations/tea/members/%FF", r#"{"role":"owner"}"#, 400, "invalid"),
        ("PATCH", "/v1/conversations/tea/members/bob", r#"{"role":"owner"}"#, 404, "no_such_member"),
        ("PUT", "/v1/conversations/tea/read_marker", r#"{"up_to":-1}"#, 400, "invalid"),
        ("PUT", "/v1/conversations/tea/read_marker", r#"{"up_to":"1"}"#, 400, "bad_json"),
        ("PUT", "/v1/conversations/tea/read_marker", r#"{"up_to":1.5}"#, 400, "bad_json"),
        ("POST", "/v1/import", "", 403, "admin_only"),
    ];
    for (method, path, body, status, code) in cases {
        let (got, answer) = send(&routes, "ann", method, path, body).await;
        assert_eq!((got, &answer["code"]), (status, &code.into()), "{method} {path} {body}: {answer}");
        assert_eq!(answer["data"], Value::Null);
    }
    assert_eq!(site.records().await.len(), 1);
}

#[tokio::test]
async fn other_addresses_methods_and_people_are_left_to_others() {
    let site = Site::new();
    let ours = served(&site.node().await);
    for (method, path) in [
        ("GET", "/v1/conversations"),
        ("POST", "/v1/conversations/tea"),
        ("POST", "/v1/conversations/tea/messages/"),
        ("POST", "/v1/other"),
    ] {
        let request = warp::test::request().method(method).path(path).header("x-user", "ann");
        assert!(request.filter(&ours).await.is_err(), "{method} {path}");
    }
    let nobody = warp::test::request().method("POST").path("/v1/conversations").body("{}");
    assert!(nobody.filter(&ours).await.is_err());
    let others = ours.or(warp::any().map(|| "theirs"));
    let (status, _) = told(&warp::test::request().path("/v1/conversations").reply(&others).await);
    assert_eq!(status, 200);
    assert!(site.records().await.is_empty());
}

#[tokio::test]
async fn a_log_that_is_down_answers_503_and_when_to_try_again() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    let routes = served(&node);
    for (fault, code) in [(Fault::AppendFails, "unavailable"), (Fault::AnswerLost, "outcome_unknown")] {
        faults.next(fault, 1);
        let request = warp::test::request().method("POST").path("/v1/conversations/tea/messages");
        let response = request.header("x-user", "ann").body(r#"{"text":"hi"}"#).reply(&routes).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let (status, answer) = told(&response);
        assert_eq!((status, &answer["code"]), (503, &code.into()));
    }
}

#[tokio::test]
async fn an_import_is_reported_line_by_line() {
    let site = Site::new();
    let node = site.node().await;
    let routes = served(&node);
    let line = r#"{"conversation":"tea","at":"2015-07-27T10:00:00Z","author":"ann","kind":"message","text":"hi","reply_to":null,"id":"l-1"}"#;
    let (status, answer) = send(&routes, "root", "POST", "/v1/import", &format!("{line}\nnonsense\n")).await;
    assert_eq!(status, 200);
    assert_eq!((&answer["data"]["added"], &answer["data"]["already"]), (&1.into(), &0.into()));
    assert_eq!(answer["data"]["refused"][0]["line"], 2);
    assert_eq!(answer["data"]["refused"][0]["code"], "bad_json");
    assert!(post(&node, "ann", "l-1").await.unwrap().duplicate);
}

#[tokio::test]
async fn a_body_may_have_its_limit_and_not_one_byte_more() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    let routes = served(&node);
    let max = usize::try_from(caps::BODY_LEN_MAX).unwrap();
    let text = r#"{"text":"hi"}"#;
    let padded = |len: usize| format!("{text}{}", " ".repeat(len - text.len()));
    let path = "/v1/conversations/tea/messages";
    assert_eq!(send(&routes, "ann", "POST", path, &padded(max)).await.0, 201);
    let (status, answer) = send(&routes, "ann", "POST", path, &padded(max + 1)).await;
    assert_eq!((status, &answer["code"]), (413, &"body_too_large".into()));
    assert_eq!(site.records().await.len(), 2);
    let max = usize::try_from(caps::IMPORT_BODY_LEN_MAX).unwrap();
    assert_eq!(send(&routes, "root", "POST", "/v1/import", &"\n".repeat(max)).await.0, 200);
    assert_eq!(send(&routes, "root", "POST", "/v1/import", &"\n".repeat(max + 1)).await.0, 413);
}

/// What the server answers to these bytes on a socket, until it has said `wanted`.
async fn on_a_socket(limits: BodyLimits, head: &str, body: &[u8], wanted: &str) {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(warp::serve(routes_with(node, by_header(), limits)).incoming(listener).run());
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST /v1/conversations/tea/messages HTTP/1.1\r\nhost: x\r\nx-user: ann\r\n{head}\r\n\r\n");
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains(wanted) {
        let read = tokio::time::timeout(Duration::from_secs(30), socket.read_buf(&mut answer)).await;
        assert_ne!(read.unwrap().unwrap(), 0, "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(site.records().await.len(), 1);
    server.abort();
}

#[tokio::test]
async fn a_body_that_drips_in_is_given_up() {
    let limits = BodyLimits { time_max: Duration::from_millis(50), ..BodyLimits::default() };
    on_a_socket(limits, "content-length: 100", b"{", r#""code":"body_too_slow""#).await;
    on_a_socket(limits, "content-length: 100", b"{", "HTTP/1.1 408").await;
}

#[tokio::test]
async fn a_chunked_body_is_counted_too() {
    let limits = BodyLimits { len_max: 20, ..BodyLimits::default() };
    let body = b"d\r\n{\"text\":\"hi\"}\r\n8\r\n        \r\n";
    on_a_socket(limits, "transfer-encoding: chunked", body, r#""code":"body_too_large""#).await;
}
