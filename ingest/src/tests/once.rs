//! A command sent again happens once, whatever comes in between.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use kernel::{
    command::CommandSink,
    event_log::faulty::{Fault, Faults},
};
use schemas::caps::REPEAT_WINDOW_MS;

use super::support::{
    Site, ask, code, create, long_after, open, place, post, request, say, still_waits, until_len,
};
use crate::limits::{COMMANDS_IN_FLIGHT_MAX, FRESH_MAX};

#[tokio::test]
async fn a_retry_gives_the_same_position_at_every_node() {
    let site = Site::new();
    let (one, other) = (site.node().await, site.node().await);
    create(&one).await;
    assert_eq!(place(post(&one, "ann", "m-1").await), (2, false));
    assert_eq!(place(post(&one, "ann", "m-1").await), (2, true));
    assert_eq!(place(post(&other, "ann", "m-1").await), (2, true));
    assert_eq!(site.records().await.len(), 2);
}

#[tokio::test]
async fn an_id_belongs_to_whoever_used_it_first_and_to_what_it_was_used_for() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    post(&node, "ann", "m-1").await.unwrap();
    assert_eq!(code(post(&node, "bob", "m-1").await), "id_taken");
    assert_eq!(code(ask(&node, "ann", "m-1", open()).await), "id_taken");
    assert_eq!(code(post(&node, "ann", "c-1").await), "id_taken");
    assert_eq!(site.records().await.len(), 2);
}

#[tokio::test]
async fn a_retry_while_the_first_is_in_flight_waits_for_it() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.on(Fault::AppendHeld);
    let first = tokio::spawn({
        let node = Arc::clone(&node);
        async move { post(&node, "ann", "m-1").await }
    });
    faults.struck(Fault::AppendHeld, 1).await;
    let mut again = Box::pin(post(&node, "ann", "m-1"));
    still_waits(&mut again).await;
    assert_eq!(faults.count(Fault::AppendHeld), 1, "the second one appends nothing");
    faults.off(Fault::AppendHeld);
    assert_eq!(place(first.await.unwrap()), (2, false));
    assert_eq!(place(again.await), (2, true));
    assert_eq!(site.records().await.len(), 2);
}

#[tokio::test]
async fn a_command_runs_to_its_end_though_nobody_waits_for_it() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.on(Fault::AppendHeld);
    let mut given_up = Box::pin(post(&node, "ann", "m-1"));
    assert!((&mut given_up).now_or_never().is_none());
    faults.struck(Fault::AppendHeld, 1).await;
    drop(given_up);
    faults.off(Fault::AppendHeld);
    until_len(&site, 2).await;
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_again() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.next(Fault::AnswerLost, 1);
    assert_eq!(code(post(&node, "ann", "m-1").await), "outcome_unknown");
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
    assert_eq!(site.records().await.len(), 2);
}

#[tokio::test]
async fn an_append_that_failed_can_be_tried_again() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.next(Fault::AppendFails, 1);
    assert_eq!(code(post(&node, "ann", "m-1").await), "unavailable");
    assert_eq!(site.records().await.len(), 1);
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, false));
}

#[tokio::test]
async fn an_append_that_comes_in_after_its_retry_is_void() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.next(Fault::AppendLate, 1);
    assert_eq!(code(post(&node, "ann", "m-1").await), "outcome_unknown");
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, false));
    faults.off(Fault::AppendLate);
    until_len(&site, 3).await;
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
    assert_eq!(site.valid_ids().await, ["c-1", "m-1"]);
}

#[tokio::test(start_paused = true)]
async fn an_append_that_takes_too_long_is_unknown() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.on(Fault::AppendHeld);
    assert_eq!(code(post(&node, "ann", "m-1").await), "outcome_unknown");
}

#[tokio::test]
async fn of_two_nodes_that_append_at_once_one_counts_and_both_name_it() {
    let (site, faults) = (Site::new(), Faults::default());
    let (one, other) = (site.faulty_node(&faults).await, site.faulty_node(&faults).await);
    create(&one).await;
    faults.on(Fault::AppendHeld);
    let release = async {
        // Both have looked and found nothing.
        faults.struck(Fault::AppendHeld, 2).await;
        faults.off(Fault::AppendHeld);
    };
    let (first, second, ()) = tokio::join!(post(&one, "ann", "m-1"), post(&other, "ann", "m-1"), release);
    let (first, second) = (place(first), place(second));
    assert_eq!((first.0, second.0), (2, 2));
    assert_ne!(first.1, second.1, "one of them did it");
    assert_eq!(site.records().await.len(), 3);
    assert_eq!(site.valid_ids().await, ["c-1", "m-1"]);
}

#[tokio::test]
async fn of_two_people_who_use_an_id_at_once_one_is_told_that_it_is_taken() {
    let (site, faults) = (Site::new(), Faults::default());
    let (one, other) = (site.faulty_node(&faults).await, site.faulty_node(&faults).await);
    create(&one).await;
    faults.on(Fault::AppendHeld);
    let release = async {
        faults.struck(Fault::AppendHeld, 2).await;
        faults.off(Fault::AppendHeld);
    };
    let (first, second, ()) = tokio::join!(post(&one, "ann", "m-1"), post(&other, "bob", "m-1"), release);
    let (won, lost) = if first.is_ok() { (first, second) } else { (second, first) };
    assert_eq!(place(won), (2, false));
    assert_eq!(code(lost), "id_taken");
}

