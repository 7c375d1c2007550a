//! What is promised beyond the port: fingerprints that agree over adapters, migrations, wipes, buckets. Each case takes the address of a
//! server, as `HOST:PORT`.

use kernel::{
    History,
    conversation::ConversationState,
    history::{
        Depth, Extent, HistoryError, Order, Snapshot,
        conformance::{
            Scribe, body,
            random::{cut, model, scene},
        },
        memory::MemoryHistory,
    },
};
use schemas::{ConversationId, EventBody, Offset, Position, UserId, Visibility, caps::REPEAT_WINDOW_MS};

use super::{Place, replication};
use crate::scylla::{
    MigrateError, Migrated, OpenError, ScyllaHistory, bucket, migrate, schema::VERSION, wipe,
};

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

/// Whatever the order in which the log came, and however it was cut.
pub async fn the_fingerprint_is_that_of_the_model_in_memory(node: &str) {
    let place = Place::make(node).await;
    let acts: Vec<_> = (0..200_u8).map(|n| [n.wrapping_mul(37), n / 3, n.wrapping_mul(91), n]).collect();
    let scribe = scene(&acts);
    let (_, model) = model(&scribe).await;
    let history = place.history().await;
    assert_ne!(history.digest().await.unwrap(), model.digest());
    for batch in cut(&scribe, &[[9, 7, 120, 3], [3, 2, 60, 8], [15, 9, 200, 1]]) {
        history.apply(batch).await.unwrap();
    }
    assert_eq!(history.digest().await.unwrap(), model.digest());
}

/// The law forgets ids after a while, and ingest, which looks further back, may have been somebody else's.
pub async fn the_first_post_with_an_id_is_the_message_in_whatever_order(node: &str) {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    let first = scribe.does("ann", "m", body::posted("first"));
    scribe.does("ann", "late", body::retitled("Late"));
    scribe.advance(REPEAT_WINDOW_MS + 1);
    scribe.does("ann", "t", body::retitled("Tea"));
    scribe.does("bob", "m", body::posted("second"));
    let late = scribe.does("bob", "late", body::posted("its id was that of a title"));
    let place = Place::make(node).await;
    let (history, model) = (place.history().await, MemoryHistory::new());
    for batch in [scribe.batch(4, 6), scribe.batch(0, 4), scribe.whole()] {
        history.apply(batch.clone()).await.unwrap();
        model.apply(batch).await.unwrap();
        assert_eq!(history.digest().await.unwrap(), model.digest());
    }
    for order in [Order::Ascending, Order::Descending] {
        for limit in 1..=3 {
            let extent = Extent { order, limit, ..Extent::ALL };
            let messages = history.messages(&tea(), extent).await.unwrap();
            assert_eq!(messages, model.messages(&tea(), extent).await.unwrap());
        }
    }
    let messages = history.messages(&tea(), Extent::ALL).await.unwrap();
    let offsets: Vec<_> = messages.iter().map(|message| message.offset).collect();
    assert_eq!(offsets, [first.position(), late.position()]);
}

/// A conversation that spoke long ago, and then now and then: in many buckets that lie far apart.
fn now_and_then() -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    for number in 1..100_u64 {
        // At the ends of buckets and at their starts; some have two.
        let edge = number * number * bucket::WIDTH.unsigned_abs();
        scribe.next = Offset::new(edge - number % 2);
        scribe.does("ann", &format!("m{number}"), body::posted("now and then"));
        scribe.does("ann", &format!("r{number}"), body::reacted(&format!("m{number}"), "yes", true));
    }
    scribe
}

/// Pages and the state go over all buckets.
pub async fn pages_go_over_buckets_that_lie_far_apart(node: &str) {
    let scribe = now_and_then();
    let place = Place::make(node).await;
    let (history, model) = (place.history().await, MemoryHistory::new());
    history.apply(scribe.whole()).await.unwrap();
    model.apply(scribe.whole()).await.unwrap();
    let third = scribe.tail().get() / 3;
    for order in [Order::Ascending, Order::Descending] {
        for (after, up_to, limit) in
            [(0, u64::MAX, 1_000), (0, u64::MAX, 90), (third, 2 * third, 7), (5, 65_535, 3)]
        {
            let extent = Extent { after: Position::new(after), up_to: Position::new(up_to), order, limit };
            assert_eq!(
                history.events(&tea(), extent).await.unwrap(),
                model.events(&tea(), extent).await.unwrap()
            );
            let messages = history.messages(&tea(), extent).await.unwrap();
            assert_eq!(messages, model.messages(&tea(), extent).await.unwrap());
        }
    }
    assert_eq!(history.digest().await.unwrap(), model.digest());
}

