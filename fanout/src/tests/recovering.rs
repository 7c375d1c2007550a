//! Coming back: near and far, slow readers, positions that are lost, people who were removed.

use kernel::{
    event_log::EventLog,
    testing::{created, event, posted},
};
use schemas::event::{MemberRemoved, MessagePosted, Style};
use serde_json::json;

use super::support::{Node, offsets};
use crate::protocol::Form;

in_both_forms! {
    a_session_comes_back_to_everything_it_missed,
    ten_thousand_events_behind_come_in_order_and_once_while_more_are_written,
    a_reader_that_stops_harms_nobody_and_misses_nothing,
    a_position_of_another_log_is_lost_and_the_client_is_told,
    somebody_removed_receives_nothing_after_the_removal,
    after_an_unsubscribe_nothing_comes_and_a_subscribe_goes_on_from_the_position,
    a_node_that_stops_tells_its_sessions_to_come_back,
}

async fn a_session_comes_back_to_everything_it_missed(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let mut expected = Vec::new();
    for n in 0..5 {
        expected.push(node.append(&posted("tea", &format!("m-{n}"), "ann")).await);
    }
    let epoch = node.log.epoch().to_string();
    let mut client = node.client("ann").await;
    let reply = client.subscribe("tea", Some((1, &epoch))).await;
    assert_eq!(reply["subscribe"]["recovered"], true);
    assert_eq!(reply["subscribe"]["was_recovering"], true);
    assert_eq!(reply["subscribe"]["offset"], 1, "the client's own offset is echoed");
    assert_eq!(offsets(&reply["subscribe"]["publications"]), expected);
    // Nothing missed: the cursor may jump to where the partition is now.
    node.append(&created("cake")).await;
    let mut other = node.client("bob").await;
    let reply = other.subscribe("tea", Some((6, &epoch))).await;
    assert_eq!(reply["subscribe"]["recovered"], true);
    assert_eq!(reply["subscribe"]["publications"], json!(null));
    assert!(reply["subscribe"]["offset"].as_u64().unwrap() >= 6);
}

async fn ten_thousand_events_behind_come_in_order_and_once_while_more_are_written(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    for n in 0..10_000 {
        node.append(&posted("tea", &format!("m-{n}"), "ann")).await;
    }
    let mut client = node.client("ann").await;
    let reply = client.subscribe("tea", Some((0, ""))).await;
    let mut seen = offsets(&reply["subscribe"]["publications"]);
    assert!(!seen.is_empty() && seen.len() < 1_000, "the first page is bounded");
    let mut last = 0;
    for n in 0..500 {
        last = node.append(&posted("tea", &format!("late-{n}"), "ann")).await;
    }
    seen.extend(client.offsets_until(last).await);
    assert_eq!(seen, (1..=last).collect::<Vec<_>>());
}

async fn a_reader_that_stops_harms_nobody_and_misses_nothing(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let (mut slow, mut quick) = (node.client("slow").await, node.client("quick").await);
    slow.subscribe("tea", None).await;
    quick.subscribe("tea", None).await;
    // Far more than socket buffers and the outbox hold; the slow one reads none of it meanwhile.
    let text = "x".repeat(16_000);
    let mut last = 0;
    for n in 0..1_000 {
        let body = MessagePosted { text: text.parse().unwrap(), style: Style::Plain, reply_to: None };
        last = node.append(&event("tea", &format!("m-{n}"), "ann", body)).await;
        if n % 50 == 49 {
            quick.offsets_until(last).await;
        }
    }
    let mut seen = slow.offsets_while_open(last).await;
    while seen.last() != Some(&last) {
        // All this took so long that it was closed for want of a pong. It comes back, as every client does.
        slow = node.client("slow").await;
        let (from, epoch) = (seen.last().copied().unwrap_or(1), node.log.epoch());
        let reply = slow.subscribe("tea", Some((from, epoch.as_str()))).await;
        seen.extend(offsets(&reply["subscribe"]["publications"]));
        if seen.last() != Some(&last) {
            seen.extend(slow.offsets_while_open(last).await);
        }
    }
    assert_eq!(seen, (2..=last).collect::<Vec<_>>());
    // It is live again.
    let next = node.append(&posted("tea", "next", "ann")).await;
    assert_eq!(slow.offsets_until(next).await, [next]);
}

async fn a_position_of_another_log_is_lost_and_the_client_is_told(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let epoch = node.log.epoch().to_string();
    let mut client = node.client("ann").await;
    for (offset, epoch) in [(1, "other"), (1, "_"), (99, epoch.as_str())] {
        let reply = client.subscribe("tea", Some((offset, epoch))).await;
        assert_eq!(reply["subscribe"]["was_recovering"], true);
        assert_eq!(reply["subscribe"]["recovered"], json!(null), "{offset} {epoch}");
        assert_eq!(reply["subscribe"]["epoch"], node.log.epoch().as_str());
        assert_eq!(reply["subscribe"]["offset"], 1);
    }
    let strict = json!({"channel": "tea", "recover": true, "offset": 1, "epoch": "other", "flag": 2});
    assert_eq!(client.ask("subscribe", strict).await["error"]["code"], 112);
}

async fn somebody_removed_receives_nothing_after_the_removal(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let mut bob = node.client("bob").await;
    bob.subscribe("tea", None).await;
    let removal = event("tea", "e-1", "ann", MemberRemoved { member: "bob".parse().unwrap() });
    let removed_at = node.append(&removal).await;
    node.append(&posted("tea", "m-1", "ann")).await;
    assert_eq!(bob.push().await["pub"]["offset"], removed_at);
    assert_eq!(bob.push().await["unsubscribe"]["code"], 2000);
    let reply = bob.subscribe("tea", None).await;
    assert_eq!(reply["error"]["code"], 103);
}

async fn after_an_unsubscribe_nothing_comes_and_a_subscribe_goes_on_from_the_position(form: Form) {
    let node = Node::speaking(form).await;
    node.append(&created("tea")).await;
    let epoch = node.log.epoch().to_string();
    let mut client = node.client("ann").await;
    client.subscribe("tea", None).await;
    assert_eq!(client.ask("unsubscribe", json!({"channel": "tea"})).await["unsubscribe"], json!({}));
    assert_eq!(client.ask("unsubscribe", json!({"channel": "never"})).await["unsubscribe"], json!({}));
    let missed = node.append(&posted("tea", "m-1", "ann")).await;
    let reply = client.subscribe("tea", Some((1, &epoch))).await;
    assert_eq!(offsets(&reply["subscribe"]["publications"]), [missed]);
    // A second subscribe is done anew, not refused.
    let reply = client.subscribe("tea", Some((1, &epoch))).await;
    assert_eq!(offsets(&reply["subscribe"]["publications"]), [missed]);
}

async fn a_node_that_stops_tells_its_sessions_to_come_back(form: Form) {
    let node = Node::speaking(form).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(node.client("ann").await);
    }
    let drained = node.fanout.drain(std::time::Duration::from_millis(100));
    let told = async {
        for client in &mut clients {
            assert_eq!(client.closed().await, (3001, "shutdown".to_owned()));
        }
        drop(clients);
    };
    tokio::join!(drained, told);
}
