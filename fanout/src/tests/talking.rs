//! The ordinary course: connect, subscribe, publish, ask.

use kernel::{
    event_log::EventLog,
    testing::{created, posted},
};
use schemas::{Visibility, event::ConversationCreated};
use serde_json::json;

use super::support::{Node, event_of, offsets};
use crate::protocol::Form;

in_both_forms! {
    a_client_may_pipeline_everything_in_one_frame,
    a_publish_comes_back_to_everybody_with_its_position,
    who_may_not_read_may_not_subscribe,
    a_conversation_made_a_moment_ago_can_be_subscribed_to,
    history_pages_both_ways_over_all_events,
    a_token_is_refreshed_or_the_session_ends,
    who_connects_may_subscribe_at_once,
}

async fn a_client_may_pipeline_everything_in_one_frame(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let mut client = node.dial().await;
    let connect = json!({"id": 1, "connect": {"token": node.token("ann", 600), "name": "js"}});
    let subscribe = json!({"id": 2, "subscribe": {"channel": "tea", "flag": 1}});
    client.send(format!("{connect}\n{subscribe}\n")).await;
    let publish = client.ask("publish", json!({"channel": "tea", "data": "hi"})).await;
    // The ids of this client begin at 1 again, so the first answer is that of connect.
    assert_eq!(publish["connect"]["ping"], 25);
    assert_eq!(publish["connect"]["pong"], true);
    let push = client.push().await;
    assert_eq!(push["pub"]["data"]["body"]["text"], "hi");
    assert_eq!(push["pub"]["offset"], 2);
}

async fn a_publish_comes_back_to_everybody_with_its_position(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let (mut ann, mut bob) = (node.client("ann").await, node.client("bob").await);
    for client in [&mut ann, &mut bob] {
        let reply = client.subscribe("tea", None).await;
        assert_eq!(reply["subscribe"]["offset"], 1);
        assert_eq!(reply["subscribe"]["recoverable"], true);
    }
    let reply = ann
        .ask("publish", json!({"channel": "tea", "data": {"text": "hi", "client_message_id": "m-1"}}))
        .await;
    assert_eq!(reply["publish"], json!({}));
    for client in [&mut ann, &mut bob] {
        let offsets = client.offsets_until(2).await;
        assert_eq!(offsets, [2]);
    }
    let reply = ann
        .ask("rpc", json!({"method": "message.post", "data": {"conversation": "tea", "text": "again"}}))
        .await;
    assert_eq!(reply["rpc"]["data"]["offset"], 3);
    let reply = ann.ask("rpc", json!({"method": "nonsense"})).await;
    assert_eq!(reply["error"]["code"], 104);
    let nameless = json!({"method": "conversation.create", "data": {"client_event_id": "c-1"}});
    let reply = ann.ask("rpc", nameless).await;
    assert_eq!(reply["error"]["code"], 107);
    assert!(reply["error"]["message"].as_str().unwrap().contains("name it too"), "{reply}");
}

async fn who_may_not_read_may_not_subscribe(form: Form) {
    let node = Node::speaking(form).await;
    let private = ConversationCreated {
        title: None,
        visibility: Visibility::Private,
        members: vec!["bob".parse().unwrap()],
    };
    node.append(&event_of("den", "created", "ann", private)).await;
    let (mut bob, mut eve) = (node.client("bob").await, node.client("eve").await);
    assert!(bob.subscribe("den", None).await["error"].is_null());
    for method in ["subscribe", "presence", "presence_stats"] {
        assert_eq!(eve.ask(method, json!({"channel": "den"})).await["error"]["code"], 103, "{method}");
    }
    assert_eq!(eve.ask("history", json!({"channel": "den", "limit": 1})).await["error"]["code"], 103);
    assert_eq!(eve.subscribe("nowhere", None).await["error"]["code"], 102);
    assert_eq!(eve.subscribe("no/id", None).await["error"]["code"], 107);
}

async fn a_conversation_made_a_moment_ago_can_be_subscribed_to(form: Form) {
    let node = Node::speaking(form).await;
    let mut client = node.client("ann").await;
    for n in 0..50 {
        let name = format!("c{n}");
        node.append(&created(&name)).await;
        assert!(client.subscribe(&name, None).await["error"].is_null());
    }
}

