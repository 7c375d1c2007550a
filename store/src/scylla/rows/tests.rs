use std::collections::BTreeSet;

use kernel::history::conformance::{Scribe, body};
use schemas::{Visibility, caps::REPEAT_WINDOW_MS};

use super::*;

fn inserts<'a>(rows: impl IntoIterator<Item = &'a Row<'a>>) -> Vec<Insert> {
    rows.into_iter().map(Row::insert).collect()
}

fn begun() -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe
}

#[test]
fn a_posted_message_is_two_rows_and_the_last_event_of_its_conversation() {
    let mut scribe = begun();
    let post = scribe.does("bob", "m", body::posted("hi"));
    let batch = scribe.batch(post.get(), post.get() + 1);
    let rows = Rows::of(&batch);
    assert_eq!(inserts(&rows.loose), [Insert::Event, Insert::Id]);
    assert!(matches!(rows.loose[0].values, Values::Event { post: true, .. }));
    assert_eq!(rows.states.len(), 1);
    assert_eq!(inserts(&rows.states[0].0), [Insert::Last]);
    assert_eq!(rows.buckets.len(), 1);
}

#[test]
fn a_void_event_is_one_row_and_no_message() {
    let mut scribe = begun();
    scribe.does("bob", "m", body::posted("hi"));
    let void = scribe.tail().get();
    scribe.act("tea", "bob", "m", body::posted("again")).unwrap_err();
    let batch = scribe.batch(void, void + 1);
    let rows = Rows::of(&batch);
    assert!(matches!(rows.loose[..], [Row { values: Values::Event { post: false, .. }, .. }]), "{rows:?}");
    assert!(rows.states.is_empty());
}

#[test]
fn to_have_read_leaves_the_state_alone() {
    let mut scribe = begun();
    let read = scribe.does("bob", "r", body::read(1));
    let batch = scribe.batch(read.get(), read.get() + 1);
    let rows = Rows::of(&batch);
    assert_eq!(inserts(&rows.loose), [Insert::Event, Insert::Id, Insert::Read]);
    assert!(rows.states.is_empty());
}

#[test]
fn all_that_a_batch_changes_in_a_state_is_one_unit_with_each_column_once() {
    let mut scribe = begun();
    scribe.act("inn", "ann", "c", body::created(Visibility::Private, &[])).unwrap();
    for number in 0..3 {
        scribe.does("ann", &format!("t{number}"), body::retitled(&format!("Tea {number}")));
        scribe.does("ann", &format!("a{number}"), body::archived(true));
        scribe.does("ann", &format!("o{number}"), body::archived(false));
    }
    scribe.does("bob", "l", body::left());
    scribe.does("bob", "j", body::joined("bob"));
    let last = scribe.does("ann", "t", body::retitled("Tea"));
    let batch = scribe.whole();
    let rows = Rows::of(&batch);
    assert_eq!(rows.states.len(), 2);
    let tea = &rows.states[1].0;
    let expected =
        [Insert::Founding, Insert::Title, Insert::Archived, Insert::Last, Insert::Stands, Insert::Stands];
    assert_eq!(inserts(tea), expected);
    assert_eq!(tea[1].stamp, Stamp::last_wins(last));
    assert_eq!(tea[2].stamp, Stamp::last_wins(Offset::new(last.get() - 3)));
}

#[test]
fn an_id_is_stamped_so_that_the_first_event_keeps_it() {
    let mut scribe = begun();
    let first = scribe.does("ann", "m", body::posted("first"));
    scribe.advance(REPEAT_WINDOW_MS + 1);
    scribe.does("ann", "t", body::retitled("Tea"));
    let second = scribe.does("bob", "m", body::posted("second"));
    let batch = scribe.whole();
    let stamps = Rows::of(&batch).loose.into_iter().filter_map(|row| match row.values {
        Values::Id { stored, .. } if stored.event.event_id.as_str() == "m" => {
            Some((stored.offset, row.stamp))
        }
        _ => None,
    });
    let stamps: Vec<_> = stamps.collect();
    assert_eq!(stamps, [(first, Stamp::first_wins(first)), (second, Stamp::first_wins(second))]);
    assert!(stamps[0].1 > stamps[1].1);
}

#[test]
fn each_bucket_of_each_conversation_is_named_once() {
    let mut scribe = begun();
    scribe.does("ann", "m1", body::posted("1"));
    scribe.next = Offset::new(2 * bucket::WIDTH.unsigned_abs());
    scribe.does("ann", "m2", body::posted("2"));
    scribe.act("inn", "ann", "c", body::created(Visibility::Private, &[])).unwrap();
    let batch = scribe.whole();
    let named: BTreeSet<_> = Rows::of(&batch)
        .buckets
        .into_iter()
        .map(|(conversation, bucket)| (conversation.as_str(), bucket))
        .collect();
    assert_eq!(named, BTreeSet::from([("inn", 2), ("tea", 0), ("tea", 2)]));
}