/// Page after page, each from where the one before ended, nothing is left out and nothing comes twice.
pub async fn small_pages_one_after_another_are_the_whole(node: &str) {
    const LIMIT: usize = 3;
    let scribe = now_and_then();
    let place = Place::make(node).await;
    let history = place.history().await;
    history.apply(scribe.whole()).await.unwrap();
    let all = scribe.projected.iter().map(|projected| projected.event.offset.position());
    let is_post = |position: &Position| {
        let event = &scribe.stored(Offset::new(position.get() - 1)).event;
        matches!(event.body, EventBody::MessagePosted(_))
    };
    let (events, messages): (Vec<_>, Vec<_>) = (all.clone().collect(), all.filter(is_post).collect());
    for order in [Order::Ascending, Order::Descending] {
        for (kind, whole) in [("events", &events), ("messages", &messages)] {
            let mut walked: Vec<Position> = Vec::new();
            let mut extent = Extent { order, limit: LIMIT, ..Extent::ALL };
            loop {
                let page: Vec<Position> = if kind == "events" {
                    let page = history.events(&tea(), extent).await.unwrap();
                    page.iter().map(|event| event.offset.position()).collect()
                } else {
                    let page = history.messages(&tea(), extent).await.unwrap();
                    page.iter().map(|message| message.offset).collect()
                };
                walked.extend(&page);
                match (page.last(), order) {
                    (Some(last), Order::Ascending) => extent.after = *last,
                    (Some(last), Order::Descending) => extent.up_to = Position::new(last.get() - 1),
                    (None, _) => break,
                }
                assert!(walked.len() <= whole.len(), "{kind} {order:?}");
            }
            if order == Order::Descending {
                walked.reverse();
            }
            assert_eq!(&walked, whole, "{kind} {order:?}");
        }
    }
}

/// A thousand standings fill a page. While two people, the first and the last of all, come and go together, whoever reads sees both or neither.
pub async fn standings_of_many_pages_are_those_of_one_moment(node: &str) {
    const PEOPLE: u64 = 2_500;
    const TURNS: u64 = 30;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    for number in 0..PEOPLE {
        let name = format!("m{number}");
        scribe.does(&name, &format!("j{number}"), body::joined(&name));
    }
    let start = scribe.tail().get();
    for turn in 0..TURNS {
        for name in ["aaa", "zzz"] {
            let body = if turn % 2 == 0 { body::joined(name) } else { body::left() };
            scribe.does(name, &format!("{name}{turn}"), body);
        }
    }
    let place = Place::make(node).await;
    let history = place.history().await;
    history.apply(scribe.batch(0, 1_000)).await.unwrap();
    history.apply(scribe.batch(1_000, start)).await.unwrap();
    let writer = {
        let (history, turns) = (history.clone(), start..scribe.tail().get());
        let batches: Vec<_> = turns.step_by(2).map(|from| scribe.batch(from, from + 2)).collect();
        tokio::spawn(async move {
            for batch in batches {
                history.apply(batch).await.unwrap();
            }
        })
    };
    loop {
        let done = writer.is_finished();
        match history.snapshot(scribe.partition, &tea(), Depth::Look).await {
            Ok(Snapshot { state, position }) => {
                let expected = scribe.state_at(&tea(), position);
                let standings = |state: Option<ConversationState>| state.unwrap().standings;
                assert_eq!(standings(state), standings(expected), "at {position}");
                assert!(!done || position == scribe.tail());
            }
            // It may change faster than it can be read.
            Err(error) => assert!(!done && error.retryable(), "{error}"),
        }
        if done {
            break;
        }
    }
    writer.await.unwrap();
}

