//! Imports: what is added, what is refused, and that nothing is added twice.

use std::{fmt::Write as _, sync::Arc};

use futures_util::FutureExt;
use kernel::{
    command::Command,
    event_log::faulty::{Fault, Faults},
};
use schemas::{EventBody, caps};

use super::support::{Site, ask, code, create, identity, post};
use crate::{ImportReport, Ingest};

/// Lines of `tea` a minute apart, from `author kind text reply_to`, with the ids `l-1`, `l-2` and so on.
fn lines(lines: &[(&str, &str, &str, Option<&str>)]) -> String {
    let mut text = String::new();
    for (n, (author, kind, words, reply_to)) in (1..).zip(lines) {
        let line = serde_json::json!({
            "conversation": "tea", "at": format!("2015-07-27T10:{n:02}:00.000Z"), "author": author,
            "kind": kind, "text": words, "reply_to": reply_to, "id": format!("l-{n}"),
        });
        writeln!(text, "{line}").unwrap();
    }
    text
}

async fn import(node: &Ingest, lines: &str) -> ImportReport {
    node.import(&identity("root"), lines.as_bytes()).await.unwrap()
}

fn counts(report: &ImportReport) -> (usize, usize, Vec<(usize, &'static str)>) {
    let refused = report.refused.iter().map(|refused| (refused.line, refused.code)).collect();
    (report.added, report.already, refused)
}

fn morning() -> String {
    lines(&[
        ("ann", "join", "", None),
        ("ann", "message", " hi\n", None),
        ("bob", "message", "hello", Some("l-2")),
        ("bob", "action", "waves", None),
        ("bob", "rename", "robert", None),
        ("ann", "leave", "bye", None),
        ("eve", "leave", "", None),
        ("ann", "join", "", None),
        ("ann", "join", "", None),
    ])
}

#[tokio::test]
async fn an_import_makes_the_conversation_and_keeps_times_ids_and_order() {
    let site = Site::new();
    let node = site.node().await;
    assert_eq!(counts(&import(&node, &morning()).await), (9, 0, vec![]));
    let events = site.events().await;
    assert!(events.iter().all(|(_, counts)| *counts));
    let ids: Vec<_> = events.iter().map(|(event, _)| event.event_id.as_str()).collect();
    assert_eq!(ids, ["import.created", "l-1", "l-2", "l-3", "l-4", "l-5", "l-6", "l-7", "l-8", "l-9"]);
    let (created, second) = (&events[0].0, &events[2].0);
    assert_eq!(
        (created.actor.as_str(), created.occurred_at.to_string().as_str()),
        ("root", "2015-07-27T10:01:00.000Z")
    );
    assert!(
        matches!(&created.body, EventBody::ConversationCreated(c) if c.title.as_ref().unwrap().as_str() == "tea")
    );
    assert_eq!(
        (second.actor.as_str(), second.occurred_at.to_string().as_str()),
        ("ann", "2015-07-27T10:02:00.000Z")
    );
    assert!(matches!(&second.body, EventBody::MessagePosted(m) if m.text.as_str() == " hi\n"));
}

#[tokio::test]
async fn an_import_that_runs_twice_adds_nothing() {
    let site = Site::new();
    let node = site.node().await;
    import(&node, &morning()).await;
    assert_eq!(counts(&import(&node, &morning()).await), (0, 9, vec![]));
    // Also at another node, when all is out of the window and only the history knows.
    site.clock.advance(caps::REPEAT_WINDOW_MS + 1);
    post(&node, "ann", "m-1").await.unwrap();
    site.project().await;
    let other = site.node().await;
    assert_eq!(counts(&import(&other, &morning()).await), (0, 9, vec![]));
    assert_eq!(site.records().await.len(), 11);
}

#[tokio::test]
async fn an_import_can_go_on_where_another_ended() {
    let site = Site::new();
    let node = site.node().await;
    let all = morning();
    let half: Vec<_> = all.lines().take(4).collect();
    let half = half.join("\n");
    assert_eq!(counts(&import(&node, &half).await), (4, 0, vec![]));
    assert_eq!(counts(&import(&node, &all).await), (5, 4, vec![]));
    assert_eq!(site.records().await.len(), 10);
}

#[tokio::test]
async fn lines_that_are_refused_are_named_and_the_others_added() {
    let site = Site::new();
    let node = site.node().await;
    let good = lines(&[
        ("ann", "message", "hi", None),
        ("bob", "message", "what?", Some("l-9")),
        ("bob", "message", "", None),
        ("bob", "message", "yes", Some("l-1")),
    ]);
    let stolen = good.lines().next().unwrap().replace("\"ann\"", "\"eve\"");
    let twice = good.lines().next().unwrap();
    let text = format!("{good}\n{stolen}\n{twice}\nnot json\n");
    let expected = vec![(2, "unknown_message"), (3, "invalid"), (6, "id_taken"), (8, "bad_json")];
    assert_eq!(counts(&import(&node, &text).await), (2, 1, expected));
    assert_eq!(site.records().await.len(), 3);
}

#[tokio::test]
async fn a_conversation_is_not_made_for_lines_that_are_all_refused() {
    let site = Site::new();
    let node = site.node().await;
    let report = import(&node, &lines(&[("bob", "message", "what?", Some("l-9"))])).await;
    assert_eq!(counts(&report), (0, 0, vec![(1, "unknown_message")]));
    assert!(site.records().await.is_empty());
    assert_eq!(counts(&import(&node, "\n \n").await), (0, 0, vec![]));
}

#[tokio::test]
async fn the_rules_hold_for_imports_too() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    ask(&node, "ann", "r-1", Command::RemoveMember { member: "bob".parse().unwrap() }).await.unwrap();
    let text = lines(&[("bob", "message", "hi", None), ("ann", "message", "hi", None)]);
    assert_eq!(counts(&import(&node, &text).await), (1, 0, vec![(1, "removed")]));
}

