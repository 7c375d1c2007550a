//! What the rules allow at one node when others write at the same time.

use std::sync::Arc;

use futures_util::FutureExt;
use kernel::{
    command::Command,
    event_log::faulty::{Fault, Faults},
};
use schemas::{PartingWords, Visibility, caps, event::Style};

use super::support::{Site, ask, code, create, id, open, place, post, say};
use crate::Ingest;

fn reply(to: &str) -> Command {
    Command::PostMessage { text: "yes".parse().unwrap(), style: Style::Plain, reply_to: Some(id(to)) }
}

fn edit(message_id: &str) -> Command {
    Command::EditMessage { message_id: id(message_id), text: "better".parse().unwrap() }
}

fn redact(message_id: &str) -> Command {
    Command::RedactMessage { message_id: id(message_id) }
}

fn remove(member: &str) -> Command {
    Command::RemoveMember { member: member.parse().unwrap() }
}

#[tokio::test]
async fn an_event_carries_what_was_asked_and_headers_for_those_who_do_not_decode() {
    let site = Site::new();
    let node = site.node().await;
    let created = create(&node).await;
    assert_eq!((created.position.get(), created.event_id.as_str(), created.duplicate), (1, "c-1", false));
    let records = site.records().await;
    let headers: Vec<_> = records[0]
        .headers
        .iter()
        .map(|header| (header.name.as_str(), std::str::from_utf8(&header.value).unwrap()))
        .collect();
    let expected = [
        ("event-type", "ConversationCreated"),
        ("event-id", "c-1"),
        ("content-type", "application/vnd.confluent.avro"),
    ];
    assert_eq!(headers, expected);
    let (event, counts) = site.events().await.remove(0);
    assert!(counts);
    assert_eq!((event.actor.as_str(), event.occurred_at.as_millis()), ("ann", 1_700_000_000_000));
}

#[tokio::test]
async fn what_is_created_at_one_node_can_be_written_to_at_once_through_another() {
    let (site, faults) = (Site::new(), Faults::default());
    let (one, other) = (site.node().await, site.faulty_node(&faults).await);
    // The other node was level with the log a moment ago, and uses the conversation already.
    assert_eq!(code(post(&other, "bob", "m-0").await), "unknown_conversation");
    faults.on(Fault::ReaderHeld);
    create(&one).await;
    let mut posted = Box::pin(post(&other, "bob", "m-1"));
    for _ in 0..100 {
        assert!((&mut posted).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    faults.off(Fault::ReaderHeld);
    assert_eq!(place(posted.await), (2, false));
}

#[tokio::test]
async fn a_post_that_loses_the_race_against_a_removal_is_refused() {
    let (site, faults) = (Site::new(), Faults::default());
    let (one, other) = (site.node().await, site.faulty_node(&faults).await);
    create(&one).await;
    ask(&one, "bob", "j-1", Command::Join).await.unwrap();
    faults.next(Fault::AppendHeld, 1);
    let posted = tokio::spawn({
        let other = Arc::clone(&other);
        async move { post(&other, "bob", "m-1").await }
    });
    faults.struck(Fault::AppendHeld, 1).await;
    ask(&one, "ann", "r-1", remove("bob")).await.unwrap();
    faults.off(Fault::AppendHeld);
    assert_eq!(code(posted.await.unwrap()), "removed");
    assert_eq!(site.valid_ids().await, ["c-1", "j-1", "r-1"]);
    // The void event has not used up its id.
    ask(&one, "ann", "a-1", Command::AddMember { member: "bob".parse().unwrap() }).await.unwrap();
    assert_eq!(place(post(&other, "bob", "m-1").await), (6, false));
}

#[tokio::test]
async fn a_message_must_exist_to_be_answered_edited_or_redacted() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    for (event_id, command) in [("x-1", reply("m-1")), ("x-2", edit("m-1")), ("x-3", redact("m-1"))] {
        assert_eq!(code(ask(&node, "ann", event_id, command).await), "unknown_message");
    }
    // An event that is no message will not do.
    assert_eq!(code(ask(&node, "ann", "x-4", reply("c-1")).await), "unknown_message");
    post(&node, "ann", "m-1").await.unwrap();
    of_a_message_of_ann(&node).await;
}

#[tokio::test]
async fn old_messages_are_known_from_the_history() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    post(&node, "ann", "m-1").await.unwrap();
    site.clock.advance(caps::REPEAT_WINDOW_MS + 1);
    post(&node, "ann", "m-2").await.unwrap();
    site.project().await;
    assert_eq!(code(ask(&node, "ann", "x-4", reply("c-1")).await), "unknown_message");
    of_a_message_of_ann(&node).await;
    site.clock.advance(caps::REPEAT_WINDOW_MS + 1);
    site.project().await;
    post(&node, "ann", "m-3").await.unwrap();
    site.project().await;
    assert_eq!(code(ask(&node, "ann", "e-9", edit("m-1")).await), "redacted");
}