/// The list of somebody who has left thousands of conversations.
pub async fn a_list_goes_over_what_was_left_long_ago(node: &str) {
    const LEFT: usize = 2_500;
    let bob: UserId = "bob".parse().unwrap();
    let mut scribe = Scribe::default();
    for number in 0..LEFT {
        let conversation = format!("c{number:04}");
        scribe.act(&conversation, "ann", "c", body::created(Visibility::Open, &["bob"])).unwrap();
        if number % 700 != 699 {
            scribe.act(&conversation, "bob", "l", body::left()).unwrap();
        }
    }
    let place = Place::make(node).await;
    let (history, model) = (place.history().await, MemoryHistory::new());
    history.apply(scribe.whole()).await.unwrap();
    model.apply(scribe.whole()).await.unwrap();
    let list = history.conversations_of(&bob, None, 100).await.unwrap();
    let names: Vec<_> = list.iter().map(|listed| listed.conversation.as_str()).collect();
    assert_eq!(names, ["c0699", "c1399", "c2099"]);
    for limit in [1, 2, 3] {
        for after in [None, Some("c0699"), Some("c0700"), Some("c2098"), Some("c2099")] {
            let after = after.map(|after| after.parse().unwrap());
            let found = history.conversations_of(&bob, after.as_ref(), limit).await.unwrap();
            assert_eq!(found, model.conversations_of(&bob, after.as_ref(), limit).await.unwrap());
        }
    }
}

/// Twice, four times at once, and then the history opens.
pub async fn migrations_may_run_twice_and_at_once(node: &str) {
    let place = Place::name(node);
    let error = ScyllaHistory::open(place.settings().clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotMigrated { found: 0, .. }), "{error:?}");
    assert!(error.to_string().contains("run `tidings history migrate`"), "{error}");
    let (settings, replication) = (place.settings(), replication());
    let run = || migrate(settings, &replication);
    let (one, two, three, four) = tokio::join!(run(), run(), run(), run());
    let to = VERSION.unsigned_abs();
    for migrated in [one, two, three, four] {
        assert_eq!(migrated.unwrap().to, to);
    }
    assert_eq!(run().await.unwrap(), Migrated { from: to, to });
    place.history().await;
}

/// Neither opened, nor migrated, nor wiped.
pub async fn tables_of_a_newer_build_are_left_alone(node: &str) {
    let place = Place::make(node).await;
    place
        .execute(&format!("INSERT INTO {{}}.migrations (part, version) VALUES ('history', {})", VERSION + 1))
        .await;
    let error = ScyllaHistory::open(place.settings().clone()).await.unwrap_err();
    assert!(matches!(error, OpenError::TooNew { .. }), "{error:?}");
    assert!(error.to_string().contains("use a newer version"), "{error}");
    let error = migrate(place.settings(), &replication()).await.unwrap_err();
    assert!(matches!(error, MigrateError::TooNew { .. }), "{error:?}");
    let error = wipe(place.settings()).await.unwrap_err();
    assert!(matches!(error, MigrateError::TooNew { .. }), "{error:?}");
}

/// And takes another log.
pub async fn a_wiped_history_is_empty_and_is_rebuilt_to_the_same_rows(node: &str) {
    let place = Place::make(node).await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe.does("bob", "m", body::posted("hi"));
    let history = place.history().await;
    let empty = history.digest().await.unwrap();
    history.apply(scribe.whole()).await.unwrap();
    let full = history.digest().await.unwrap();
    drop(history);
    wipe(place.settings()).await.unwrap();
    let history = place.history().await;
    assert_eq!(history.digest().await.unwrap(), empty);
    assert_eq!(history.progress(scribe.partition).await.unwrap(), None);
    history.apply(scribe.whole()).await.unwrap();
    assert_eq!(history.digest().await.unwrap(), full);
    wipe(place.settings()).await.unwrap();
    let other = kernel::history::Batch { epoch: "second".parse().unwrap(), ..scribe.whole() };
    place.history().await.apply(other).await.unwrap();
}

/// The column is named, what stands in it is not.
pub async fn damage_is_told_without_telling_what_was_written(node: &str) {
    let place = Place::make(node).await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    let history = place.history().await;
    history.apply(scribe.whole()).await.unwrap();
    place.execute("UPDATE {}.conversations SET creator = 'a secret' WHERE conversation = 'tea'").await;
    let error = history.snapshot(scribe.partition, &tea(), Depth::Look).await.unwrap_err();
    assert!(matches!(error, HistoryError::Damaged { .. }), "{error:?}");
    assert!(
        error.to_string().contains("column creator ") && !error.to_string().contains("secret"),
        "{error}"
    );
    place.execute("INSERT INTO {}.buckets (conversation, bucket) VALUES ('tea', 7)").await;
    let error = history.digest().await.unwrap_err();
    assert!(error.to_string().contains("list of buckets"), "{error}");
}
