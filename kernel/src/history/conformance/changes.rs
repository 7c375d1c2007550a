//! Every kind of change, seen through the questions.

use schemas::{ConversationId, Offset, Position, Timestamp, Visibility, event::Role, event::Style};

use super::{Fixture, Scribe, body, event_id, user};
use crate::{
    conversation::Standing,
    history::{Depth, Extent, Listed, Message, Post, Reaction, SharedHistory},
};

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

async fn listed(history: &SharedHistory, name: &str) -> Option<Listed> {
    let mut list = history.conversations_of(&user(name), None, 10).await.unwrap();
    assert!(list.len() <= 1, "there is one conversation: {list:?}");
    let alone = history.listed(&user(name), &tea()).await.unwrap();
    assert_eq!(alone, list.pop(), "asked for alone it is the same");
    alone
}

async fn message(history: &SharedHistory, id: &str) -> Message {
    let messages = history.messages(&tea(), Extent::ALL).await.unwrap();
    messages.into_iter().find(|message| message.message_id == event_id(id)).expect("the message is there")
}

fn occurred(scribe: &Scribe, offset: Offset) -> Timestamp {
    scribe.stored(offset).event.occurred_at
}

/// A scribe in whose log `ann` owns `tea`, an open conversation with `bob`.
fn begun() -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe.advance(10);
    scribe
}

/// Owner and member have it in their list; a stranger has not.
pub async fn a_created_conversation_is_listed_for_its_members(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let scribe = begun();
    history.apply(scribe.whole()).await.unwrap();
    let expected = Listed {
        conversation: tea(),
        title: None,
        visibility: Visibility::Open,
        archived: false,
        standing: Standing::Owner,
        last_offset: Position::new(1),
        last_at: occurred(&scribe, Offset::new(0)),
        read_up_to: Position::START,
    };
    assert_eq!(listed(&history, "ann").await, Some(expected.clone()));
    assert_eq!(listed(&history, "bob").await, Some(Listed { standing: Standing::Member, ..expected }));
    assert_eq!(listed(&history, "cid").await, None);
}

/// Each of the two leaves the other as it was; `last_*` follow.
pub async fn a_title_and_an_archived_flag_change_apart(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("ann", "t", body::retitled("Tea at five"));
    history.apply(scribe.whole()).await.unwrap();
    let shown = listed(&history, "ann").await.unwrap();
    assert_eq!((shown.title.as_ref().unwrap().as_str(), shown.archived), ("Tea at five", false));
    scribe.advance(10);
    let last = scribe.does("ann", "a", body::archived(true));
    history.apply(scribe.batch(2, 3)).await.unwrap();
    let shown = listed(&history, "ann").await.unwrap();
    assert_eq!((shown.title.as_ref().unwrap().as_str(), shown.archived), ("Tea at five", true));
    assert_eq!((shown.last_offset, shown.last_at), (last.position(), occurred(&scribe, last)));
    scribe.does("ann", "o", body::archived(false));
    history.apply(scribe.batch(3, 4)).await.unwrap();
    assert!(!listed(&history, "ann").await.unwrap().archived);
}

/// Joined, promoted, renamed, left, removed.
pub async fn every_change_of_standing_shows(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    let acts = [
        ("cid", body::joined("cid"), "cid", Some(Standing::Member)),
        ("ann", body::role("cid", Role::Moderator), "cid", Some(Standing::Moderator)),
        ("ann", body::role("cid", Role::Owner), "cid", Some(Standing::Owner)),
        ("cid", body::renamed("dan"), "dan", Some(Standing::Owner)),
        ("bob", body::left(), "bob", Some(Standing::Left)),
        ("dan", body::removed("ann"), "ann", Some(Standing::Removed)),
        ("dan", body::joined("ann"), "ann", Some(Standing::Member)),
    ];
    for (number, (actor, body, whom, expected)) in acts.into_iter().enumerate() {
        let offset = scribe.does(actor, &format!("e{number}"), body);
        history.apply(scribe.batch(offset.get(), offset.get() + 1)).await.unwrap();
        if number == 0 {
            // The founding comes late, and so disturbs nothing.
            history.apply(scribe.whole()).await.unwrap();
        }
        let state = history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state.unwrap();
        assert_eq!(state.standing(&user(whom)), expected, "{whom} after {number}");
        let shown = listed(&history, whom).await.map(|listed| listed.standing);
        assert_eq!(shown, expected.filter(|standing| standing.role().is_some()), "{whom} after {number}");
    }
    let state = history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state.unwrap();
    assert_eq!(state.standing(&user("cid")), Some(Standing::Left), "the old name left");
}

