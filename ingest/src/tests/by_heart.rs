//! A node that knows the ids of a conversation by heart asks nobody about a new one, and still takes no old one for new.

use std::ops::RangeInclusive;

use futures_util::future::join_all;
use kernel::mirror::USED_IDS_READ_MAX;
use schemas::caps::REPEAT_WINDOW_MS;

use super::support::{Site, code, create, long_after, place, post, still_waits};
use crate::Ingest;

/// More than a node looks up before it learns them all.
const MANY: RangeInclusive<usize> = 1..=100;

async fn post_all(node: &Ingest, numbers: RangeInclusive<usize>) {
    for number in numbers {
        post(node, "ann", &format!("n-{number}")).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_new_is_taken_without_the_history_and_what_is_old_is_not() {
    let site = Site::new();
    let (node, faults) = site.forgetful_node().await;
    create(&node).await;
    post_all(&node, MANY).await;
    faults.fail_reads(true);
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    assert_eq!(place(post(&node, "ann", "n-101").await), (102, false));
    assert_eq!(place(post(&node, "ann", "n-102").await), (103, false));
    // These have left the window, and nobody can say where they are.
    assert_eq!(code(post(&node, "ann", "n-1").await), "unavailable");
    assert_eq!(code(post(&node, "ann", "n-100").await), "unavailable");
    faults.fail_reads(false);
    site.project().await;
    assert_eq!(place(post(&node, "ann", "n-1").await), (2, true));
    assert_eq!(code(post(&node, "bob", "n-100").await), "id_taken");
    assert_eq!(site.valid_ids().await.len(), 103);
}

#[tokio::test]
async fn of_a_conversation_that_begins_here_every_id_is_known_from_the_start() {
    let site = Site::new();
    let (node, faults) = site.forgetful_node().await;
    create(&node).await;
    faults.fail_reads(true);
    assert_eq!(place(post(&node, "ann", "n-1").await), (2, false));
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    assert_eq!(place(post(&node, "ann", "n-2").await), (3, false));
    // It has left the window, and is known to be old.
    assert_eq!(code(post(&node, "ann", "n-1").await), "unavailable");
    faults.fail_reads(false);
    site.project().await;
    assert_eq!(place(post(&node, "ann", "n-1").await), (2, true));
}

#[tokio::test]
async fn what_was_there_before_the_node_came_is_learned() {
    let site = Site::new();
    long_after(&site).await;
    site.project().await;
    let (node, faults) = site.forgetful_node().await;
    post_all(&node, MANY).await;
    faults.fail_reads(true);
    assert_eq!(place(post(&node, "ann", "m-2").await), (3, true), "the window has it");
    assert_eq!(code(post(&node, "ann", "m-1").await), "unavailable", "it is known to be old");
    assert_eq!(place(post(&node, "ann", "new").await), (104, false));
    faults.fail_reads(false);
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
}

#[tokio::test]
async fn what_another_node_writes_is_known_too() {
    let site = Site::new();
    let ((node, faults), other) = (site.forgetful_node().await, site.node().await);
    create(&node).await;
    post_all(&node, MANY).await;
    post(&other, "bob", "from-there").await.unwrap();
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    post(&node, "ann", "n-101").await.unwrap();
    faults.fail_reads(true);
    assert_eq!(code(post(&node, "bob", "from-there").await), "unavailable");
    faults.fail_reads(false);
    site.project().await;
    assert_eq!(place(post(&node, "bob", "from-there").await), (102, true));
}

#[tokio::test]
async fn what_left_the_window_before_the_history_has_it_is_waited_for() {
    let site = Site::new();
    long_after(&site).await;
    let node = site.node().await;
    let ids: Vec<_> = MANY.map(|number| format!("n-{number}")).collect();
    let mut posts = Box::pin(join_all(ids.iter().map(|id| post(&node, "ann", id))));
    still_waits(&mut posts).await;
    site.project().await;
    assert!(posts.await.into_iter().all(|accepted| accepted.is_ok()));
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
}

/// Whether a node learns the ids of a conversation of so many events.
async fn is_learned(events: usize) -> bool {
    let site = Site::new();
    let before = site.node().await;
    create(&before).await;
    for number in 2..=events {
        post(&before, "ann", &format!("old-{number}")).await.unwrap();
    }
    site.project().await;
    let (node, faults) = site.forgetful_node().await;
    // All of them leave the window, so that none is known but from the history.
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    post_all(&node, MANY).await;
    faults.fail_reads(true);
    post(&node, "ann", "new").await.is_ok()
}

#[tokio::test]
async fn a_conversation_is_learned_up_to_a_length_and_not_beyond() {
    // The history is as it was when the node came: it has just these.
    assert!(is_learned(USED_IDS_READ_MAX).await);
    assert!(!is_learned(USED_IDS_READ_MAX + 1).await);
}
