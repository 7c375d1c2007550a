//! Subscription tokens: who may read without being a member, and for how long.

use kernel::{
    clock::{Clock, SystemClock},
    identity::{KeySet, TokenKey},
    testing::{
        created,
        issuer::{Issuer, jwks},
        posted,
    },
};
use schemas::{
    Visibility,
    event::{ConversationCreated, MemberLeft, MemberRemoved},
};
use serde_json::{Value, json};

use super::support::{Client, Node, event_of, offsets};
use crate::protocol::Form;

in_both_forms! {
    a_grant_lets_a_stranger_read_that_conversation_and_no_other,
    a_token_that_is_no_grant_for_this_is_refused_even_to_members,
    nobody_comes_back_by_a_grant_who_was_removed,
    who_leaves_reads_on_by_a_grant,
    a_grant_is_refreshed,
    what_is_no_refresh_is_refused,
    who_connects_may_bring_a_grant,
    a_token_of_an_unknown_key_is_replaced,
    who_read_by_a_scope_reads_no_more_once_a_token_comes_without_it,
}

/// A conversation of ann's and bob's, for members alone, with one message.
async fn den(form: Form) -> Node {
    let node = Node::speaking(form).await;
    let (title, members) = (None, vec!["bob".parse().unwrap()]);
    let private = ConversationCreated { title, visibility: Visibility::Private, members };
    node.append(&event_of("den", "created", "ann", private)).await;
    node.append(&posted("den", "m-1", "ann")).await;
    node
}

async fn subscribe(client: &mut Client, channel: &str, token: &str) -> Value {
    client.ask("subscribe", json!({"channel": channel, "token": token})).await
}

async fn a_grant_lets_a_stranger_read_that_conversation_and_no_other(form: Form) {
    let node = den(form).await;
    let mut eve = node.client("eve").await;
    for (method, request) in
        [("history", json!({"channel": "den", "limit": 1})), ("presence", json!({"channel": "den"}))]
    {
        assert_eq!(eve.ask(method, request).await["error"]["code"], 103, "{method}");
    }
    let from_the_start = json!({"channel": "den", "token": node.leave("eve", "den", 60), "recover": true});
    let reply = eve.ask("subscribe", from_the_start).await;
    let mut seen = offsets(&reply["subscribe"]["publications"]);
    assert_eq!(reply["subscribe"]["expires"], true);
    assert!((58..=60).contains(&reply["subscribe"]["ttl"].as_u64().unwrap()), "{reply}");
    let offset = node.append(&posted("den", "m-2", "ann")).await;
    seen.extend(eve.offsets_until(offset).await);
    assert_eq!(seen, [1, 2, offset]);
    let history = eve.ask("history", json!({"channel": "den", "limit": 10})).await;
    assert_eq!(offsets(&history["history"]["publications"]), [1, 2, 3]);
    assert!(eve.ask("presence", json!({"channel": "den"})).await["error"].is_null());
    // Not after the subscription, and not for others.
    eve.ask("unsubscribe", json!({"channel": "den"})).await;
    assert_eq!(eve.ask("presence", json!({"channel": "den"})).await["error"]["code"], 103);
    assert_eq!(eve.subscribe("den", None).await["error"]["code"], 103);
    assert_eq!(subscribe(&mut eve, "nowhere", &node.leave("eve", "nowhere", 60)).await["error"]["code"], 102);
}

async fn a_token_that_is_no_grant_for_this_is_refused_even_to_members(form: Form) {
    let node = den(form).await;
    let stranger = TokenKey::new(&[8; 32]);
    let (eve, now) = ("eve".parse().unwrap(), schemas::Timestamp::from_millis(0));
    let forged = stranger.mint_subscription(&eve, &"den".parse().unwrap(), now, None).unwrap();
    for name in ["eve", "bob"] {
        let mut client = node.client(name).await;
        for (token, code) in
            [(node.leave(name, "den", -60), 109), (forged.clone(), 103), ("junk".to_owned(), 103)]
        {
            assert_eq!(subscribe(&mut client, "den", &token).await["error"]["code"], code, "{name}");
        }
        assert_eq!(subscribe(&mut client, "no/id", &forged).await["error"]["code"], 107);
        for token in [node.leave(name, "tea", 60), node.leave("ann", "den", 60), node.token(name, 60)] {
            let mut client = node.client(name).await;
            client.command("subscribe", json!({"channel": "den", "token": token})).await;
            assert_eq!(client.closed().await, (3500, "invalid token".to_owned()), "{name}");
        }
    }
    let mut client = node.dial().await;
    client.command("connect", json!({"token": node.leave("eve", "den", 60)})).await;
    assert_eq!(client.closed().await.0, 3500, "a grant opens no connection");
}

async fn nobody_comes_back_by_a_grant_who_was_removed(form: Form) {
    let node = den(form).await;
    let mut bob = node.client("bob").await;
    let token = node.leave("bob", "den", 60);
    assert!(subscribe(&mut bob, "den", &token).await["error"].is_null());
    let removed = MemberRemoved { member: "bob".parse().unwrap() };
    let offset = node.append(&event_of("den", "r-1", "ann", removed)).await;
    assert_eq!(bob.offsets_until(offset).await, [offset], "the removal is the last");
    assert_eq!(bob.push().await["unsubscribe"]["code"], 2_000);
    assert_eq!(subscribe(&mut bob, "den", &token).await["error"]["code"], 103);
    assert_eq!(bob.ask("sub_refresh", json!({"channel": "den", "token": token})).await["error"]["code"], 103);
}

