//! What a session may not have, at the limit and one past it, and what is not offered.

use kernel::testing::created;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::Node;
use crate::protocol::Form;

in_both_forms! {
    a_thousand_subscriptions_are_the_most,
    a_thousand_and_twenty_four_commands_in_a_frame_are_the_most,
    what_is_not_offered_is_said_so,
    a_send_and_a_pong_are_taken_without_an_answer,
}

async fn a_thousand_subscriptions_are_the_most(form: Form) {
    let node = Node::speaking(form).await;
    let mut client = node.client("ann").await;
    for n in 0..1_001 {
        let name = format!("c{n}");
        node.append(&created(&name)).await;
        let reply = client.subscribe(&name, None).await;
        let code = reply["error"]["code"].as_u64();
        assert_eq!(code, (n == 1_000).then_some(106), "subscription {n}");
    }
    // One of them again is not one more.
    assert!(client.subscribe("c7", None).await["error"].is_null());
    client.ask("unsubscribe", json!({"channel": "c7"})).await;
    assert!(client.subscribe("c1000", None).await["error"].is_null());
}

async fn a_thousand_and_twenty_four_commands_in_a_frame_are_the_most(form: Form) {
    let node = Node::speaking(form).await;
    let mut client = node.client("ann").await;
    let asked = json!({"id": 7, "rpc": {"method": "nonsense"}}).to_string();
    let most = [vec!["{}"; 1_023], vec![&asked]].concat();
    client.send_all(&most).await;
    // A ping may come before.
    let answer = loop {
        let message = client.next().await.unwrap();
        if message["id"] == 7 {
            break message;
        }
    };
    assert_eq!(answer["error"]["code"], 104);
    let one_more = [most, vec!["{}"]].concat();
    client.send_all(&one_more).await;
    assert_eq!(client.closed().await.0, 3501);
}

async fn what_is_not_offered_is_said_so(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let mut client = node.client("ann").await;
    for (more, code) in
        [(json!({"type": 1}), 108), (json!({"type": 4}), 108), (json!({"tf": {"op": "eq"}}), 107)]
    {
        let mut request = json!({"channel": "tea"});
        request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        assert_eq!(client.ask("subscribe", request).await["error"]["code"], code, "{more}");
    }
    // Offers that are not taken up change nothing.
    let offered = json!({"channel": "tea", "delta": "fossil", "flag": 1, "positioned": true});
    let reply = client.ask("subscribe", offered).await;
    assert!(reply["error"].is_null() && reply["subscribe"]["recoverable"] == true, "{reply}");
}

async fn a_send_and_a_pong_are_taken_without_an_answer(form: Form) {
    let node = Node::speaking(form).await;
    let mut client = node.client("ann").await;
    client.send(format!("{}\n{{}}", json!({"send": {"data": {"hello": 1}}}))).await;
    let reply = client.ask("rpc", json!({"method": "nonsense"})).await;
    assert_eq!(reply["error"]["code"], 104);
    assert!(client.is_idle(), "something else came before");
}

#[tokio::test]
async fn what_is_no_frame_of_a_client_is_a_protocol_error() {
    let node = Node::start().await;
    let mut socket = TcpStream::connect(node.address).await.unwrap();
    let request = "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // A text frame that is not masked, which only servers may send (RFC 6455, 5.1).
    socket.write_all(&[request.as_bytes(), b"\x81\x02{}"].concat()).await.unwrap();
    let mut all = Vec::new();
    socket.read_to_end(&mut all).await.unwrap();
    assert!(all.ends_with(b"\x88\x10\x03\xeaprotocol error"), "{}", String::from_utf8_lossy(&all));
}
