use std::sync::Arc;

use bytes::Bytes;
use kernel::testing::{event, posted};
use schemas::{ChatEvent, Offset, Timestamp, event::ReadMarkerMoved};

use super::*;

fn row(user: &str, conversation: &str) -> Row {
    (user.parse().unwrap(), conversation.parse().unwrap())
}

fn tally(offset: u64, unread: u32) -> Tally {
    Tally { offset: Position::new(offset), read_up_to: Position::START, unread, mentions: 0 }
}

fn stored(offset: u64, event: ChatEvent) -> StoredEvent {
    let (offset, recorded_at) = (Offset::new(offset), Timestamp::from_millis(0));
    StoredEvent { offset, recorded_at, value: Bytes::new(), event: Arc::new(event), void: false }
}

fn at(position: u64) -> Position {
    Position::new(position)
}

/// Bob and cid are told of `tea`, which is at 5.
fn register() -> Register {
    let mut register = Register::default();
    for name in ["bob", "cid"] {
        register.enter(&name.parse().unwrap());
        register.load(row(name, "tea"), tally(5, 0), at(5));
        register.loaded(&name.parse().unwrap());
    }
    register
}

fn follow(register: &mut Register, events: &[StoredEvent]) {
    register.follow(&"tea".parse().unwrap(), events);
}

/// Who is told of which offset and how much that is unread; nothing of that: they are gone.
fn told(register: &mut Register) -> Vec<(String, Option<(u64, u32)>)> {
    let told = |(user, news): (UserId, News)| match news {
        News::Entry(Entry { tally, .. }) => (user.to_string(), Some((tally.offset.get(), tally.unread))),
        News::Gone(_) => (user.to_string(), None),
    };
    register.news().into_iter().map(told).collect()
}

fn entry(name: &str, offset: u64, unread: u32) -> (String, Option<(u64, u32)>) {
    (name.to_owned(), Some((offset, unread)))
}

#[test]
fn everybody_is_told_what_is_new_for_them_once() {
    let mut register = register();
    follow(&mut register, &[stored(5, posted("tea", "m", "bob")), stored(6, posted("tea", "n", "ann"))]);
    assert_eq!(told(&mut register), [entry("bob", 7, 1), entry("cid", 7, 2)]);
    assert_eq!(told(&mut register), []);
    let read = event("tea", "k", "cid", ReadMarkerMoved { up_to: at(7) });
    follow(&mut register, &[stored(7, read)]);
    assert_eq!(told(&mut register), [entry("cid", 7, 0)], "bob's is as before");
}

#[test]
fn a_void_event_is_nothing_new() {
    let mut register = register();
    let void = StoredEvent { void: true, ..stored(5, posted("tea", "m", "ann")) };
    follow(&mut register, &[void]);
    assert_eq!(told(&mut register), []);
    assert_eq!(register.place(&"tea".parse().unwrap()), Some(at(6)));
}

#[test]
fn a_marker_amidst_what_is_unread_is_counted_again() {
    let mut register = register();
    let read = event("tea", "k", "cid", ReadMarkerMoved { up_to: at(6) });
    let news = [stored(5, posted("tea", "m", "ann")), stored(6, posted("tea", "n", "ann")), stored(7, read)];
    follow(&mut register, &news);
    assert_eq!(register.recounts(), [row("cid", "tea")]);
    register.counted(&row("cid", "tea"), Some(tally(7, 1)));
    assert_eq!(register.recounts(), []);
    assert_eq!(told(&mut register), [entry("bob", 7, 2), entry("cid", 7, 1)]);
}

#[test]
fn who_comes_is_told_and_who_goes_is_told_so() {
    let mut register = register();
    register.enter(&"dan".parse().unwrap());
    register.recount(row("dan", "inn"), at(3));
    assert!(!register.counted(&row("dan", "inn"), Some(tally(3, 2))));
    assert_eq!(register.place(&"inn".parse().unwrap()), Some(at(3)));
    assert_eq!(told(&mut register), [entry("dan", 3, 2)]);
    register.recount(row("dan", "inn"), at(4));
    assert!(register.counted(&row("dan", "inn"), None), "nobody is told of it any more");
    assert_eq!(told(&mut register), [("dan".to_owned(), None)]);
    register.recount(row("dan", "inn"), at(5));
    assert!(register.counted(&row("dan", "inn"), None));
    assert_eq!(told(&mut register), [("dan".to_owned(), None)], "a list may have told it in between");
    register.recount(row("eve", "inn"), at(5));
    register.counted(&row("eve", "inn"), None);
    assert_eq!(told(&mut register), [], "eve is not here");
    assert_eq!(register.entries(), 2);
}

#[test]
fn who_came_back_before_it_was_told_did_not_go() {
    let mut register = register();
    register.recount(row("bob", "tea"), at(6));
    register.counted(&row("bob", "tea"), None);
    register.recount(row("bob", "tea"), at(7));
    register.counted(&row("bob", "tea"), Some(tally(7, 0)));
    assert_eq!(told(&mut register), [entry("bob", 7, 0)]);
}

#[test]
fn the_last_session_of_a_person_takes_everything_along() {
    let mut register = register();
    let bob = "bob".parse().unwrap();
    register.enter(&bob);
    assert_eq!(register.leave(&bob), None, "another one is here");
    assert_eq!(register.leave(&bob), Some(Vec::new()), "cid is told of tea still");
    assert_eq!(register.leave(&bob), None);
    register.load(row("bob", "tea"), tally(9, 9), at(9));
    assert_eq!(register.entries(), 1, "nothing is kept for who is not here");
    assert_eq!(register.leave(&"cid".parse().unwrap()), Some(vec!["tea".parse().unwrap()]));
    assert_eq!((register.entries(), register.place(&"tea".parse().unwrap())), (0, None));
}

#[test]
fn who_comes_later_than_what_others_know_is_counted_again() {
    let mut register = register();
    let events = [stored(5, posted("tea", "m", "ann")), stored(6, posted("tea", "n", "ann"))];
    register.enter(&"dan".parse().unwrap());
    follow(&mut register, &events);
    told(&mut register);
    // Dan's were read from before the first of them on, and are put in after both.
    assert!(register.load(row("dan", "tea"), tally(5, 0), at(5)));
    assert_eq!(register.recounts(), [row("dan", "tea")]);
    register.counted(&row("dan", "tea"), Some(tally(7, 2)));
    assert_eq!(told(&mut register), [entry("dan", 7, 2)]);
    register.enter(&"eve".parse().unwrap());
    assert!(!register.load(row("eve", "tea"), tally(7, 2), at(7)), "others know no more");
}

#[test]
fn what_was_counted_while_all_were_read_is_newer() {
    let mut register = register();
    let dan = "dan".parse().unwrap();
    register.enter(&dan);
    for (name, tally_now) in [("tea", None), ("inn", Some(tally(9, 3)))] {
        register.recount(row("dan", name), at(9));
        register.counted(&row("dan", name), tally_now);
    }
    assert!(!register.load(row("dan", "tea"), tally(5, 0), at(5)));
    assert!(!register.load(row("dan", "inn"), tally(5, 0), at(5)));
    register.loaded(&dan);
    assert_eq!(register.tally(&row("dan", "tea")), None, "dan left meanwhile");
    assert_eq!(register.tally(&row("dan", "inn")), Some(tally(9, 3)));
}
