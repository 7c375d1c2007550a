//! How long the fold remembers ids and messages.

use schemas::caps::REPEAT_WINDOW_MS;

use super::*;
use crate::conversation::Repeats;

/// `bob` posts `m`, and so much later something else happens.
fn after(millis: i64) -> Case {
    let mut case = Case { now: 1_000, ..Case::open() };
    case.fold("bob", "m", body::posted("hi")).unwrap();
    case.now += millis;
    case.does("ann", body::retitled("Tea"));
    case
}

#[test]
fn an_id_is_known_to_the_edge_of_the_window_and_not_beyond() {
    let mut edge = after(REPEAT_WINDOW_MS);
    assert_eq!(edge.fold("bob", "m", body::posted("hi")), Err(Void::Repeated(event_id("m"))));
    let seen = edge.state().repeats.find(&event_id("m")).unwrap();
    assert_eq!((seen.offset, &seen.actor, seen.type_name), (Offset::new(2), &user("bob"), "MessagePosted"));
    let mut beyond = after(REPEAT_WINDOW_MS + 1);
    assert_eq!(beyond.state().repeats.find(&event_id("m")), None);
    assert_eq!(beyond.fold("bob", "m", body::posted("hi")), Ok(()), "ingest looks further back");
}

#[test]
fn the_window_moves_with_valid_events_alone() {
    let mut case = after(REPEAT_WINDOW_MS);
    case.now += REPEAT_WINDOW_MS;
    case.refuses("zoe", body::retitled("Coffee"), Refusal::RoleTooLow);
    assert_eq!(case.fold("bob", "m", body::posted("hi")), Err(Void::Repeated(event_id("m"))));
}

#[test]
fn authorship_is_known_to_the_edge_of_the_window_and_not_beyond() {
    after(REPEAT_WINDOW_MS).refuses("cid", body::edited("m", "ho"), Refusal::NotTheAuthor);
    after(REPEAT_WINDOW_MS + 1).does("cid", body::edited("m", "ho"));
}

#[test]
fn a_redaction_is_remembered_from_when_it_happened() {
    let mut case = after(REPEAT_WINDOW_MS);
    case.does("bob", body::redacted("m"));
    case.now += REPEAT_WINDOW_MS;
    case.does("ann", body::retitled("Tea"));
    case.refuses("bob", body::edited("m", "ho"), Refusal::Redacted);
    case.now += 1;
    case.does("ann", body::retitled("Tea"));
    case.does("bob", body::edited("m", "ho"));
}

#[test]
fn time_that_runs_back_forgets_nothing_early() {
    let mut case = after(REPEAT_WINDOW_MS);
    case.now -= 5_000;
    case.does("ann", body::retitled("Tea"));
    assert!(case.state().repeats.find(&event_id("m")).is_some());
}

/// More notes than there may be in one millisecond: what goes is the oldest, and a redaction outlives the note of its
/// post, so that a state that was loaded knows as much as one that was folded.
#[test]
fn the_notes_are_bounded_and_the_oldest_go_first() {
    let event = |id: &str, body: EventBody| ChatEvent {
        event_id: event_id(id),
        conversation: "tea".parse().unwrap(),
        actor: user("bob"),
        occurred_at: Timestamp::default(),
        body,
    };
    let mut repeats = Repeats::default();
    let mut later = Repeats::default();
    let mut next = 0;
    let mut note = |event: &ChatEvent, all: bool| {
        let fact = Fact { event, offset: Offset::new(next), recorded_at: Timestamp::default() };
        next += 1;
        repeats.note(fact);
        if all {
            later.note(fact);
        }
    };
    note(&event("m", body::posted("hi")), false);
    note(&event("r", body::redacted("m")), true);
    for number in 0..Repeats::LEN_MAX - 2 {
        note(&event(&format!("e{number}"), body::read(1)), true);
    }
    assert_eq!(repeats.find(&event_id("m")), None, "one too many");
    assert!(repeats.find(&event_id("r")).is_some());
    assert!(repeats.message(&event_id("m")).is_some_and(|facts| facts.redacted));
    assert_eq!(repeats, later, "noting the last events is enough");
}

#[test]
fn the_window_says_how_far_back_it_reaches() {
    let case = after(REPEAT_WINDOW_MS);
    assert_eq!(
        case.state().repeats.since(),
        Timestamp::from_millis(1_000),
        "when m was posted, which it knows"
    );
    let mut repeats = Repeats::default();
    for number in 0..=Repeats::LEN_MAX {
        let event = ChatEvent {
            event_id: event_id(&format!("e{number}")),
            conversation: "tea".parse().unwrap(),
            actor: user("bob"),
            occurred_at: Timestamp::default(),
            body: body::read(1),
        };
        let recorded_at = Timestamp::from_millis(i64::try_from(number / 2).unwrap());
        repeats.note(Fact { event: &event, offset: Offset::new(number as u64), recorded_at });
    }
    // e0 had to go, e1 of the same moment is there: only of the moments after that everything is.
    assert!(repeats.find(&event_id("e0")).is_none() && repeats.find(&event_id("e1")).is_some());
    assert_eq!(repeats.since(), Timestamp::from_millis(1));
}
