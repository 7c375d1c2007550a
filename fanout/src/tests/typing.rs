//! Who types.

use kernel::testing::created;
use schemas::{
    Visibility,
    event::{ConversationChanged, ConversationCreated},
};
use serde_json::{Value, json};

use super::support::{Client, Node, event_of};
use crate::protocol::Form;

in_both_forms! {
    others_see_it_at_every_node_without_an_offset_and_the_typist_does_not,
    who_says_so_again_and_again_is_passed_on_once_a_second,
    who_may_not_post_may_not_tell_that_they_type,
}

fn data(typing: bool) -> Value {
    json!({"type": "Typing", "actor": "ann", "typing": typing})
}

async fn types(client: &mut Client, method: &str, conversation: &str) -> Value {
    client.ask("rpc", json!({"method": method, "data": {"conversation": conversation}})).await
}

/// The next publication, whoever comes and goes meanwhile.
async fn publication(client: &mut Client) -> Value {
    loop {
        let push = client.push().await;
        if !push["pub"].is_null() {
            return push["pub"].clone();
        }
    }
}

async fn others_see_it_at_every_node_without_an_offset_and_the_typist_does_not(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let other = node.another().await;
    let mut ann = node.client("ann").await;
    let mut others = [node.client("bob").await, node.client("ann").await, other.client("eve").await];
    for client in std::iter::once(&mut ann).chain(&mut others) {
        client.subscribe("tea", None).await;
    }
    assert_eq!(types(&mut ann, "typing.start", "tea").await["rpc"], json!({"data": {}}));
    assert_eq!(types(&mut ann, "typing.stop", "tea").await["rpc"], json!({"data": {}}));
    for client in &mut others {
        for typing in [true, false] {
            assert_eq!(publication(client).await, json!({"data": data(typing)}));
        }
    }
    let reply = ann.ask("publish", json!({"channel": "tea", "data": "hi"})).await;
    assert_eq!(reply["publish"], json!({}));
    let first = publication(&mut ann).await;
    assert_eq!((&first["offset"], &first["data"]["type"]), (&json!(2), &json!("MessagePosted")));
    // What was typed stands nowhere.
    let history = ann.ask("history", json!({"channel": "tea", "limit": -1})).await;
    assert_eq!(history["history"]["offset"], 2);
    assert_eq!(super::support::offsets(&history["history"]["publications"]), [1, 2]);
}

async fn who_says_so_again_and_again_is_passed_on_once_a_second(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let (mut ann, mut bob) = (node.client("ann").await, node.client("bob").await);
    let mut carl = node.client("carl").await;
    bob.subscribe("tea", None).await;
    let typing = |id: u32, method: &str| {
        json!({"id": id, "rpc": {"method": method, "data": {"conversation": "tea"}}}).to_string()
    };
    let methods = ["typing.start", "typing.start", "typing.stop", "typing.start", "typing.stop"];
    let commands: Vec<_> = (11..).zip(methods).map(|(id, method)| typing(id, method)).collect();
    ann.send(commands.join("\n")).await;
    // All of them are done when this is, and what carl says comes behind them.
    ann.ask("presence", json!({"channel": "tea"})).await;
    types(&mut carl, "typing.start", "tea").await;
    let mut seen = Vec::new();
    loop {
        let publication = publication(&mut bob).await;
        if publication["data"]["actor"] == "carl" {
            break;
        }
        seen.push(publication["data"].clone());
    }
    assert_eq!(seen, [data(true), data(false)]);
}

async fn who_may_not_post_may_not_tell_that_they_type(form: Form) {
    let node = Node::speaking(form).await;
    let private = ConversationCreated { title: None, visibility: Visibility::Private, members: Vec::new() };
    node.append(&event_of("den", "created", "ann", private)).await;
    node.append(&created("attic")).await;
    let archived = ConversationChanged { title: None, archived: Some(true) };
    node.append(&event_of("attic", "archived", "ann", archived)).await;
    let (mut ann, mut eve) = (node.client("ann").await, node.client("eve").await);
    for (conversation, code) in [("den", 103), ("nowhere", 102), ("no/id", 107), ("attic", 409)] {
        let reply = types(&mut eve, "typing.start", conversation).await;
        assert_eq!(reply["error"]["code"], code, "{conversation}: {reply}");
    }
    assert!(types(&mut ann, "typing.start", "den").await["error"].is_null());
    for data in [json!({}), json!({"conversation": "den", "typing": true}), json!("den"), json!(null)] {
        let reply = ann.ask("rpc", json!({"method": "typing.stop", "data": data})).await;
        assert_eq!(reply["error"]["code"], 107, "{data}: {reply}");
    }
}
