//! What is new in all conversations of a person.

use kernel::testing::{created, event, posted};
use schemas::{
    EventBody, Visibility,
    event::{ConversationCreated, MemberJoined, MemberRemoved, ReadMarkerMoved},
};
use serde_json::{Value, json};

use super::support::{Client, Node};
use crate::protocol::Form;

in_both_forms! {
    one_subscription_tells_what_is_new_in_every_conversation,
    all_sessions_of_a_person_are_told_and_none_of_others,
    who_is_added_is_told_and_who_is_removed_is_told_so,
    an_inbox_may_be_open_from_the_first_moment,
    an_inbox_that_is_closed_is_silent,
    the_list_comes_page_by_page,
    what_an_inbox_has_not_is_said_so,
}

/// A private conversation of ann's with bob.
async fn begun(node: &Node, name: &str) -> u64 {
    let members = vec!["bob".parse().unwrap()];
    let body = ConversationCreated { title: None, visibility: Visibility::Private, members };
    node.append(&event(name, "created", "ann", body)).await
}

async fn open(client: &mut Client) -> Value {
    client.ask("subscribe", json!({"channel": "@inbox"})).await
}

async fn list(client: &mut Client, data: Value) -> Value {
    client.ask("rpc", json!({"method": "inbox.list", "data": data})).await
}

/// What is told until something of that kind is.
async fn told(client: &mut Client, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let push = client.push().await;
        assert_eq!(push["channel"], "@inbox", "{push}");
        assert!(push["pub"]["offset"].is_null(), "there is no position: {push}");
        let data = push["pub"]["data"].clone();
        if wanted(&data) {
            return data;
        }
    }
}

fn entry(name: &str, offset: u64, read_up_to: u64, unread: u64, mentions: u64) -> Value {
    json!({"conversation": name, "offset": offset, "read_up_to": read_up_to, "unread": unread, "mentions": mentions})
}

fn read(position: u64) -> EventBody {
    ReadMarkerMoved { up_to: schemas::Position::new(position) }.into()
}

fn said(name: &str, id: &str, actor: &str, text: &str) -> schemas::ChatEvent {
    let mut event = posted(name, id, actor);
    if let EventBody::MessagePosted(posted) = &mut event.body {
        posted.text = text.parse().unwrap();
    }
    event
}

async fn one_subscription_tells_what_is_new_in_every_conversation(form: Form) {
    let node = Node::speaking(form).await;
    begun(&node, "tea").await;
    begun(&node, "inn").await;
    let mut bob = node.client("bob").await;
    let reply = open(&mut bob).await;
    assert!(reply["error"].is_null(), "{reply}");
    assert!(
        reply["subscribe"]["recoverable"].is_null() && reply["subscribe"]["positioned"].is_null(),
        "{reply}"
    );
    let listed = list(&mut bob, json!({})).await;
    let expected =
        json!({"conversations": [entry("inn", 2, 0, 0, 0), entry("tea", 1, 0, 0, 0)], "more": false});
    assert_eq!(listed["rpc"]["data"], expected);
    let first = node.append(&posted("tea", "m-1", "ann")).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("tea", first, 0, 1, 0));
    node.append(&said("inn", "m-1", "ann", "well, @bob?")).await;
    let last = node.append(&said("inn", "m-2", "ann", "@bobby!")).await;
    assert_eq!(told(&mut bob, |data| data["offset"] == last).await, entry("inn", last, 0, 2, 1));
    // Read amidst what is unread, and then all of it.
    node.append(&event("inn", "k-1", "bob", read(last - 1))).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("inn", last, last - 1, 1, 0));
    node.append(&event("inn", "k-2", "bob", read(last))).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("inn", last, last, 0, 0));
    let own = node.append(&posted("tea", "m-2", "bob")).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("tea", own, 0, 0, 0));
    // What others have read is not told: the next that comes is the next that is new.
    node.append(&event("tea", "k-1", "ann", read(own))).await;
    let next = node.append(&posted("tea", "m-3", "ann")).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("tea", next, 0, 1, 0));
    let listed = list(&mut bob, json!({"unread": true})).await;
    assert_eq!(listed["rpc"]["data"], json!({"conversations": [entry("tea", next, 0, 1, 0)], "more": false}));
}

async fn all_sessions_of_a_person_are_told_and_none_of_others(form: Form) {
    let node = Node::speaking(form).await;
    begun(&node, "tea").await;
    let mut bobs = [node.client("bob").await, node.client("bob").await, node.client("bob").await];
    let mut eve = node.client("eve").await;
    for client in bobs.iter_mut().chain([&mut eve]) {
        assert!(open(client).await["error"].is_null());
    }
    let last = node.append(&posted("tea", "m-1", "ann")).await;
    for bob in &mut bobs {
        assert_eq!(told(bob, |_| true).await, entry("tea", last, 0, 1, 0));
    }
    // One of them goes, the others stay.
    let [gone, mut here, _other] = bobs;
    drop(gone);
    let last = node.append(&posted("tea", "m-2", "ann")).await;
    assert_eq!(told(&mut here, |_| true).await, entry("tea", last, 0, 2, 0));
    assert_eq!(list(&mut eve, json!({})).await["rpc"]["data"], json!({"conversations": [], "more": false}));
    assert!(eve.is_idle(), "eve was told something");
}

