use kernel::history::Change;
use rand::{Rng, SeedableRng, rngs::SmallRng};
use schemas::{Partition, Visibility, event::MessageEdited};

use super::*;
use crate::testing::{
    append, append_value, created, encoded, event, from_the_future, memory_log, posted, records, workload,
};

const P0: Partition = Partition(0);

/// Projects records, all before the first of which was projected.
fn projected(records: &[Record], states: &mut States) -> Projection {
    let from = records.first().map_or(Position::START, |first| Position::new(first.offset.get()));
    project(&Codec::default(), from, records, states)
}

/// Projects all records, cut as `cut` says, and tells what came out.
fn in_cuts(records: &[Record], mut cut: impl FnMut() -> usize) -> Vec<String> {
    let (mut states, mut rest, mut out) = (States::default(), records, Vec::new());
    while !rest.is_empty() {
        let (some, others) = rest.split_at(cut().clamp(1, rest.len()));
        let projection = projected(some, &mut states);
        assert_eq!(projection.up_to, some.last().unwrap().offset.position());
        for Projected { event, changes } in projection.events {
            // The texts do not show in `{:?}`: the bytes do.
            out.push(format!("{} {} {:?} {changes:?}", event.offset, event.void, event.value));
        }
        rest = others;
    }
    out
}

#[tokio::test]
async fn however_the_records_are_cut_the_same_comes_out() {
    for seed in 0..20 {
        let log = memory_log(1);
        append(&log, &workload(seed, 400)).await;
        let records = records(&log, P0).await;
        let whole = in_cuts(&records, || usize::MAX);
        assert_eq!(whole.len(), 400);
        assert!(whole.iter().any(|line| line.contains(" true ")), "some are void");
        assert!(whole.iter().any(|line| line.contains("Stands")), "some change who stands how");
        let mut rng = SmallRng::seed_from_u64(seed);
        assert_eq!(whole, in_cuts(&records, || 1));
        assert_eq!(whole, in_cuts(&records, || rng.random_range(1..50)));
    }
}

#[tokio::test]
async fn a_void_event_is_kept_and_changes_nothing() {
    let log = memory_log(1);
    let events = [
        created("tea", "ann", Visibility::Open),
        event("tea", "m-1", "ann", posted("hi")),
        event("tea", "m-1", "bob", posted("the same id")),
        event(
            "tea",
            "m-2",
            "bob",
            MessageEdited { message_id: "m-1".parse().unwrap(), text: "x".parse().unwrap() },
        ),
    ];
    append(&log, &events).await;
    let records = records(&log, P0).await;
    let projection = projected(&records, &mut States::default());
    let events = projection.events;
    assert_eq!(events.iter().map(|event| event.event.void).collect::<Vec<_>>(), [false, false, true, true]);
    assert!(matches!(&events[1].changes[..], [Change::Posted { author, .. }] if author.as_str() == "ann"));
    assert!(events[2].changes.is_empty() && events[3].changes.is_empty());
    assert_eq!(events[2].event.value, records[2].value);
}

#[tokio::test]
async fn what_is_no_event_is_passed_over_and_the_position_moves_on() {
    let log = memory_log(1);
    append(&log, &[created("tea", "ann", Visibility::Open)]).await;
    append_value(&log, "tea", "garbage".into()).await;
    append_value(&log, "milk", encoded(&event("tea", "m-1", "ann", posted("hi"))).value).await;
    let mut records = records(&log, P0).await;
    let projection = projected(&records, &mut States::default());
    assert_eq!(projection.events.len(), 1);
    assert_eq!(projection.up_to, Position::new(3));
    let offsets: Vec<_> = projection.passed_over.iter().map(|record| record.offset.get()).collect();
    assert_eq!(offsets, [1, 2]);
    // A key that is no text at all.
    records[0].key = (&[0xff, 0xfe][..]).into();
    let projection = projected(&records, &mut States::default());
    assert_eq!((projection.events.len(), projection.passed_over.len()), (0, 3));
}

#[tokio::test]
async fn nothing_behind_a_record_of_an_unknown_schema_is_touched() {
    let log = memory_log(1);
    append(&log, &[created("tea", "ann", Visibility::Open)]).await;
    append_value(&log, "tea", from_the_future()).await;
    append(&log, &[event("tea", "m-1", "ann", posted("hi"))]).await;
    let records = records(&log, P0).await;
    let projection = projected(&records, &mut States::default());
    assert_eq!(projection.events.len(), 1);
    assert_eq!(projection.up_to, Position::new(1));
    assert_eq!(projection.unread, Some(Unread { offset: Offset::new(1), schema: SchemaId(99) }));
    let projection = projected(&records[1..], &mut States::default());
    assert_eq!((projection.events.len(), projection.up_to), (0, Position::new(1)));
}

#[tokio::test]
async fn a_record_that_comes_again_is_left_out() {
    let log = memory_log(1);
    append(&log, &[created("tea", "ann", Visibility::Open), event("tea", "m-1", "ann", posted("hi"))]).await;
    let records = records(&log, P0).await;
    let mut states = States::default();
    projected(&records, &mut states);
    let again = projected(&records, &mut states);
    assert!(again.events.is_empty());
    assert_eq!(again.up_to, Position::new(2));
}
