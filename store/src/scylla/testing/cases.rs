//! What is promised beyond the port: fingerprints that agree over adapters, migrations, wipes, buckets. Each case takes the address of a
//! server, as `HOST:PORT`.

use kernel::{
    History,
    history::{
        Extent, HistoryError, Order,
        conformance::{
            Scribe, body,
            random::{cut, model, scene},
        },
        memory::MemoryHistory,
    },
};
use schemas::{ConversationId, Offset, Position, Visibility, caps::REPEAT_WINDOW_MS};

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

/// A conversation that spoke long ago, and then now and then: pages and the state go over all its buckets.
pub async fn pages_go_over_buckets_that_lie_far_apart(node: &str) {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    for number in 1..100_u64 {
        // At the ends of buckets and at their starts; some have two.
        let edge = number * number * bucket::WIDTH.unsigned_abs();
        scribe.next = Offset::new(edge - number % 2);
        scribe.does("ann", &format!("m{number}"), body::posted("now and then"));
        scribe.does("ann", &format!("r{number}"), body::reacted(&format!("m{number}"), "yes", true));
    }
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
    let depth = kernel::history::Depth::Look;
    let error = history.snapshot(scribe.partition, &tea(), depth).await.unwrap_err();
    assert!(matches!(error, HistoryError::Damaged { .. }), "{error:?}");
    assert!(
        error.to_string().contains("column creator ") && !error.to_string().contains("secret"),
        "{error}"
    );
    place.execute("INSERT INTO {}.buckets (conversation, bucket) VALUES ('tea', 7)").await;
    let error = history.digest().await.unwrap_err();
    assert!(error.to_string().contains("list of buckets"), "{error}");
}
