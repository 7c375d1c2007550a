use std::sync::Arc;

use schemas::{
    Offset, Visibility,
    event::{ConversationChanged, MemberJoined},
};

use super::*;
use crate::testing::{at, created, event, posted};

fn stored(offset: u64, event: schemas::ChatEvent) -> StoredEvent {
    let recorded_at = Timestamp::from_millis(1_800_000_000_000);
    let value = bytes::Bytes::new();
    StoredEvent { offset: Offset::new(offset), recorded_at, value, event: Arc::new(event), void: false }
}

fn titled(id: &str, title: &str) -> schemas::ChatEvent {
    event("tea", id, "ann", ConversationChanged { title: title.parse().ok(), archived: None })
}

/// At offsets 2, 5, 6, 9, 10; the one at 6 is void.
fn events() -> Vec<StoredEvent> {
    let joined = event("tea", "j", "bob", MemberJoined { member: "bob".parse().unwrap() });
    let mut events = vec![
        stored(2, at(100, created("tea", "ann", Visibility::Open))),
        stored(5, at(200, titled("t-1", "one"))),
        stored(6, at(250, titled("t-v", "void"))),
        stored(9, at(300, joined)),
        stored(10, at(400, titled("t-2", "two"))),
    ];
    events[2].void = true;
    events
}

fn shown(as_of: &str) -> Option<(Option<String>, usize, u64)> {
    let mut state = None;
    // In pages of two, as it comes from the history.
    for page in events().chunks(2) {
        fold_at(&mut state, page, as_of.parse().unwrap());
    }
    let state: ConversationState = state?;
    Some((
        state.title.as_ref().map(|title| title.as_str().to_owned()),
        state.members().count(),
        state.position.get(),
    ))
}

#[test]
fn a_position_shows_what_lies_before_it() {
    assert_eq!(shown("0"), None);
    assert_eq!(shown("2"), None);
    assert_eq!(shown("3"), Some((None, 1, 3)));
    assert_eq!(shown("5"), Some((None, 1, 3)));
    for between in ["6", "7", "9"] {
        assert_eq!(shown(between), Some((Some("one".into()), 1, 6)));
    }
    assert_eq!(shown("10"), Some((Some("one".into()), 2, 10)));
    assert_eq!(shown("9223372036854775807"), Some((Some("two".into()), 2, 11)));
}

#[test]
fn a_time_shows_what_had_occurred_by_then() {
    assert_eq!(shown("1970-01-01T00:00:00.099Z"), None);
    assert_eq!(shown("1970-01-01T00:00:00.100Z"), Some((None, 1, 3)));
    assert_eq!(shown("1970-01-01T00:00:00.299Z"), Some((Some("one".into()), 1, 6)));
    assert_eq!(shown("1970-01-01T00:00:00.300Z"), Some((Some("one".into()), 2, 10)));
    assert_eq!(shown("2024-01-01T00:00:00+02:00"), Some((Some("two".into()), 2, 11)));
}

#[test]
fn an_event_of_a_later_time_in_between_is_left_out() {
    let mut events = events();
    events[1] = stored(5, at(9_000, titled("t-1", "one")));
    let mut state = None;
    fold_at(&mut state, &events, AsOf::Time(Timestamp::from_millis(300)));
    let state = state.unwrap();
    assert_eq!(state.title, None);
    assert_eq!(state.members().count(), 2);
    fold_at(
        &mut None,
        &[stored(0, at(1, event("tea", "m", "ann", posted("hi"))))],
        AsOf::Position(Position::new(9)),
    );
}

#[test]
fn what_names_no_moment_is_refused() {
    for bad in ["", "-1", "+1", "9223372036854775808", "yesterday", "2024-01-01"] {
        assert_eq!(bad.parse::<AsOf>(), Err(AsOfError), "{bad}");
    }
}