async fn history_pages_both_ways_over_all_events(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    node.append(&created("cake")).await;
    let mut expected = vec![1];
    for n in 0..700 {
        expected.push(node.append(&posted("tea", &format!("m-{n}"), "ann")).await);
        node.append(&posted("cake", &format!("m-{n}"), "ann")).await;
    }
    let mut client = node.client("ann").await;
    let top = client.ask("history", json!({"channel": "tea"})).await;
    assert_eq!(top["history"]["offset"], 1_402);
    assert_eq!(top["history"]["publications"], json!([]));
    let epoch = top["history"]["epoch"].clone();
    let (mut forth, mut since): (Vec<u64>, u64) = (Vec::new(), 0);
    loop {
        let request = json!({"channel": "tea", "limit": 250, "since": {"offset": since, "epoch": epoch}});
        let page = offsets(&client.ask("history", request).await["history"]["publications"]);
        forth.extend(&page);
        if page.len() < 250 {
            break;
        }
        since = *page.last().unwrap();
    }
    assert_eq!(forth, expected);
    let (mut back, mut since): (Vec<u64>, Option<u64>) = (Vec::new(), None);
    loop {
        let mut request = json!({"channel": "tea", "limit": 250, "reverse": true});
        if let Some(since) = since {
            request["since"] = json!({"offset": since, "epoch": epoch});
        }
        let page = offsets(&client.ask("history", request).await["history"]["publications"]);
        back.extend(&page);
        if page.len() < 250 {
            break;
        }
        since = page.last().copied();
    }
    back.reverse();
    assert_eq!(back, expected);
    let most = client.ask("history", json!({"channel": "tea", "limit": -1})).await;
    assert_eq!(offsets(&most["history"]["publications"]).len(), 300);
    let wrong = json!({"channel": "tea", "limit": 1, "since": {"offset": 3, "epoch": "other"}});
    assert_eq!(client.ask("history", wrong).await["error"]["code"], 112);
}

async fn a_token_is_refreshed_or_the_session_ends(form: Form) {
    let node = Node::speaking(form).await;
    let mut client = node.dial().await;
    let reply = client.ask("connect", json!({"token": node.token("ann", 60)})).await;
    assert_eq!(reply["connect"]["expires"], true);
    assert!((58..=60).contains(&reply["connect"]["ttl"].as_u64().unwrap()));
    let reply = client.ask("refresh", json!({"token": node.token("ann", 1_000)})).await;
    assert!((998..=1_000).contains(&reply["refresh"]["ttl"].as_u64().unwrap()));
    client.command("refresh", json!({"token": node.token("bob", 1_000)})).await;
    assert_eq!(client.closed().await, (3500, "invalid token".to_owned()));
}

async fn who_connects_may_subscribe_at_once(form: Form) {
    let node = Node::speaking(form).await;
    let private = ConversationCreated { title: None, visibility: Visibility::Private, members: vec![] };
    node.append(&event_of("den", "created", "ann", private)).await;
    for (name, len) in [("tea", 3), ("cake", 1)] {
        node.append(&created(name)).await;
        for n in 0..len {
            node.append(&posted(name, &format!("m-{n}"), "ann")).await;
        }
    }
    let mut client = node.dial().await;
    let epoch = node.log.epoch().to_string();
    let behind = json!({"recover": true, "offset": 3, "epoch": epoch});
    let subs = json!({"tea": behind, "cake": {}, "den": {}, "nowhere": {}, "no/id": {}});
    let reply = client.ask("connect", json!({"token": node.token("bob", 60), "subs": subs})).await;
    let subs = reply["connect"]["subs"].as_object().unwrap();
    assert_eq!(subs.keys().collect::<Vec<_>>(), ["cake", "tea"], "what may not be read is left out");
    assert_eq!(offsets(&subs["tea"]["publications"]), [4, 5]);
    assert_eq!((&subs["tea"]["recovered"], &subs["tea"]["offset"]), (&json!(true), &json!(3)));
    assert_eq!((&subs["cake"]["recoverable"], &subs["cake"]["offset"]), (&json!(true), &json!(7)));
    let offset = node.append(&posted("cake", "m-9", "ann")).await;
    assert_eq!(client.push().await["pub"]["offset"], offset);
}
