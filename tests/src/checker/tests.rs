//! A judge who never finds anything proves nothing: each kind of harm, done on purpose, must be found.

use serde_json::json;

use super::*;
use crate::{
    api::{Accepted, Answer},
    sent::Act,
};

/// A conversation as it should be: ann and bob take turns; positions are shared with another conversation.
struct World {
    sent: Vec<Sent>,
    events: Vec<EventLine>,
    messages: Vec<Value>,
    members: Vec<String>,
    seen: Vec<EventLine>,
    topic: Vec<TopicRecord>,
}

fn accepted(sent: &Sent, offset: u64) -> Answer {
    Answer::Accepted(Accepted { offset, epoch: "e".to_owned(), event_id: sent.id.clone(), duplicate: false })
}

fn sent(author: &str, number: u64, offset: u64, act: Act) -> Sent {
    let mut sent = Sent::new("tea", author, number, format!("{author}.{number}"), act);
    sent.answers.push(accepted(&sent, offset));
    sent
}

fn post(author: &str, number: u64, offset: u64) -> Sent {
    sent(author, number, offset, Act::Post { text: format!("text {number}") })
}

/// The event that a command makes at `offset`.
fn event(sent: &Sent, offset: u64) -> EventLine {
    let (kind, body) = (sent.act.event_type(), sent.rpc().1);
    let Sent { id, author, .. } = sent;
    let json = json!({"offset": offset, "type": kind, "event_id": id, "conversation": "tea", "actor": author, "body": body});
    EventLine { json: json.to_string(), offset, event_id: id.clone(), kind: kind.to_owned() }
}

fn message(sent: &Sent, offset: u64) -> Value {
    let text = sent.rpc().1["text"].clone();
    json!({"offset": offset, "message_id": sent.id, "author": sent.author, "text": text, "edited_at": null,
        "redacted_by": null, "reactions": []})
}

fn record(event: &EventLine) -> TopicRecord {
    let (event_id, event_type) = (event.event_id.clone(), event.kind.clone());
    TopicRecord { partition: 2, offset: event.offset - 1, key: "tea".to_owned(), event_id, event_type }
}

fn world() -> World {
    let react = |present| Act::React { message: "bob.0".to_owned(), emoji: "x".to_owned(), present };
    let sent = vec![
        sent("ann", 0, 1, Act::Create { private: false }),
        post("ann", 1, 4),
        post("bob", 0, 6),
        post("ann", 2, 7),
        post("bob", 3, 9),
        sent("ann", 3, 10, Act::Edit { message: "ann.1".to_owned(), text: "new".to_owned() }),
        sent("bob", 4, 11, Act::Redact { message: "bob.3".to_owned() }),
        sent("ann", 4, 12, react(true)),
        sent("cid", 0, 13, react(true)),
        sent("ann", 5, 14, react(false)),
        sent("ann", 6, 15, Act::Add { member: "bob".to_owned() }),
        sent("ann", 7, 16, Act::Add { member: "cid".to_owned() }),
        sent("ann", 8, 17, Act::Remove { member: "bob".to_owned() }),
    ];
    let offset = |sent: &Sent| sent.accepted().next().unwrap().offset;
    let events: Vec<_> = sent.iter().map(|sent| event(sent, offset(sent))).collect();
    let posts = sent.iter().filter(|sent| matches!(sent.act, Act::Post { .. }));
    let mut messages: Vec<_> = posts.map(|sent| message(sent, offset(sent))).collect();
    messages[0]["text"] = "new".into();
    messages[0]["edited_at"] = "then".into();
    messages[1]["reactions"] = json!([{"emoji": "x", "users": ["cid"]}]);
    messages[3]["text"] = Value::Null;
    messages[3]["redacted_by"] = "bob".into();
    let members = vec!["cid".to_owned(), "ann".to_owned()];
    World {
        seen: events.clone(),
        topic: events.iter().map(record).collect(),
        sent,
        events,
        messages,
        members,
    }
}

fn verdict(harm: impl FnOnce(&mut World)) -> Verdict {
    let mut world = world();
    harm(&mut world);
    let mut verdict = Verdict::default();
    let World { sent, events, messages, members, seen, topic } = &world;
    verdict.judge(&Evidence {
        conversation: "tea",
        sent,
        events,
        messages,
        members,
        sessions: &[("s".to_owned(), seen.clone())],
        topic: Some(topic),
    });
    verdict
}

#[test]
fn a_world_in_order_is_clean() {
    let verdict = verdict(|_| {});
    assert!(verdict.is_clean(), "{:?}", verdict.findings());
    assert_eq!(verdict.to_string(), "lost 0 doubled 0 order kept");
}

#[test]
fn a_lost_message_is_found() {
    let verdict = verdict(|world| {
        for events in [&mut world.events, &mut world.seen] {
            events.remove(3);
        }
        world.topic.remove(3);
        world.messages.remove(2);
    });
    assert_eq!(verdict.findings(), ["ann.2 was accepted at 7 and is not in the log"]);
}

#[test]
fn a_doubled_message_is_found() {
    let verdict = verdict(|world| {
        let again = event(&world.sent[3], 18);
        world.topic.push(record(&again));
        world.events.push(again.clone());
        world.seen.push(again);
        world.messages.push(message(&world.sent[3], 18));
    });
    // Found in the order of one author, too: 2 stands behind 8 again.
    assert_eq!(verdict.findings(), ["ann.2 stands at [7, 18]", "ann: 2 stands after 8"]);
}