async fn who_leaves_reads_on_by_a_grant(form: Form) {
    let node = den(form).await;
    let mut bob = node.client("bob").await;
    assert!(subscribe(&mut bob, "den", &node.leave("bob", "den", 60)).await["error"].is_null());
    node.append(&event_of("den", "l-1", "bob", MemberLeft { parting_words: "so long".parse().unwrap() }))
        .await;
    let offset = node.append(&posted("den", "m-2", "ann")).await;
    assert_eq!(bob.offsets_until(offset).await, [offset - 1, offset]);
}

async fn a_grant_is_refreshed(form: Form) {
    let node = den(form).await;
    let mut eve = node.client("eve").await;
    subscribe(&mut eve, "den", &node.leave("eve", "den", 60)).await;
    // With and without the name of the channel, which some clients leave out.
    for channel in ["den", ""] {
        let token = node.leave("eve", "den", 1_000);
        let reply = eve.ask("sub_refresh", json!({"channel": channel, "token": token})).await;
        assert_eq!(reply["sub_refresh"]["expires"], true, "{reply}");
        assert!((998..=1_000).contains(&reply["sub_refresh"]["ttl"].as_u64().unwrap()), "{reply}");
    }
}

async fn what_is_no_refresh_is_refused(form: Form) {
    let node = den(form).await;
    let mut eve = node.client("eve").await;
    let refresh = |channel: &str, token: String| json!({"channel": channel, "token": token});
    let reply = eve.ask("sub_refresh", refresh("den", node.leave("eve", "den", 60))).await;
    assert_eq!(reply["error"]["code"], 103, "nothing is subscribed to");
    assert_eq!(eve.ask("sub_refresh", refresh("no/id", String::new())).await["error"]["code"], 107);
    for (request, code) in [
        (refresh("den", node.leave("eve", "den", -60)), 3006),
        (refresh("den", node.leave("eve", "tea", 60)), 3500),
        (refresh("den", node.leave("bob", "den", 60)), 3500),
        (refresh("den", node.token("eve", 60)), 3500),
        (refresh("den", "junk".to_owned()), 3500),
        (refresh("den", String::new()), 3500),
    ] {
        let mut eve = node.client("eve").await;
        subscribe(&mut eve, "den", &node.leave("eve", "den", 60)).await;
        eve.command("sub_refresh", request.clone()).await;
        assert_eq!(eve.closed().await.0, code, "{request}");
    }
}

async fn who_connects_may_bring_a_grant(form: Form) {
    let node = den(form).await;
    let connect = |leave: String| json!({"token": node.token("eve", 60), "subs": {"den": {"token": leave}}});
    let reply = node.dial().await.ask("connect", connect(node.leave("eve", "den", 60))).await;
    assert_eq!(reply["connect"]["subs"]["den"]["expires"], true, "{reply}");
    for bad in [node.leave("bob", "den", 60), node.leave("eve", "den", -60), "junk".to_owned(), String::new()]
    {
        let reply = node.dial().await.ask("connect", connect(bad)).await;
        assert!(
            reply["connect"]["client"].is_string() && reply["connect"]["subs"]["den"].is_null(),
            "{reply}"
        );
    }
}

async fn who_read_by_a_scope_reads_no_more_once_a_token_comes_without_it(form: Form) {
    let node = den(form).await;
    node.append(&created("tea")).await;
    let mut eve = node.dial().await;
    let admin = node.tokens.local().mint(&"eve".parse().unwrap(), true, SystemClock.now(), Some(60)).unwrap();
    eve.ask("connect", json!({"token": admin})).await;
    for channel in ["den", "tea"] {
        assert!(eve.subscribe(channel, None).await["error"].is_null(), "{channel}");
    }
    // The same scope again changes nothing.
    for (token, ends) in [(admin, None), (node.token("eve", 60), Some(2_000))] {
        let reply = eve.ask("refresh", json!({"token": token})).await;
        assert!(reply["error"].is_null(), "{reply}");
        node.append(&posted("den", &format!("m-{}", token.len()), "ann")).await;
        let seen = eve.push().await;
        assert_eq!((&seen["channel"], &seen["unsubscribe"]["code"]), (&json!("den"), &json!(ends)), "{seen}");
    }
    assert_eq!(eve.subscribe("den", None).await["error"]["code"], 103);
    let offset = node.append(&posted("tea", "m-1", "ann")).await;
    assert_eq!(
        eve.offsets_until(offset).await,
        [offset],
        "what others may read goes on, and nothing else came"
    );
}

async fn a_token_of_an_unknown_key_is_replaced(form: Form) {
    let node = den(form).await;
    let (known, unknown) = (Issuer::new("ES256").called("k1"), Issuer::another().called("k2"));
    node.tokens.replace(KeySet::parse(jwks(&[known.jwk()]).as_bytes()).unwrap());
    let eve = json!({"sub": "eve"});
    let mut client = node.dial().await;
    let reply = client.ask("connect", json!({"token": unknown.sign(&eve)})).await;
    assert_eq!(reply["error"]["code"], 109, "{reply}");
    let connected = async || {
        let mut client = node.dial().await;
        let reply = client.ask("connect", json!({"token": known.sign(&eve)})).await;
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        client
    };
    let leave = json!({"sub": "eve", "channel": "den"});
    let mut client = connected().await;
    let reply = subscribe(&mut client, "den", &unknown.sign(&leave)).await;
    assert_eq!(reply["error"]["code"], 109, "{reply}");
    let reply = subscribe(&mut client, "den", &known.sign(&leave)).await;
    assert!(reply["error"].is_null() && reply["subscribe"]["expires"].is_null(), "{reply}");
    client.command("sub_refresh", json!({"channel": "den", "token": unknown.sign(&leave)})).await;
    assert_eq!(client.closed().await.0, 3006);
    let mut client = connected().await;
    client.command("refresh", json!({"token": unknown.sign(&eve)})).await;
    assert_eq!(client.closed().await.0, 3005);
}
