use bytes::Bytes;
use kernel::testing::{created, event, posted};
use schemas::{
    Offset, Timestamp, Visibility,
    event::{
        ConversationChanged, ConversationCreated, MemberJoined, MemberLeft, MemberRemoved, MemberRenamed,
        MessageEdited, MessageRedacted, ReactionAdded, ReactionRemoved, ReadMarkerMoved, Role, RoleChanged,
    },
};

use super::*;

const P0: Partition = Partition(0);

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn id(name: &str) -> ConversationId {
    name.parse().unwrap()
}

fn record(offset: u64, event: &ChatEvent) -> Record {
    let header = kernel::event_log::Header {
        name: EVENT_TYPE.to_owned(),
        value: Bytes::from_static(event.body.type_name().as_bytes()),
    };
    Record {
        offset: Offset::new(offset),
        recorded_at: Timestamp::from_millis(0),
        key: Bytes::copy_from_slice(event.conversation.as_str().as_bytes()),
        value: Codec::default().encode(event).unwrap(),
        headers: [header].into(),
    }
}

fn saw(watch: &mut Watch, offset: u64, event: &ChatEvent) -> bool {
    watch.saw(P0, &[record(offset, event)], &Codec::default())
}

/// Bob is here and follows `tea`.
fn watch() -> Watch {
    let mut watch = Watch::default();
    watch.add_person(&user("bob"));
    watch.follow(&id("tea"));
    watch
}

fn place(position: u64) -> Place {
    (P0, Position::new(position))
}

#[test]
fn what_passes_in_a_followed_conversation_is_due_up_to_the_last() {
    let mut watch = watch();
    assert!(!saw(&mut watch, 0, &posted("inn", "m", "ann")));
    assert!(saw(&mut watch, 1, &posted("tea", "m", "ann")));
    assert!(saw(&mut watch, 7, &posted("tea", "n", "ann")));
    let due = watch.take();
    assert_eq!((due.conversations, due.people.len()), (HashMap::from([(id("tea"), place(8))]), 0));
    assert!(watch.take().is_empty(), "once");
    watch.unfollow(&id("tea"));
    assert!(!saw(&mut watch, 8, &posted("tea", "o", "ann")));
}

#[test]
fn nothing_is_looked_at_where_nobody_is() {
    let mut watch = watch();
    watch.remove_person(&user("bob"));
    assert!(!saw(&mut watch, 0, &posted("tea", "m", "ann")));
}

#[test]
fn whoever_is_named_is_due_and_so_is_what_passes_there_from_then_on() {
    let mut watch = watch();
    assert!(!saw(&mut watch, 0, &created("inn")), "only ann is named");
    let joined = |name| event("inn", "j", "ann", MemberJoined { member: user(name) });
    assert!(!saw(&mut watch, 1, &joined("cid")), "who is not here");
    assert!(saw(&mut watch, 2, &joined("bob")));
    saw(&mut watch, 3, &posted("inn", "m", "ann"));
    // Somebody looks whether anybody follows it, which nobody does yet.
    watch.unfollow(&id("inn"));
    let due = watch.take();
    assert_eq!(due.people, HashMap::from([((user("bob"), id("inn")), place(3))]));
    assert_eq!(due.conversations, HashMap::from([(id("inn"), place(4))]));
    watch.unfollow(&id("inn"));
    assert!(saw(&mut watch, 4, &posted("inn", "n", "ann")), "it is not known yet whether bob is a member");
    watch.take();
    watch.done();
    watch.unfollow(&id("inn"));
    assert!(!saw(&mut watch, 5, &posted("inn", "o", "ann")), "bob turned out to be none of them");
}

#[test]
fn a_record_without_a_header_is_read() {
    let mut watch = watch();
    let joined = event("inn", "j", "ann", MemberJoined { member: user("bob") });
    let record = Record { headers: [].into(), ..record(0, &joined) };
    assert!(watch.saw(P0, &[record], &Codec::default()));
}

#[test]
fn every_type_that_names_people_is_read() {
    let bob = user("bob");
    let bodies: Vec<EventBody> = vec![
        ConversationCreated { title: None, visibility: Visibility::Open, members: vec![bob.clone()] }.into(),
        ConversationChanged { title: None, archived: Some(true) }.into(),
        MemberJoined { member: bob.clone() }.into(),
        MemberLeft { parting_words: schemas::PartingWords::default() }.into(),
        MemberRemoved { member: bob.clone() }.into(),
        MemberRenamed { to: bob.clone() }.into(),
        RoleChanged { member: bob.clone(), role: Role::Owner }.into(),
        posted("tea", "m", "ann").body,
        MessageEdited { message_id: "m".parse().unwrap(), text: "@bob".parse().unwrap() }.into(),
        MessageRedacted { message_id: "m".parse().unwrap() }.into(),
        ReactionAdded { message_id: "m".parse().unwrap(), emoji: "yes".parse().unwrap() }.into(),
        ReactionRemoved { message_id: "m".parse().unwrap(), emoji: "yes".parse().unwrap() }.into(),
        ReadMarkerMoved { up_to: Position::new(1) }.into(),
    ];
    let types: HashSet<_> = bodies.iter().map(EventBody::type_name).collect();
    assert_eq!(types.len(), EventBody::TYPES.len(), "each type is here");
    for body in bodies {
        let event = event("tea", "e", "ann", body);
        let names = !people_of(&event).is_empty();
        assert_eq!(may_name_people(&record(0, &event)), names, "{}", event.body.type_name());
    }
}

#[test]
fn what_is_put_back_is_due_again_unless_nobody_wants_it() {
    let mut watch = watch();
    saw(&mut watch, 1, &posted("tea", "m", "ann"));
    saw(&mut watch, 2, &event("inn", "j", "ann", MemberJoined { member: user("bob") }));
    let due = watch.take();
    saw(&mut watch, 5, &posted("tea", "n", "ann"));
    watch.put_back(due);
    let due = watch.take();
    assert_eq!(due.conversations.get("tea"), Some(&place(6)));
    assert_eq!(due.people.len(), 1);
    watch.unfollow(&id("tea"));
    watch.remove_person(&user("bob"));
    watch.put_back(due);
    assert!(watch.take().people.is_empty());
}