#[tokio::test]
async fn a_request_has_so_many_lines_and_not_one_more() {
    let site = Site::new();
    let node = site.node().await;
    // Each line a conversation of its own: two records a line, and so two batches.
    let line = |n: usize| lines(&[("ann", "message", "hi", None)]).replace("tea", &format!("tea-{n}"));
    let most: String = (0..caps::IMPORT_LINES_MAX).map(line).collect();
    let more = format!("{most}{}", line(caps::IMPORT_LINES_MAX));
    assert_eq!(code(node.import(&identity("root"), more.as_bytes()).await), "invalid");
    assert!(site.records().await.is_empty());
    assert_eq!(counts(&import(&node, &most).await), (caps::IMPORT_LINES_MAX, 0, vec![]));
    assert_eq!(site.records().await.len(), 2 * caps::IMPORT_LINES_MAX);
}

#[tokio::test]
async fn an_import_whose_answer_was_lost_can_be_run_again() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    faults.next(Fault::AnswerLost, 1);
    assert_eq!(code(node.import(&identity("root"), morning().as_bytes()).await), "outcome_unknown");
    assert_eq!(counts(&import(&node, &morning()).await), (0, 9, vec![]));
    assert_eq!(site.records().await.len(), 10);
}

#[tokio::test]
async fn two_imports_of_one_conversation_take_turns_at_a_node() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    let text = morning();
    faults.on(Fault::AppendHeld);
    let (mut one, mut other) = (Box::pin(import(&node, &text)), Box::pin(import(&node, &text)));
    assert!((&mut one).now_or_never().is_none());
    faults.struck(Fault::AppendHeld, 1).await;
    for _ in 0..100 {
        assert!((&mut other).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    assert_eq!(faults.count(Fault::AppendHeld), 1, "the second one appends nothing");
    faults.off(Fault::AppendHeld);
    assert_eq!(counts(&one.await), (9, 0, vec![]));
    assert_eq!(counts(&other.await), (0, 9, vec![]));
    assert_eq!(site.records().await.len(), 10);
}

#[tokio::test]
async fn of_two_nodes_that_import_the_same_at_once_each_line_counts_once() {
    let (site, faults) = (Site::new(), Faults::default());
    let (one, other) = (site.faulty_node(&faults).await, site.faulty_node(&faults).await);
    faults.on(Fault::AppendHeld);
    let release = async {
        faults.struck(Fault::AppendHeld, 2).await;
        faults.off(Fault::AppendHeld);
    };
    let text = Arc::new(morning());
    let (first, second, ()) = tokio::join!(import(&one, &text), import(&other, &text), release);
    assert_eq!((first.added + second.added, first.already + second.already), (9, 9));
    assert!(first.refused.is_empty() && second.refused.is_empty());
    assert_eq!(site.valid_ids().await.len(), 10);
    assert_eq!(site.records().await.len(), 20);
}
