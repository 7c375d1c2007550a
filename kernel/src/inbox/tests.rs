use proptest::prelude::*;
use schemas::{Partition, Visibility, caps::UNREAD_MAX};

use super::*;
use crate::history::{
    conformance::{Scribe, body, user},
    memory::MemoryHistory,
};

/// `tea`, an open conversation of ann and bob.
fn begun() -> Scribe {
    let mut scribe = Scribe::of(Partition(0));
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe
}

async fn history(scribe: &Scribe) -> MemoryHistory {
    let history = MemoryHistory::new();
    history.apply(scribe.whole()).await.unwrap();
    history
}

async fn tally(scribe: &Scribe, name: &str) -> Tally {
    let entry = entry(&history(scribe).await, &user(name), &"tea".parse().unwrap()).await.unwrap();
    entry.expect("a member").tally
}

async fn counts(scribe: &Scribe, name: &str) -> (u32, u32) {
    let Tally { unread, mentions, .. } = tally(scribe, name).await;
    (unread, mentions)
}

#[tokio::test]
async fn messages_of_others_behind_the_marker_are_unread() {
    let mut scribe = begun();
    assert_eq!(counts(&scribe, "bob").await, (0, 0), "to begin a conversation says nothing");
    scribe.does("ann", "m1", body::posted("hi @bob"));
    scribe.does("ann", "m2", body::posted("tea?"));
    let third = scribe.does("ann", "m3", body::posted("@ann @bobby"));
    scribe.does("ann", "r", body::reacted("m3", "yes", true));
    assert_eq!(counts(&scribe, "bob").await, (3, 1));
    assert_eq!(counts(&scribe, "ann").await, (0, 0), "one's own are read");
    scribe.does("bob", "k", body::read(3));
    let expected = Tally {
        offset: third.position().next().position(),
        read_up_to: Position::new(3),
        unread: 1,
        mentions: 0,
    };
    assert_eq!(tally(&scribe, "bob").await, expected);
}

#[tokio::test]
async fn who_answers_has_read_what_stood_before() {
    let mut scribe = begun();
    scribe.does("ann", "m1", body::posted("@bob"));
    scribe.does("bob", "m2", body::posted("yes"));
    assert_eq!(counts(&scribe, "bob").await, (0, 0));
    scribe.does("ann", "m3", body::posted("well, @bob"));
    assert_eq!(counts(&scribe, "bob").await, (1, 1));
}

#[tokio::test]
async fn a_count_ends_at_its_limit() {
    let mut scribe = begun();
    scribe.does("ann", "first", body::posted("@bob"));
    for number in 1..UNREAD_MAX {
        scribe.does("ann", &format!("m{number}"), body::posted("hi"));
    }
    assert_eq!(counts(&scribe, "bob").await, (UNREAD_MAX, 1));
    scribe.does("ann", "last", body::posted("hi"));
    assert_eq!(counts(&scribe, "bob").await, (UNREAD_MAX, 0), "the mention is further back than is looked");
}

#[tokio::test]
async fn strangers_and_those_who_left_have_no_entry() {
    let mut scribe = begun();
    scribe.does("bob", "l", body::left());
    let history = history(&scribe).await;
    for name in ["bob", "eve"] {
        assert_eq!(entry(&history, &user(name), &"tea".parse().unwrap()).await.unwrap(), None);
    }
    assert_eq!(entry(&history, &user("ann"), &"inn".parse().unwrap()).await.unwrap(), None);
}

/// Conversations `c0` to `c9` of ann and bob; in those with an odd number ann says something.
async fn ten() -> MemoryHistory {
    let mut scribe = Scribe::default();
    for number in 0..10 {
        let name = format!("c{number}");
        scribe.act(&name, "ann", "c", body::created(Visibility::Private, &["bob"])).unwrap();
        if number % 2 == 1 {
            scribe.act(&name, "ann", "m", body::posted("hi")).unwrap();
        }
    }
    history(&scribe).await
}

#[tokio::test]
async fn pages_come_by_id_and_say_whether_there_are_more() {
    let history = ten().await;
    let names = async |after: Option<&str>, limit, unread| {
        let after = after.map(|id| id.parse().unwrap());
        let ask = Ask { after: after.as_ref(), limit, unread };
        let Page { conversations, more } = page(&history, &user("bob"), ask).await.unwrap();
        (conversations.iter().map(|entry| entry.conversation.to_string()).collect::<Vec<_>>().join(" "), more)
    };
    let told = |names: &str, more| (names.to_owned(), more);
    assert_eq!(names(None, 3, false).await, told("c0 c1 c2", true));
    assert_eq!(names(Some("c6"), 3, false).await, told("c7 c8 c9", false));
    assert_eq!(names(Some("c6"), 2, false).await, told("c7 c8", true));
    assert_eq!(names(None, 2, true).await, told("c1 c3", true));
    assert_eq!(names(Some("c3"), 3, true).await, told("c5 c7 c9", false), "what is read is passed over");
    assert_eq!(names(Some("c3"), 2, true).await, told("c5 c7", true));
    assert_eq!(names(None, 0, false).await, told("c0", true), "a limit of 0 asks for one");
    assert_eq!(names(None, PAGE_LEN_MAX + 1, true).await, told("c1 c3 c5 c7 c9", false));
}

/// What happens next, and by whom.
fn happening() -> impl Strategy<Value = (usize, u64)> {
    (0..7_usize, 0..40_u64)
}

proptest! {
    /// Whoever follows from any event on, what is known already included, knows what a fresh count says.
    #[test]
    fn a_tally_that_is_followed_is_the_one_that_is_counted(
        happenings in prop::collection::vec(happening(), 1..40), known in 0..40_usize, again in 0..5_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut scribe, mut at_known) = (begun(), begun());
            for (number, (what, place)) in happenings.iter().enumerate() {
                let (actor, body) = match what {
                    0 => ("ann", body::posted("hi")),
                    1 => ("ann", body::posted("hi @bob")),
                    2 => ("bob", body::posted("yes")),
                    3 => ("bob", body::read(*place)),
                    4 => ("ann", body::read(*place)),
                    5 => ("ann", body::retitled("Tea")),
                    _ => ("cid", body::posted("@bob @bob")),
                };
                scribe.does(actor, &format!("e{number}"), body);
                if number <= known {
                    at_known = scribe.clone();
                }
            }
            let (bob, whole) = (user("bob"), history(&scribe).await);
            let mut followed = tally(&at_known, "bob").await;
            let from = at_known.projected.len().saturating_sub(again);
            for stored in &scribe.projected[from..] {
                let event = &stored.event;
                if followed.follow(&bob, &event.event, event.offset.position()) == Step::Recount {
                    followed = entry(&whole, &bob, &"tea".parse().unwrap()).await.unwrap().unwrap().tally;
                }
            }
            prop_assert_eq!(followed, tally(&scribe, "bob").await);
            Ok(())
        })?;
    }
}
