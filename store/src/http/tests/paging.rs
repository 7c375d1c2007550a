//! Pages of messages and of conversations.

use super::*;

const COUNT: usize = 2_500;

/// A conversation of so many messages, with others in between.
async fn long() -> Asked {
    let mut events = vec![created("tea", "ann", Visibility::Open), created("milk", "ann", Visibility::Open)];
    for n in 0..COUNT {
        events.push(event("tea", &format!("m-{n}"), "ann", posted(&format!("text {n}"))));
        if n % 3 == 0 {
            events.push(event("milk", &format!("m-{n}"), "ann", posted("elsewhere")));
        }
    }
    Asked::about(&events).await
}

fn texts(page: &Value) -> Vec<String> {
    let messages = page["messages"].as_array().unwrap();
    messages.iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

fn all_texts() -> Vec<String> {
    (0..COUNT).map(|n| format!("text {n}")).collect()
}

#[tokio::test]
async fn paging_forward_visits_each_message_once() {
    let asked = long().await;
    for limit in [1_000, 999, 500, 77] {
        let (mut all, mut after) = (Vec::new(), json!(0));
        loop {
            let path = format!("/v1/conversations/tea/messages?limit={limit}&after={after}");
            let page = asked.data("ann", &path).await;
            all.extend(texts(&page));
            if page["more"] == false {
                break;
            }
            assert_eq!(page["messages"].as_array().unwrap().len(), limit);
            after = page["messages"].as_array().unwrap().last().unwrap()["offset"].clone();
        }
        assert_eq!(all, all_texts(), "{limit}");
    }
}

#[tokio::test]
async fn paging_back_visits_each_message_once() {
    let asked = long().await;
    for limit in [1_000, 500, 77] {
        let (mut all, mut before): (Vec<String>, _) = (Vec::new(), None);
        loop {
            let bound = before.map(|before: Value| format!("&before={before}")).unwrap_or_default();
            let page =
                asked.data("ann", &format!("/v1/conversations/tea/messages?limit={limit}{bound}")).await;
            all.splice(..0, texts(&page));
            if page["more"] == false {
                break;
            }
            assert_eq!(page["messages"].as_array().unwrap().len(), limit);
            before = Some(page["messages"][0]["offset"].clone());
        }
        assert_eq!(all, all_texts(), "{limit}");
    }
}

#[tokio::test]
async fn a_page_has_fifty_messages_unless_asked_otherwise_and_ends_where_there_are_no_more() {
    let asked = long().await;
    let page = asked.data("ann", "/v1/conversations/tea/messages").await;
    assert_eq!(texts(&page), all_texts()[COUNT - caps::PAGE_LEN_DEFAULT..]);
    assert_eq!(page["more"], true);
    assert_eq!(page["offset"], page["messages"][49]["offset"]);
    let first =
        asked.data("ann", "/v1/conversations/tea/messages?after=0&limit=1").await["messages"][0].clone();
    let at = first["offset"].as_u64().unwrap();
    for (bound, found, more) in [
        (format!("before={at}"), 0, false),
        (format!("before={}", at + 1), 1, false),
        ("before=0".to_owned(), 0, false),
        ("before=1".to_owned(), 0, false),
        (format!("before={}", i64::MAX), 50, true),
        (format!("after={}", page["offset"]), 0, false),
        (format!("after={}", page["offset"].as_u64().unwrap() - 1), 1, false),
        (format!("after={}", i64::MAX), 0, false),
    ] {
        let page = asked.data("ann", &format!("/v1/conversations/tea/messages?{bound}")).await;
        assert_eq!((texts(&page).len(), page["more"].as_bool().unwrap()), (found, more), "{bound}");
    }
}

#[tokio::test]
async fn a_message_is_shown_as_documented() {
    let asked = Asked::about(&tea()).await;
    let message = json!({
        "offset": 3, "message_id": "m-1", "author": "bob", "text": "hi", "style": "plain", "reply_to": null,
        "occurred_at": "1970-01-01T00:00:03.000Z", "edited_at": null, "redacted_at": null, "redacted_by": null,
        "reactions": [],
    });
    let page = json!({"messages": [message], "more": false, "offset": 4, "epoch": asked.log.epoch()});
    assert_eq!(asked.data("bob", "/v1/conversations/tea/messages?limit=1").await, page);
    let redacted = MessageRedacted { message_id: "m-1".parse().unwrap() };
    asked.add(&[event("tea", "x", "ann", redacted)]).await;
    let page = asked.data("bob", "/v1/conversations/tea/messages").await;
    assert_eq!(
        (&page["messages"][0]["text"], &page["messages"][0]["redacted_by"]),
        (&Value::Null, &json!("ann"))
    );
}

#[tokio::test]
async fn the_list_holds_the_own_conversations_page_by_page() {
    let mut events: Vec<_> =
        (0..120).map(|n| created(&format!("c{n:03}"), "ann", Visibility::Open)).collect();
    events.push(created("zoo", "bob", Visibility::Open));
    let asked = Asked::about(&events).await;
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = asked.data("ann", &format!("/v1/conversations?limit=40{after}")).await;
        let listed = page["conversations"].as_array().unwrap().clone();
        all.extend(listed.iter().map(|listed| listed["conversation"].as_str().unwrap().to_owned()));
        if page["more"] == false {
            break;
        }
        after = format!("&after={}", all.last().unwrap());
    }
    assert_eq!(all, (0..120).map(|n| format!("c{n:03}")).collect::<Vec<_>>());
    let page = asked.data("ann", "/v1/conversations").await;
    assert_eq!((page["conversations"].as_array().unwrap().len(), &page["more"]), (50, &json!(true)));
    assert_eq!(asked.data("eve", "/v1/conversations").await, json!({"conversations": [], "more": false}));
    let listed = json!({
        "conversation": "zoo", "title": null, "visibility": "open", "archived": false, "standing": "owner",
        "last_offset": 121, "last_at": "2023-11-14T22:13:20.000Z", "read_up_to": 0,
    });
    let page = asked.data("bob", "/v1/conversations").await;
    assert_eq!(page, json!({"conversations": [listed], "more": false}));
}
