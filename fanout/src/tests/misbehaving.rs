//! Clients that do not keep to the protocol get the documented code and harm nobody else.

use kernel::testing::{created, posted};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::Message;

use super::support::Node;

#[tokio::test]
async fn what_breaks_the_protocol_is_closed_with_its_code() {
    let node = Node::start().await;
    node.append(&created("tea")).await;
    let mut witness = node.client("ann").await;
    witness.subscribe("tea", None).await;
    let cases: Vec<(Message, u16)> = vec![
        (Message::text("nonsense"), 3501),
        (Message::text(""), 3501),
        (Message::text("[1,2]"), 3501),
        (Message::text("{\"a\":".repeat(20_000)), 3501),
        (Message::text(json!({"id": 1, "subscribe": {"channel": "tea"}}).to_string()), 3501),
        (Message::text(json!({"id": 1, "connect": {"token": ""}}).to_string()), 3501),
        (Message::text(json!({"id": 1, "connect": {"token": "a.b.c"}}).to_string()), 3500),
        (Message::binary(vec![1, 2, 3]), 3506),
        (Message::text(" ".repeat(128 * 1_024 + 1)), 1009),
    ];
    for (number, (message, code)) in cases.into_iter().enumerate() {
        let mut client = node.dial().await;
        client.send_message(message).await;
        assert_eq!(client.closed().await.0, code, "case {number}");
        let offset = node.append(&posted("tea", &format!("m-{number}"), "ann")).await;
        assert_eq!(witness.offsets_until(offset).await, [offset]);
    }
}

#[tokio::test]
async fn a_connected_client_that_connects_again_or_sends_a_ping_is_closed() {
    let node = Node::start().await;
    for (method, request) in [("connect", json!({"token": node.token("ann", 60)})), ("ping", json!({}))] {
        let mut client = node.client("ann").await;
        client.command(method, request).await;
        assert_eq!(client.closed().await.0, 3501, "{method}");
    }
}

#[tokio::test]
async fn a_message_at_the_limit_passes() {
    let node = Node::start().await;
    let mut client = node.client("ann").await;
    let mut command = json!({"id": 7, "rpc": {"method": "nonsense", "data": ""}}).to_string();
    let room = 128 * 1_024 - command.len();
    command.insert_str(command.find("\"\"").unwrap() + 1, &"x".repeat(room));
    client.send(command).await;
    assert_eq!(client.ask("rpc", json!({"method": "nonsense"})).await["error"]["code"], 104);
}

#[tokio::test]
async fn an_expired_token_is_an_error_to_which_clients_get_a_new_one() {
    let node = Node::start().await;
    let mut client = node.dial().await;
    let reply = client.ask("connect", json!({"token": node.token("ann", -60)})).await;
    assert_eq!(reply["error"]["code"], 109);
}

#[tokio::test]
async fn half_a_frame_and_a_vanished_client_harm_nobody() {
    let node = Node::start().await;
    node.append(&created("tea")).await;
    let mut witness = node.client("ann").await;
    witness.subscribe("tea", None).await;
    let mut half = TcpStream::connect(node.address).await.unwrap();
    let request = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // The first bytes of a frame come together with the handshake: they are not lost, and not enough.
    half.write_all(&[request.as_bytes(), &[0x81, 0xfe]].concat()).await.unwrap();
    let mut answer = vec![0; 12];
    half.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 101");
    let offset = node.append(&posted("tea", "m-1", "ann")).await;
    assert_eq!(witness.offsets_until(offset).await, [offset]);
    drop(half);
    let offset = node.append(&posted("tea", "m-2", "ann")).await;
    assert_eq!(witness.offsets_until(offset).await, [offset]);
}

/// The status of a handshake with these headers.
async fn handshake(node: &Node, headers: &str) -> String {
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    let host = node.address;
    let request = format!("GET /connection/websocket HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        assert_ne!(socket.read_buf(&mut head).await.unwrap(), 0, "the server answers");
    }
    String::from_utf8_lossy(&head).into_owned()
}

#[tokio::test]
async fn the_door_opens_to_websockets_of_known_origins() {
    let node = Node::start().await;
    let upgrade = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let own = format!("Origin: http://{}\r\n", node.address);
    for (more, status) in [
        ("", "101"),
        (own.as_str(), "101"),
        ("Origin: https://chat.example\r\n", "101"),
        ("Origin: https://chat.example.evil\r\n", "403"),
        ("Origin: null\r\n", "403"),
        ("Sec-WebSocket-Protocol: centrifuge-json\r\n", "101"),
        ("Sec-WebSocket-Protocol: centrifuge-protobuf\r\n", "101"),
        ("Sec-WebSocket-Protocol: other, centrifuge-protobuf, centrifuge-json\r\n", "101"),
        ("Sec-WebSocket-Protocol: other\r\n", "400"),
        ("Sec-WebSocket-Protocol: \r\n", "101"),
    ] {
        let head = handshake(&node, &format!("{upgrade}{more}")).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{more}: {head}");
        let offered = ["centrifuge-protobuf", "centrifuge-json"].into_iter().find(|name| more.contains(name));
        let echoed = head.lines().find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
        assert_eq!(echoed, offered, "what is offered and spoken is echoed");
    }
    for other in ["", &upgrade.replace("Version: 13", "Version: 14")] {
        let head = handshake(&node, other).await;
        assert!(head.starts_with("HTTP/1.1 426") && head.contains("sec-websocket-version: 13\r\n"), "{head}");
    }
    // The example of RFC 6455, 1.3.
    assert!(handshake(&node, upgrade).await.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
}
