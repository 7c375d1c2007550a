//! Stretches of a conversation, and of the list of conversations.

use schemas::{ConversationId, Position, Visibility, caps::PAGE_LEN_MAX};

use super::{Fixture, Scribe, body, user};
use crate::history::{Extent, Order, SharedHistory};

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

fn extent(after: u64, up_to: u64, order: Order, limit: usize) -> Extent {
    Extent { after: Position::new(after), up_to: Position::new(up_to), order, limit }
}

async fn events(history: &SharedHistory, extent: Extent) -> Vec<u64> {
    let events = history.events(&tea(), extent).await.unwrap();
    events.iter().map(|event| event.offset.get()).collect()
}

/// Where they were posted; as posts they are the same.
async fn messages(history: &SharedHistory, extent: Extent) -> Vec<u64> {
    let messages = history.messages(&tea(), extent).await.unwrap();
    let messages: Vec<_> = messages.iter().map(|message| message.offset.get() - 1).collect();
    let posts = history.posts(&tea(), extent).await.unwrap();
    assert_eq!(posts.iter().map(|post| post.offset.get()).collect::<Vec<_>>(), messages, "{extent:?}");
    messages
}

/// `tea` has the even offsets from 0, one more than `posts` of them; `inn` has the odd ones.
async fn interleaved(history: &SharedHistory, posts: usize) {
    let mut scribe = Scribe::default();
    for number in 0..=posts {
        for conversation in ["tea", "inn"] {
            let body = if number == 0 {
                body::created(Visibility::Open, &[])
            } else {
                body::posted(&format!("number {number}"))
            };
            scribe.act(conversation, "ann", &format!("e{number}"), body).unwrap();
        }
    }
    history.apply(scribe.whole()).await.unwrap();
}

/// What lies after the one position and before the other, from either end.
pub async fn events_page_in_both_directions(fixture: &impl Fixture) {
    let history = fixture.open().await;
    interleaved(&history, 5).await;
    assert_eq!(events(&history, Extent::ALL).await, [0, 2, 4, 6, 8, 10]);
    let backwards = Extent { order: Order::Descending, ..Extent::ALL };
    assert_eq!(events(&history, backwards).await, [10, 8, 6, 4, 2, 0]);
    // A position covers the records before it: offset 2 is known at 3, not at 2.
    assert_eq!(events(&history, extent(2, 9, Order::Ascending, 100)).await, [2, 4, 6, 8]);
    assert_eq!(events(&history, extent(3, 8, Order::Ascending, 100)).await, [4, 6]);
    assert_eq!(events(&history, extent(3, 8, Order::Descending, 100)).await, [6, 4]);
}

/// At the limit and one past it, both ways.
pub async fn a_page_holds_its_limit_and_not_one_more(fixture: &impl Fixture) {
    let history = fixture.open().await;
    interleaved(&history, 5).await;
    for (order, first) in [(Order::Ascending, vec![2, 4, 6]), (Order::Descending, vec![6, 4, 2])] {
        for limit in 1..=4 {
            let expected = &first[..limit.min(3)];
            assert_eq!(events(&history, extent(1, 7, order, limit)).await, expected, "{order:?} {limit}");
            assert_eq!(messages(&history, extent(1, 7, order, limit)).await, expected, "{order:?} {limit}");
        }
    }
}

/// A limit of 0 asks for one, one above the cap for as many as the cap.
pub async fn a_page_is_never_longer_than_the_cap_and_never_empty_by_limit(fixture: &impl Fixture) {
    let history = fixture.open().await;
    interleaved(&history, PAGE_LEN_MAX + 1).await;
    let lens = async |limit| {
        let extent = Extent { limit, ..Extent::ALL };
        (events(&history, extent).await.len(), messages(&history, extent).await.len())
    };
    assert_eq!(lens(0).await, (1, 1));
    assert_eq!(lens(PAGE_LEN_MAX).await, (PAGE_LEN_MAX, PAGE_LEN_MAX));
    assert_eq!(lens(PAGE_LEN_MAX + 1).await, (PAGE_LEN_MAX, PAGE_LEN_MAX));
}