async fn who_is_added_is_told_and_who_is_removed_is_told_so(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    node.append(&posted("tea", "m-1", "ann")).await;
    let mut bob = node.client("bob").await;
    open(&mut bob).await;
    let joined = MemberJoined { member: "bob".parse().unwrap() };
    let last = node.append(&event("tea", "j-1", "ann", joined.clone())).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("tea", last, 0, 1, 0));
    let last = node.append(&posted("tea", "m-2", "ann")).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("tea", last, 0, 2, 0));
    let removed = MemberRemoved { member: "bob".parse().unwrap() };
    node.append(&event("tea", "r-1", "ann", removed)).await;
    let gone = told(&mut bob, |data| data["unread"].is_null()).await;
    assert_eq!(gone, json!({"conversation": "tea", "gone": true}));
    // Nothing of it after that; a conversation that begins with bob is the next.
    node.append(&posted("tea", "m-3", "ann")).await;
    let begins = begun(&node, "inn").await;
    assert_eq!(told(&mut bob, |_| true).await, entry("inn", begins, 0, 0, 0));
}

async fn an_inbox_may_be_open_from_the_first_moment(form: Form) {
    let node = Node::speaking(form).await;
    begun(&node, "tea").await;
    let mut bob = node.dial().await;
    let subs = json!({"@inbox": {}, "tea": {}});
    let reply = bob.ask("connect", json!({"token": node.token("bob", 600), "subs": subs})).await;
    let subs = reply["connect"]["subs"].as_object().unwrap();
    assert_eq!(subs.keys().collect::<Vec<_>>(), ["@inbox", "tea"]);
    let last = node.append(&posted("tea", "m-1", "ann")).await;
    let mut pushed = [bob.push().await, bob.push().await];
    pushed.sort_by_key(|push| push["channel"].as_str().unwrap().to_owned());
    assert_eq!(pushed[0]["pub"]["data"], entry("tea", last, 0, 1, 0));
    assert_eq!(pushed[1]["pub"]["offset"], last);
}

async fn an_inbox_that_is_closed_is_silent(form: Form) {
    let node = Node::speaking(form).await;
    begun(&node, "tea").await;
    let (mut bob, mut other) = (node.client("bob").await, node.client("bob").await);
    open(&mut bob).await;
    open(&mut bob).await;
    open(&mut other).await;
    assert_eq!(bob.ask("unsubscribe", json!({"channel": "@inbox"})).await["unsubscribe"], json!({}));
    node.append(&posted("tea", "m-1", "ann")).await;
    told(&mut other, |_| true).await;
    list(&mut bob, json!({})).await;
    assert!(bob.is_idle(), "it is told still");
    assert!(open(&mut bob).await["error"].is_null());
    let last = node.append(&posted("tea", "m-2", "ann")).await;
    assert_eq!(told(&mut bob, |_| true).await, entry("tea", last, 0, 2, 0));
}

async fn the_list_comes_page_by_page(form: Form) {
    let node = Node::speaking(form).await;
    for name in ["c1", "c2", "c3"] {
        begun(&node, name).await;
    }
    let mut bob = node.client("bob").await;
    let first = list(&mut bob, json!({"limit": 2})).await["rpc"]["data"].clone();
    assert_eq!((first["conversations"].as_array().unwrap().len(), &first["more"]), (2, &json!(true)));
    let rest = list(&mut bob, json!({"limit": 2, "after": "c2"})).await["rpc"]["data"].clone();
    assert_eq!((&rest["conversations"][0]["conversation"], &rest["more"]), (&json!("c3"), &json!(false)));
    for (data, says) in [
        (json!({"limit": 0}), "invalid: limit"),
        (json!({"limit": 1_001}), "invalid: limit"),
        (json!({"limit": "2"}), "bad_json: limit"),
        (json!({"after": "no/id"}), "invalid: after"),
        (json!({"of": "ann"}), "bad_json: a field"),
    ] {
        let error = list(&mut bob, data).await["error"].clone();
        assert_eq!(error["code"], 107);
        assert!(error["message"].as_str().unwrap().starts_with(says), "{error}");
    }
    assert!(list(&mut bob, json!({"limit": 1_000})).await["error"].is_null());
}

async fn what_an_inbox_has_not_is_said_so(form: Form) {
    let node = Node::speaking(form).await;
    begun(&node, "tea").await;
    let mut bob = node.client("bob").await;
    let leave = node.leave("bob", "tea", 600);
    for (request, code) in [
        (json!({"channel": "@inbox", "type": 1}), 108),
        (json!({"channel": "@inbox", "tf": {"op": "eq"}}), 107),
        (json!({"channel": "@inbox", "token": leave}), 103),
        (json!({"channel": "@inbox", "recover": true, "flag": 2}), 112),
    ] {
        assert_eq!(bob.ask("subscribe", request.clone()).await["error"]["code"], code, "{request}");
    }
    for (method, request) in [
        ("publish", json!({"channel": "@inbox", "data": "hi"})),
        ("history", json!({"channel": "@inbox", "limit": 1})),
        ("presence", json!({"channel": "@inbox"})),
    ] {
        assert_eq!(bob.ask(method, request).await["error"]["code"], 107, "{method}");
    }
    let reply = bob.ask("subscribe", json!({"channel": "@inbox", "recover": true})).await;
    assert_eq!(
        (&reply["subscribe"]["was_recovering"], &reply["subscribe"]["recovered"]),
        (&json!(true), &Value::Null)
    );
}