/// Every field, white space and all.
pub async fn a_message_comes_back_as_it_was_posted(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("bob", "m1", body::posted("  hi,\n\tthere 😀 "));
    let second = scribe.does("x|away", "m2", body::answered("waves", Style::Action, "m1"));
    history.apply(scribe.whole()).await.unwrap();
    let first = message(&history, "m1").await;
    assert_eq!(first.text.unwrap().as_str(), "  hi,\n\tthere 😀 ");
    assert_eq!((first.style, first.reply_to), (Style::Plain, None));
    let expected = Message {
        offset: second.position(),
        message_id: event_id("m2"),
        author: user("x|away"),
        text: Some("waves".parse().unwrap()),
        style: Style::Action,
        reply_to: Some(event_id("m1")),
        occurred_at: occurred(&scribe, second),
        edited_at: None,
        redacted_at: None,
        redacted_by: None,
        reactions: Vec::new(),
    };
    assert_eq!(message(&history, "m2").await, expected);
}

/// The last text counts, everything else stays.
pub async fn an_edit_replaces_the_text_and_says_when(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("bob", "m", body::posted("teh"));
    history.apply(scribe.whole()).await.unwrap();
    let before = message(&history, "m").await;
    scribe.advance(10);
    scribe.does("bob", "e1", body::edited("m", "th"));
    scribe.advance(10);
    let last = scribe.does("bob", "e2", body::edited("m", "the"));
    history.apply(scribe.batch(2, 4)).await.unwrap();
    let text = Some("the".parse().unwrap());
    let expected = Message { text, edited_at: Some(occurred(&scribe, last)), ..before };
    assert_eq!(message(&history, "m").await, expected);
}

/// Whatever edits there are. Who did it and when is told.
pub async fn a_redaction_hides_the_text_for_good(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("bob", "m", body::posted("oh"));
    scribe.does("bob", "e", body::edited("m", "oh no"));
    scribe.does("bob", "k", body::posted("kept"));
    scribe.advance(10);
    let offset = scribe.does("ann", "r", body::redacted("m"));
    history.apply(scribe.whole()).await.unwrap();
    let shown = message(&history, "m").await;
    assert_eq!((&shown.text, shown.redacted_by), (&None, Some(user("ann"))));
    assert_eq!(shown.redacted_at, Some(occurred(&scribe, offset)));
    assert_eq!(shown.author, user("bob"));
    assert!(message(&history, "k").await.text.is_some());
    history.apply(scribe.batch(1, 3)).await.unwrap();
    assert_eq!(message(&history, "m").await.text, None, "the edit came again");
}

/// Whatever became of it since.
pub async fn a_post_stays_as_it_was_posted(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    let offset = scribe.does("bob", "m", body::posted("teh @ann"));
    scribe.does("bob", "e", body::edited("m", "the"));
    scribe.does("ann", "r", body::redacted("m"));
    history.apply(scribe.whole()).await.unwrap();
    let expected = Post { offset, author: user("bob"), text: "teh @ann".parse().unwrap() };
    assert_eq!(history.posts(&tea(), Extent::ALL).await.unwrap(), [expected]);
}