async fn of_a_message_of_ann(node: &Arc<Ingest>) {
    assert!(ask(node, "bob", "y-1", reply("m-1")).await.is_ok());
    assert_eq!(code(ask(node, "bob", "y-2", edit("m-1")).await), "not_the_author");
    assert_eq!(code(ask(node, "bob", "y-3", redact("m-1")).await), "role_too_low");
    assert!(ask(node, "ann", "y-4", edit("m-1")).await.is_ok());
    assert!(ask(node, "ann", "y-5", redact("m-1")).await.is_ok());
    assert_eq!(code(ask(node, "ann", "y-6", edit("m-1")).await), "redacted");
}

#[tokio::test]
async fn who_may_not_read_does_not_learn_which_messages_there_are() {
    let site = Site::new();
    let node = site.node().await;
    let private =
        Command::CreateConversation { title: None, visibility: Visibility::Private, members: Vec::new() };
    ask(&node, "ann", "c-1", private).await.unwrap();
    post(&node, "ann", "m-1").await.unwrap();
    for message in ["m-1", "m-2"] {
        assert_eq!(code(ask(&node, "eve", "x-1", reply(message)).await), "not_a_member");
    }
}

#[tokio::test]
async fn what_is_so_already_is_answered_without_an_event() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    assert_eq!(place(ask(&node, "ann", "j-1", Command::Join).await), (1, true));
    assert_eq!(site.records().await.len(), 1);
}

#[tokio::test]
async fn a_conversation_begins_with_so_many_members_and_not_one_more() {
    let site = Site::new();
    let node = site.node().await;
    let with = |len: usize| Command::CreateConversation {
        title: None,
        visibility: Visibility::Open,
        members: (0..len).map(|n| format!("u{n}").parse().unwrap()).collect(),
    };
    let max = caps::MEMBERS_AT_CREATION_MAX;
    assert_eq!(code(ask(&node, "ann", "c-1", with(max + 1)).await), "invalid");
    assert!(ask(&node, "ann", "c-1", with(max)).await.is_ok());
    assert_eq!(code(ask(&node, "ann", "c-2", open()).await), "conversation_exists");
}

#[tokio::test]
async fn a_log_that_cannot_be_asked_makes_commands_unavailable() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    faults.next(Fault::TailFails, 1);
    assert_eq!(code(ask(&node, "ann", "c-1", open()).await), "unavailable");
    create(&node).await;
    assert_eq!(place(ask(&node, "ann", "m-1", say("hi")).await), (2, false));
}

#[tokio::test]
async fn what_seems_to_be_so_is_asked_again_when_another_node_may_have_ended_it() {
    let (site, faults) = (Site::new(), Faults::default());
    let (near, lagging) = (site.node().await, site.faulty_node(&faults).await);
    create(&near).await;
    ask(&near, "bob", "join", Command::Join).await.unwrap();
    assert_eq!(place(ask(&lagging, "bob", "again", Command::Join).await), (2, true));
    faults.on(Fault::ReaderHeld);
    ask(&near, "bob", "leave", Command::Leave { parting_words: PartingWords::default() }).await.unwrap();
    let release = async {
        faults.struck(Fault::ReaderHeld, 1).await;
        faults.off(Fault::ReaderHeld);
    };
    let (joined, ()) = tokio::join!(ask(&lagging, "bob", "back", Command::Join), release);
    assert_eq!(place(joined), (4, false), "bob is no member, and must become one");
}