/// Nothing between, nothing before the start, nothing after the end, the ends exchanged, nothing known.
pub async fn extents_without_records_are_empty(fixture: &impl Fixture) {
    let history = fixture.open().await;
    interleaved(&history, 5).await;
    for order in [Order::Ascending, Order::Descending] {
        for (after, up_to) in [(3, 4), (0, 0), (11, u64::MAX), (7, 3), (4, 4)] {
            let extent = extent(after, up_to, order, 10);
            assert_eq!(events(&history, extent).await, [0; 0], "{extent:?}");
            assert_eq!(messages(&history, extent).await, [0; 0], "{extent:?}");
        }
    }
    let unknown = "unknown".parse().unwrap();
    assert_eq!(history.events(&unknown, Extent::ALL).await.unwrap(), vec![]);
    assert_eq!(history.messages(&unknown, Extent::ALL).await.unwrap(), vec![]);
    assert_eq!(history.posts(&unknown, Extent::ALL).await.unwrap(), vec![]);
}

/// The limit counts messages, not the events between them.
pub async fn messages_page_over_what_is_no_message(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    for number in 0..4 {
        scribe.does("ann", &format!("m{number}"), body::posted("hi"));
        scribe.does("ann", &format!("r{number}"), body::reacted(&format!("m{number}"), "yes", true));
        scribe.act("tea", "ann", &format!("v{number}"), body::renamed("ann")).unwrap();
    }
    history.apply(scribe.whole()).await.unwrap();
    assert_eq!(messages(&history, extent(2, u64::MAX, Order::Ascending, 2)).await, [4, 7]);
    assert_eq!(messages(&history, extent(0, 10, Order::Descending, 2)).await, [7, 4]);
    assert_eq!(messages(&history, extent(0, 11, Order::Descending, 9)).await, [10, 7, 4, 1]);
}

/// In the order of their bytes, after the one named, which need not exist.
pub async fn conversations_page_by_id(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = Scribe::default();
    for id in ["b", "a", "c.1", "Z", "c"] {
        scribe.act(id, "ann", "created", body::created(Visibility::Private, &[])).unwrap();
    }
    scribe.act("other", "bob", "created", body::created(Visibility::Open, &[])).unwrap();
    history.apply(scribe.whole()).await.unwrap();
    let list = async |after: Option<&str>, limit| {
        let after = after.map(|id| id.parse().unwrap());
        let page = history.conversations_of(&user("ann"), after.as_ref(), limit).await.unwrap();
        page.iter().map(|listed| listed.conversation.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, 10).await, ["Z", "a", "b", "c", "c.1"]);
    assert_eq!(list(None, 2).await, ["Z", "a"]);
    assert_eq!(list(Some("a"), 3).await, ["b", "c", "c.1"]);
    assert_eq!(list(Some("a.not.there"), 1).await, ["b"]);
    assert_eq!(list(Some("c.1"), 10).await, [""; 0]);
    assert_eq!(list(None, 0).await, ["Z"], "a limit of 0 asks for one");
}

/// And has one again when coming back.
pub async fn who_left_or_was_removed_has_no_entry_in_the_list(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob", "cid"]));
    scribe.does("bob", "l", body::left());
    scribe.does("ann", "x", body::removed("cid"));
    history.apply(scribe.whole()).await.unwrap();
    for name in ["bob", "cid"] {
        assert_eq!(history.conversations_of(&user(name), None, 10).await.unwrap(), vec![], "{name}");
    }
    scribe.does("bob", "j", body::joined("bob"));
    history.apply(scribe.batch(3, 4)).await.unwrap();
    assert_eq!(history.conversations_of(&user("bob"), None, 10).await.unwrap().len(), 1);
}