/// By emoji, both in the order of their bytes; who took it back is not named.
pub async fn reactions_name_those_who_are_present(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("bob", "m", body::posted("cake?"));
    let acts = [("cid", "yes", true), ("bob", "yes", true), ("Dan", "😀", true), ("ann", "no", true)];
    let more = [("ann", "no", false), ("cid", "yes", true), ("bob", "Yes", true)];
    for (number, (who, emoji, present)) in acts.into_iter().chain(more).enumerate() {
        scribe.does(who, &format!("r{number}"), body::reacted("m", emoji, present));
    }
    history.apply(scribe.whole()).await.unwrap();
    let reaction = |emoji: &str, users: &[&str]| Reaction {
        emoji: emoji.parse().unwrap(),
        users: users.iter().map(|name| user(name)).collect(),
    };
    let expected =
        vec![reaction("Yes", &["bob"]), reaction("yes", &["bob", "cid"]), reaction("😀", &["Dan"])];
    assert_eq!(message(&history, "m").await.reactions, expected);
    scribe.does("Dan", "back", body::reacted("m", "😀", false));
    history.apply(scribe.whole()).await.unwrap();
    assert_eq!(message(&history, "m").await.reactions, expected[..2]);
}

/// The last one counts, even if it names an earlier place. To have read is no activity: `last_*` stay.
pub async fn a_read_marker_is_that_of_its_person(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("bob", "r1", body::read(1));
    scribe.does("bob", "r2", body::read(3));
    history.apply(scribe.whole()).await.unwrap();
    assert_eq!(listed(&history, "bob").await.unwrap().read_up_to, Position::new(3));
    assert_eq!(listed(&history, "ann").await.unwrap().read_up_to, Position::START);
    scribe.does("bob", "r3", body::read(2));
    history.apply(scribe.whole()).await.unwrap();
    assert_eq!(listed(&history, "bob").await.unwrap().read_up_to, Position::new(2));
    let shown = listed(&history, "ann").await.unwrap();
    assert_eq!((shown.last_offset, shown.last_at), (Position::new(1), occurred(&scribe, Offset::new(0))));
    let state = history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state;
    assert_eq!(state.as_ref(), scribe.state(&tea()));
    let state = state.unwrap();
    assert_eq!((state.position, state.last_at), (shown.last_offset, shown.last_at));
    assert!(state.repeats.find(&event_id("r3")).is_some());
}

/// Value, place and time are those of the record.
pub async fn an_event_comes_back_byte_for_byte(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.skip();
    scribe.does("bob", "m", body::posted("😀"));
    scribe.act("inn", "bob", "m", body::created(Visibility::Private, &[])).unwrap();
    history.apply(scribe.whole()).await.unwrap();
    let expected: Vec<_> = scribe.projected[..2].iter().map(|projected| projected.event.clone()).collect();
    assert_eq!(history.events(&tea(), Extent::ALL).await.unwrap(), expected);
}

/// They are told as events, marked; nothing else shows them.
pub async fn void_events_are_kept_and_change_nothing(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    scribe.does("bob", "m", body::posted("mine"));
    let valid = scribe.tail();
    scribe.act("tea", "cid", "v1", body::edited("m", "yours")).unwrap_err();
    scribe.act("tea", "cid", "v2", body::retitled("Mine")).unwrap_err();
    scribe.act("tea", "cid", "m", body::posted("again")).unwrap_err();
    history.apply(scribe.whole()).await.unwrap();
    let events = history.events(&tea(), Extent::ALL).await.unwrap();
    let voids: Vec<_> = events.iter().map(|event| event.void).collect();
    assert_eq!(voids, [false, false, true, true, true]);
    assert_eq!(message(&history, "m").await.text.unwrap().as_str(), "mine");
    assert_eq!(history.messages(&tea(), Extent::ALL).await.unwrap().len(), 1);
    assert_eq!(history.find(&tea(), &event_id("v1")).await.unwrap(), None);
    let shown = listed(&history, "ann").await.unwrap();
    assert_eq!((shown.title, shown.last_offset), (None, valid));
    // Of a conversation that has only void events, nothing is known but they.
    scribe.act("inn", "bob", "v3", body::posted("anybody here?")).unwrap_err();
    history.apply(scribe.whole()).await.unwrap();
    let inn = "inn".parse().unwrap();
    assert_eq!(history.events(&inn, Extent::ALL).await.unwrap().len(), 1);
    assert_eq!(history.snapshot(scribe.partition, &inn, Depth::Fold).await.unwrap().state, None);
}

