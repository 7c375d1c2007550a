//! Who is here.

use kernel::testing::created;
use serde_json::json;

use super::support::Node;
use crate::protocol::Form;

in_both_forms! {
    those_who_come_and_go_are_announced_and_listed,
    those_at_another_node_are_announced_and_listed_too,
    who_did_not_ask_is_not_told_who_comes,
}

async fn those_who_come_and_go_are_announced_and_listed(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let mut ann = node.client("ann").await;
    ann.subscribe("tea", None).await;
    // The second session lands on the other shard.
    let mut bob = node.client("bob").await;
    bob.subscribe("tea", None).await;
    assert_eq!(ann.push().await["join"]["info"]["user"], "bob");
    let reply = ann.ask("presence", json!({"channel": "tea"})).await;
    let presence = reply["presence"]["presence"].as_object().unwrap();
    let mut users: Vec<_> = presence.values().map(|info| info["user"].as_str().unwrap()).collect();
    users.sort_unstable();
    assert_eq!(users, ["ann", "bob"]);
    let stats = ann.ask("presence_stats", json!({"channel": "tea"})).await;
    assert_eq!(stats["presence_stats"], json!({"num_clients": 2, "num_users": 2}));
    drop(bob);
    assert_eq!(ann.push().await["leave"]["info"]["user"], "bob");
    let stats = ann.ask("presence_stats", json!({"channel": "tea"})).await;
    assert_eq!(stats["presence_stats"]["num_clients"], 1);
}

async fn those_at_another_node_are_announced_and_listed_too(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let other = node.another().await;
    let mut ann = node.client("ann").await;
    ann.subscribe("tea", None).await;
    let mut bob = other.client("bob").await;
    bob.subscribe("tea", None).await;
    assert_eq!(ann.push().await["join"]["info"]["user"], "bob");
    let listed = ann.ask("presence", json!({"channel": "tea"})).await["presence"]["presence"].clone();
    assert_eq!(listed.as_object().unwrap().len(), 2, "{listed}");
    // Bob's node was there when ann came.
    assert_eq!(bob.ask("presence", json!({"channel": "tea"})).await["presence"]["presence"], listed);
    drop(bob);
    assert_eq!(ann.push().await["leave"]["info"]["user"], "bob");
    let stats = ann.ask("presence_stats", json!({"channel": "tea"})).await;
    assert_eq!(stats["presence_stats"], json!({"num_clients": 1, "num_users": 1}));
}

async fn who_did_not_ask_is_not_told_who_comes(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let (mut ann, mut bob) = (node.client("ann").await, node.client("bob").await);
    ann.ask("subscribe", json!({"channel": "tea"})).await;
    bob.subscribe("tea", None).await;
    bob.ask("publish", json!({"channel": "tea", "data": "hi"})).await;
    assert!(!ann.push().await["pub"].is_null(), "the first push is the message");
}
