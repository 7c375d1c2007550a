//! What every adapter of the history must do, as one suite.
//!
//! An adapter says how its histories are made ([`Fixture`]) and expands every case with
//! [`history_conformance!`](crate::history_conformance). The cases talk to the port alone; their batches are folded by
//! the law from real events ([`Scribe`]).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "test code: a panic is how a case fails"
)]

use async_trait::async_trait;

use super::SharedHistory;

pub mod changes;
pub mod order;
pub mod pages;
pub mod progress;
pub mod random;
mod scribe;
pub mod snapshots;

pub use scribe::{Scribe, body, event_id, user};

/// One history under test, empty at first.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// Opens it. Opened again after all handles are dropped, it holds what it held.
    async fn open(&self) -> SharedHistory;

    /// A fingerprint of every row, stamps included, by which two histories of this adapter are proved equal. `None` if the
    /// adapter has none; its answers are compared all the same.
    async fn digest(&self) -> Option<String>;
}

/// Expands every case as a `#[tokio::test]`. Takes an expression that makes a fresh [`Fixture`], and may `return` where none
/// can be had; call it in a module of its own for each adapter. The crate that calls it needs `tokio` with its macros.
#[macro_export]
macro_rules! history_conformance {
    ($fixture:expr) => {
        $crate::history_conformance! { @cases $fixture;
            changes:
                a_created_conversation_is_listed_for_its_members
                a_title_and_an_archived_flag_change_apart
                every_change_of_standing_shows
                a_message_comes_back_as_it_was_posted
                an_edit_replaces_the_text_and_says_when
                a_redaction_hides_the_text_for_good
                a_post_stays_as_it_was_posted
                reactions_name_those_who_are_present
                a_read_marker_is_that_of_its_person
                an_event_comes_back_byte_for_byte
                void_events_are_kept_and_change_nothing
                an_event_is_found_by_its_id
                many_events_are_found_at_once_each_in_the_place_of_its_id
                the_first_event_with_an_id_is_the_one_that_is_found;
            order:
                a_batch_applied_twice_changes_nothing
                an_older_batch_that_comes_late_changes_nothing_newer
                what_comes_before_its_message_counts_once_the_message_is_there
                what_comes_before_its_conversation_counts_once_the_conversation_is_there;
            pages:
                events_page_in_both_directions
                a_page_holds_its_limit_and_not_one_more
                a_page_is_never_longer_than_the_cap_and_never_empty_by_limit
                extents_without_records_are_empty
                messages_page_over_what_is_no_message
                conversations_page_by_id
                who_left_or_was_removed_has_no_entry_in_the_list;
            progress:
                progress_moves_with_the_batch_and_never_back
                a_batch_without_events_moves_progress
                partitions_progress_apart
                what_was_applied_is_there_when_opened_again
                a_batch_moves_all_of_its_partitions
                a_batch_of_another_log_is_refused_whole;
            snapshots:
                a_conversation_unknown_so_far_has_no_state_but_a_position
                a_snapshot_is_the_fold_at_every_position
                the_window_of_repeats_ends_where_that_of_the_fold_does
                a_snapshot_never_shows_half_a_batch;
            random:
                shuffled_and_overlapping_batches_answer_as_the_model_does;
        }
    };
    (@cases $fixture:expr; $($module:ident: $($case:ident)+;)+) => { $($(
        #[tokio::test]
        async fn $case() {
            let fixture = $fixture;
            $crate::history::conformance::$module::$case(&fixture).await;
        }
    )+)+ };
}