/// With what a retry needs to know.
pub async fn an_event_is_found_by_its_id(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    let offset = scribe.does("bob", "m", body::posted("oh"));
    history.apply(scribe.whole()).await.unwrap();
    let found = history.find(&tea(), &event_id("m")).await.unwrap().unwrap();
    assert_eq!((found.offset, found.recorded_at), (offset, scribe.stored(offset).recorded_at));
    let what = (found.actor, found.type_name.as_str(), found.redacted);
    assert_eq!(what, (user("bob"), "MessagePosted", false));
    scribe.does("bob", "r", body::redacted("m"));
    // Nobody has to write to a message for it to be named in an event.
    scribe.does("bob", "odd", body::redacted("c"));
    history.apply(scribe.whole()).await.unwrap();
    assert!(history.find(&tea(), &event_id("m")).await.unwrap().unwrap().redacted);
    let founding = history.find(&tea(), &event_id("c")).await.unwrap().unwrap();
    assert_eq!((founding.type_name.as_str(), founding.redacted), ("ConversationCreated", false));
    assert_eq!(history.find(&tea(), &event_id("unknown")).await.unwrap(), None);
    assert_eq!(history.find(&"inn".parse().unwrap(), &event_id("m")).await.unwrap(), None);
}

/// As one by one, however many they are, and also where an id is asked for twice.
pub async fn many_events_are_found_at_once_each_in_the_place_of_its_id(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    let mut ids: Vec<_> = (0..150).map(|n| event_id(&format!("m{n}"))).collect();
    // Every third is not there; some of the others have rows of reactions beside them.
    for id in ids.iter().enumerate().filter(|(n, _)| n % 3 > 0).map(|(_, id)| id.as_str()) {
        scribe.does("bob", id, body::posted("oh"));
    }
    for (n, id) in [("r1", "m1"), ("r2", "m4"), ("r3", "m4")] {
        scribe.does("ann", n, body::reacted(id, n, true));
    }
    history.apply(scribe.whole()).await.unwrap();
    ids.push(event_id("m1"));
    let found = history.find_all(&tea(), &ids).await.unwrap();
    assert_eq!(found.len(), ids.len());
    for (id, found) in ids.iter().zip(found) {
        assert_eq!(found, history.find(&tea(), id).await.unwrap(), "{id}");
    }
    assert_eq!(history.find_all(&tea(), &[]).await.unwrap(), []);
    assert_eq!(history.find_all(&"inn".parse().unwrap(), &ids[..2]).await.unwrap(), [None, None]);
}

/// An id that the fold has forgotten may be used again; a retry is still told of the first use.
pub async fn the_first_event_with_an_id_is_the_one_that_is_found(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = begun();
    let first = scribe.does("bob", "t", body::reacted("m", "yes", true));
    scribe.advance(schemas::caps::REPEAT_WINDOW_MS + 1);
    scribe.does("ann", "other", body::retitled("Tea"));
    let second = scribe.does("ann", "t", body::retitled("Tea at five"));
    for batch in [scribe.batch(second.get(), second.get() + 1), scribe.batch(0, second.get())] {
        history.apply(batch).await.unwrap();
    }
    history.apply(scribe.whole()).await.unwrap();
    let found = history.find(&tea(), &event_id("t")).await.unwrap().unwrap();
    assert_eq!((found.offset, found.actor, found.type_name.as_str()), (first, user("bob"), "ReactionAdded"));
}