#[tokio::test]
async fn what_left_the_window_is_found_in_the_history() {
    let site = Site::new();
    long_after(&site).await;
    site.project().await;
    let node = site.node().await;
    assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
    assert_eq!(code(post(&node, "bob", "m-1").await), "id_taken");
    assert_eq!(place(post(&node, "ann", "m-3").await), (4, false));
}

#[tokio::test]
async fn what_left_the_window_before_the_history_has_it_is_waited_for() {
    let site = Site::new();
    long_after(&site).await;
    let node = site.node().await;
    let mut again = Box::pin(post(&node, "ann", "m-1"));
    still_waits(&mut again).await;
    site.project().await;
    assert_eq!(place(again.await), (2, true));
    assert_eq!(site.records().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_history_that_lags_too_far_makes_commands_unavailable_and_nothing_is_done() {
    let site = Site::new();
    long_after(&site).await;
    let node = site.node().await;
    assert_eq!(code(post(&node, "ann", "m-1").await), "unavailable");
    assert_eq!(code(post(&node, "ann", "m-3").await), "unavailable");
    assert_eq!(site.records().await.len(), 3);
}

#[tokio::test]
async fn a_history_that_lags_by_less_than_the_window_holds_nobody_up() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    site.project().await;
    for n in 1..=5 {
        site.clock.advance(REPEAT_WINDOW_MS / 5);
        // The history never learns of these; the window has them all.
        assert_eq!(place(post(&node, "ann", &format!("m-{n}")).await), (n + 1, false));
        assert_eq!(place(post(&node, "ann", "m-1").await), (2, true));
    }
}

#[tokio::test]
async fn how_far_the_history_was_is_relied_on_only_while_the_window_has_the_rest() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    post(&node, "ann", "m-1").await.unwrap();
    site.project().await;
    // Here the node learns how far the history is: up to this post, and not with it.
    post(&node, "ann", "m-2").await.unwrap();
    post(&node, "ann", "m-3").await.unwrap();
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    post(&node, "ann", "m-4").await.unwrap();
    let mut again = Box::pin(post(&node, "ann", "m-2"));
    still_waits(&mut again).await;
    site.project().await;
    assert_eq!(place(again.await), (3, true));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_has_not_been_level_with_the_log_for_long_looks_before_it_appends() {
    let (site, faults) = (Site::new(), Faults::default());
    let (one, behind) = (site.node().await, site.faulty_node(&faults).await);
    create(&one).await;
    post(&behind, "ann", "m-0").await.unwrap();
    faults.on(Fault::ReaderHeld);
    post(&one, "ann", "m-1").await.unwrap();
    tokio::time::advance(FRESH_MAX + Duration::from_millis(1)).await;
    // By now the first one could have left the window of whoever folds the second.
    site.clock.advance(REPEAT_WINDOW_MS + 1);
    assert_eq!(code(post(&behind, "ann", "m-1").await), "unavailable");
    assert_eq!(site.records().await.len(), 3);
    faults.off(Fault::ReaderHeld);
    assert_eq!(place(post(&behind, "ann", "m-1").await), (3, true));
}

#[tokio::test]
async fn so_many_commands_are_at_work_and_not_one_more() {
    let (site, faults) = (Site::new(), Faults::default());
    let node = site.faulty_node(&faults).await;
    create(&node).await;
    faults.on(Fault::AppendHeld);
    let sent =
        (0..COMMANDS_IN_FLIGHT_MAX).map(|n| node.execute(request("ann", &format!("m-{n}"), say("hi"))));
    let mut sent = Box::pin(join_all(sent));
    assert!((&mut sent).now_or_never().is_none());
    assert_eq!(code(post(&node, "ann", "one-more").await), "unavailable");
    faults.off(Fault::AppendHeld);
    assert!(sent.await.into_iter().all(|accepted| accepted.is_ok()));
    assert!(post(&node, "ann", "one-more").await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_sent_twice_at_once_through_three_nodes_counts_once() {
    let site = Site::new();
    let nodes = [site.node().await, site.node().await, site.node().await];
    create(&nodes[0]).await;
    let sent = (0..600).map(|n| {
        let node = Arc::clone(&nodes[n % 3]);
        tokio::spawn(async move { (n / 6, place(post(&node, "ann", &format!("m-{}", n / 6)).await)) })
    });
    let mut places: HashMap<usize, Vec<(u64, bool)>> = HashMap::new();
    for done in join_all(sent).await {
        let (message, place) = done.unwrap();
        places.entry(message).or_default().push(place);
    }
    for (message, places) in places {
        assert_eq!(places.len(), 6);
        assert!(places.iter().all(|(position, _)| *position == places[0].0), "m-{message}: {places:?}");
        assert_eq!(places.iter().filter(|(_, duplicate)| !duplicate).count(), 1, "m-{message}: {places:?}");
    }
    assert_eq!(site.valid_ids().await.len(), 101);
}
