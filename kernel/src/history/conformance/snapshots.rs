//! The state of a conversation, as the fold would have it.

use std::sync::Arc;

use schemas::{ConversationId, Partition, Position, Visibility, caps::REPEAT_WINDOW_MS};

use super::{Fixture, Scribe, body, event_id, random::scene};
use crate::conversation::{ConversationState, Repeats};
use crate::history::{Depth, Snapshot};

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

/// So that whoever asks knows from where to read on.
pub async fn a_conversation_unknown_so_far_has_no_state_but_a_position(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let Snapshot { state, position } = history.snapshot(Partition(0), &tea(), Depth::Fold).await.unwrap();
    assert_eq!((state, position), (None, Position::START));
    let mut scribe = Scribe::default();
    scribe.act("inn", "ann", "c", body::created(Visibility::Open, &[])).unwrap();
    scribe.act("tea", "ann", "void", body::posted("hello?")).unwrap_err();
    history.apply(scribe.whole()).await.unwrap();
    let Snapshot { state, position } = history.snapshot(Partition(0), &tea(), Depth::Fold).await.unwrap();
    assert_eq!((state, position), (None, Position::new(2)));
}

/// Over a log of all kinds of events, void ones too, in two conversations and over more than one window of repeats. A
/// look at it has everything but the repeats.
pub async fn a_snapshot_is_the_fold_at_every_position(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let acts: Vec<_> = (0..150_u8).map(|n| [n.wrapping_mul(37), n / 3, n.wrapping_mul(91), n]).collect();
    let scribe = scene(&acts);
    assert!(scribe.projected.iter().any(|projected| projected.event.void));
    for to in 1..=scribe.tail().get() {
        history.apply(scribe.batch(to - 1, to)).await.unwrap();
        for conversation in [tea(), "inn".parse().unwrap()] {
            let Snapshot { state, position } =
                history.snapshot(scribe.partition, &conversation, Depth::Fold).await.unwrap();
            assert_eq!(position.get(), to);
            let fold = scribe.state_at(&conversation, position);
            assert_eq!(state, fold, "{conversation} at {to}");
            let seen = history.snapshot(scribe.partition, &conversation, Depth::Look).await.unwrap();
            let without_repeats = fold.map(|fold| ConversationState { repeats: Repeats::default(), ..fold });
            assert_eq!((seen.state, seen.position), (without_repeats, position), "{conversation} at {to}");
        }
    }
}

/// An event as old as the window is noted, one that is a millisecond older is not; void ones do not count.
pub async fn the_window_of_repeats_ends_where_that_of_the_fold_does(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    scribe.does("ann", "older", body::posted("1"));
    scribe.advance(1);
    scribe.does("ann", "edge", body::posted("2"));
    scribe.does("ann", "gone", body::redacted("older"));
    scribe.advance(REPEAT_WINDOW_MS);
    scribe.does("ann", "last", body::posted("3"));
    scribe.advance(REPEAT_WINDOW_MS);
    scribe.act("tea", "ann", "last", body::posted("3")).unwrap_err();
    history.apply(scribe.whole()).await.unwrap();
    let state = history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state.unwrap();
    let noted = |id: &str| state.repeats.find(&event_id(id)).is_some();
    assert_eq!([noted("older"), noted("edge"), noted("last")], [false, true, true]);
    assert!(state.repeats.message(&event_id("older")).is_some_and(|facts| facts.redacted));
    assert_eq!(Some(&state), scribe.state(&tea()));
}

/// While batches are applied, each snapshot is the fold at the end of one of them.
pub async fn a_snapshot_never_shows_half_a_batch(fixture: &impl Fixture) {
    const BATCH_LEN: u64 = 20;
    let history = fixture.open().await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    for number in 1..10 * BATCH_LEN {
        scribe.does("ann", &format!("e{number}"), body::retitled(&format!("Tea {number}")));
    }
    let scribe = Arc::new(scribe);
    let writer = {
        let (history, scribe) = (Arc::clone(&history), Arc::clone(&scribe));
        tokio::spawn(async move {
            for batch in 0..10 {
                history.apply(scribe.batch(batch * BATCH_LEN, (batch + 1) * BATCH_LEN)).await.unwrap();
                tokio::task::yield_now().await;
            }
        })
    };
    loop {
        let done = writer.is_finished();
        let Snapshot { state, position } =
            history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap();
        assert_eq!(position.get() % BATCH_LEN, 0);
        assert_eq!(state, scribe.state_at(&tea(), position), "at {position}");
        if done {
            assert_eq!(position, scribe.tail());
            break;
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}