#[test]
fn swapped_messages_of_one_author_are_found() {
    let verdict = verdict(|world| {
        // The positions are those that were answered, only the wrong way round.
        for (sent, offset) in [(1, 7), (3, 4)] {
            world.sent[sent].answers = vec![accepted(&world.sent[sent], offset)];
        }
        for (place, sent, offset) in [(1, 3, 4), (3, 1, 7)] {
            let event = event(&world.sent[sent], offset);
            world.topic[place] = record(&event);
            world.seen[place] = event.clone();
            world.events[place] = event;
        }
        world.messages[0] = message(&world.sent[3], 4);
        world.messages[2] = message(&world.sent[1], 7);
        world.messages[2]["text"] = "new".into();
        world.messages[2]["edited_at"] = "then".into();
    });
    assert_eq!(verdict.findings(), ["ann: 1 stands after 2"]);
    assert_eq!(verdict.to_string(), "lost 0 doubled 0 order broken 1");
}

#[test]
fn positions_that_fall_are_found() {
    let verdict = verdict(|world| {
        world.events.swap(1, 2);
        world.messages.swap(0, 1);
    });
    assert_eq!(verdict.findings(), ["in the log: 4 comes after 6"]);
}

#[test]
fn an_answer_that_names_another_place_is_found() {
    let found = |offset| {
        verdict(move |world| {
            let answer = accepted(&world.sent[1], offset);
            world.sent[1].answers.push(answer);
        })
    };
    assert!(found(4).is_clean(), "the same answer twice is no harm");
    assert_eq!(found(3).findings(), ["ann.1 was accepted at 3 and stands at 4"]);
}

#[test]
fn what_nobody_sent_or_sent_otherwise_is_found() {
    assert!(!verdict(|world| drop(world.sent.remove(3))).is_clean());
    assert!(!verdict(|world| world.sent[3].act = Act::Post { text: "other".to_owned() }).is_clean());
    assert!(!verdict(|world| world.sent[3].author = "cid".to_owned()).is_clean());
}

#[test]
fn an_unknown_command_may_stand_or_not_and_a_refused_one_may_not() {
    let unknown = || vec![Answer::Unknown("x".to_owned())];
    assert!(verdict(|world| world.sent[3].answers = unknown()).is_clean());
    let absent = Sent { answers: unknown(), ..post("ann", 9, 0) };
    assert!(verdict(|world| world.sent.push(absent)).is_clean());
    let refused = || vec![Answer::Refused(403, "removed".to_owned())];
    let found = verdict(|world| world.sent[3].answers = refused()).findings();
    assert!(found.len() == 1 && found[0].starts_with("ann.2 was refused and stands at 7"), "{found:?}");
}

#[test]
fn another_log_is_found() {
    assert!(
        !verdict(|world| {
            let mut other = accepted(&world.sent[3], 7);
            if let Answer::Accepted(accepted) = &mut other {
                accepted.epoch = "f".to_owned();
            }
            world.sent[3].answers.push(other);
        })
        .is_clean()
    );
}

#[test]
fn who_is_a_member_already_makes_no_event() {
    let again = |offset, member: &str| {
        let mut sent = sent("ann", 9, offset, Act::Add { member: member.to_owned() });
        if let Answer::Accepted(accepted) = &mut sent.answers[0] {
            accepted.duplicate = true;
        }
        verdict(|world| world.sent.push(sent)).is_clean()
    };
    assert!(again(16, "bob") && again(16, "cid"));
    assert!(!again(14, "bob"), "not a member yet");
    assert!(!again(17, "bob"), "no member any more");
}

#[test]
fn a_history_that_differs_is_found() {
    assert!(!verdict(|world| drop(world.messages.remove(1))).is_clean());
    assert!(!verdict(|world| world.messages.swap(1, 2)).is_clean());
    assert!(!verdict(|world| world.messages[1]["offset"] = 5.into()).is_clean());
    assert!(!verdict(|world| world.messages[1]["text"] = "other".into()).is_clean());
    assert!(!verdict(|world| world.messages[0]["edited_at"] = Value::Null).is_clean());
    assert!(!verdict(|world| world.messages[1]["reactions"] = json!([])).is_clean());
    assert!(!verdict(|world| world.messages[3]["text"] = "text 3".into()).is_clean());
    assert!(!verdict(|world| world.members.push("bob".to_owned())).is_clean());
    assert!(!verdict(|world| drop(world.members.pop())).is_clean());
}

#[test]
fn a_session_that_missed_doubled_swapped_or_invented_is_found() {
    assert!(!verdict(|world| drop(world.seen.remove(2))).is_clean());
    assert!(!verdict(|world| world.seen.insert(2, world.events[2].clone())).is_clean());
    assert!(!verdict(|world| world.seen.swap(2, 3)).is_clean());
    assert!(!verdict(|world| world.seen.push(event(&post("x", 0, 20), 20))).is_clean());
    assert!(!verdict(|world| world.seen[2].json.push(' ')).is_clean());
    assert!(!verdict(|world| drop(world.seen.pop())).is_clean());
}

#[test]
fn a_topic_that_says_something_else_is_found() {
    assert!(!verdict(|world| drop(world.topic.remove(2))).is_clean());
    assert!(!verdict(|world| world.topic[2].partition = 1).is_clean());
    assert!(!verdict(|world| world.topic[2].offset += 1).is_clean());
    assert!(!verdict(|world| world.topic[2].event_id = "ann.1".to_owned()).is_clean());
    assert!(!verdict(|world| world.topic.push(world.topic[2].clone())).is_clean());
    let stranger = record(&event(&post("x", 0, 20), 20));
    assert!(!verdict(|world| world.topic.push(stranger)).is_clean());
}

#[test]
fn a_void_record_of_something_that_was_sent_is_no_harm() {
    let again = verdict(|world| world.topic.push(record(&event(&world.sent[3], 18))));
    assert!(again.is_clean(), "{:?}", again.findings());
    assert_eq!(again.void(), 1);
}
