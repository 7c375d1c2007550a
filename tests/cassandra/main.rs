//! The history on Apache Cassandra: every case of the suite and those beyond it, on a real server, each in a keyspace of
//! its own.

mod encrypted;

use store::scylla::testing::{Place, cases};
use tests::cassandra;

/// `None`: there is no server, and the test is skipped.
async fn node() -> Option<String> {
    cassandra::shared("the history on Cassandra").await.unwrap_or_else(|error| panic!("{error:#}"))
}

mod suite {
    use super::{Place, node};

    kernel::history_conformance!(match node().await {
        Some(node) => Place::make(&node).await,
        None => return,
    });
}

macro_rules! beyond {
    ($($case:ident)+) => {$(
        #[tokio::test]
        async fn $case() {
            if let Some(node) = node().await {
                cases::$case(&node).await;
            }
        }
    )+};
}

beyond! {
    the_fingerprint_is_that_of_the_model_in_memory
    the_first_post_with_an_id_is_the_message_in_whatever_order
    pages_go_over_buckets_that_lie_far_apart
    small_pages_one_after_another_are_the_whole
    standings_of_many_pages_are_those_of_one_moment
    a_list_goes_over_what_was_left_long_ago
    migrations_may_run_twice_and_at_once
    tables_of_a_newer_build_are_left_alone
    a_wiped_history_is_empty_and_is_rebuilt_to_the_same_rows
    damage_is_told_without_telling_what_was_written
}
