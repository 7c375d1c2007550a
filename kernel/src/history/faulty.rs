//! A history that fails on demand, in named ways, so that tests can see what others do about it.
//!
//! Nothing here is left to chance: each fault is switched by a handle ([`HistoryFaults`]), and whoever waits is woken
//! by a call, never by time. Without faults it does what the history inside does.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use schemas::{ConversationId, EventId, Partition, UserId};
use tokio::sync::watch;

use super::{
    Batch, Depth, Extent, Found, History, HistoryError, Listed, Message, Post, Progress, SharedHistory,
    Snapshot, StoredEvent,
};

/// See the module.
#[derive(Debug)]
pub struct FaultyHistory {
    inner: SharedHistory,
    faults: HistoryFaults,
}

/// Switches the faults of one [`FaultyHistory`]. Clones switch the same ones.
#[derive(Debug, Clone, Default)]
pub struct HistoryFaults(Arc<Faults>);

#[derive(Debug, Default)]
struct Faults {
    plan: Mutex<Plan>,
    /// Whether batches are held.
    hold: watch::Sender<bool>,
    /// Batches that are held now.
    held: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Plan {
    applies_to_fail: usize,
    answers_to_lose: usize,
    reads_fail: bool,
}

/// Counts one held batch for as long as it is held, even if its caller goes away.
struct Held<'a>(&'a watch::Sender<usize>);

impl FaultyHistory {
    /// Puts the faults, none at first, before `inner`.
    pub fn new(inner: SharedHistory) -> (Self, HistoryFaults) {
        let faults = HistoryFaults::default();
        (Self { inner, faults: faults.clone() }, faults)
    }
}

impl HistoryFaults {
    /// The next so many batches fail and are not applied.
    pub fn fail_applies(&self, count: usize) {
        self.0.plan.lock().applies_to_fail = count;
    }

    /// The next so many batches are applied, but whoever sent them is told that they were not.
    pub fn lose_answers(&self, count: usize) {
        self.0.plan.lock().answers_to_lose = count;
    }

    /// From now on every question fails, or none does.
    pub fn fail_reads(&self, fail: bool) {
        self.0.plan.lock().reads_fail = fail;
    }

    /// From now on batches wait, before anything else happens to them, until [`Self::release_applies`].
    pub fn hold_applies(&self) {
        self.0.hold.send_replace(true);
    }

    /// Lets all held batches go on, and holds no more.
    pub fn release_applies(&self) {
        self.0.hold.send_replace(false);
    }

    /// Waits until at least so many batches are held.
    pub async fn until_held(&self, count: usize) {
        // The sender lives in `self`, so the wait ends only when enough are held.
        self.0.held.subscribe().wait_for(|held| *held >= count).await.ok();
    }

    async fn pass_hold(&self) {
        let mut hold = self.0.hold.subscribe();
        if *hold.borrow_and_update() {
            let _held = Held::new(&self.0.held);
            hold.wait_for(|hold| !hold).await.ok();
        }
    }

    fn check_read(&self) -> Result<(), HistoryError> {
        if self.0.plan.lock().reads_fail { Err(fault("reads fail")) } else { Ok(()) }
    }
}

impl<'a> Held<'a> {
    fn new(held: &'a watch::Sender<usize>) -> Self {
        held.send_modify(|held| *held += 1);
        Self(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

#[async_trait]
impl History for FaultyHistory {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.faults.pass_hold().await;
        if take_one(&mut self.faults.0.plan.lock().applies_to_fail) {
            return Err(fault("the batch is not applied"));
        }
        self.inner.apply(batch).await?;
        if take_one(&mut self.faults.0.plan.lock().answers_to_lose) {
            return Err(fault("the answer is lost"));
        }
        Ok(())
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        self.faults.check_read()?;
        self.inner.progress(partition).await
    }

    async fn snapshot(
        &self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        self.faults.check_read()?;
        self.inner.snapshot(partition, conversation, depth).await
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        self.faults.check_read()?;
        self.inner.events(conversation, extent).await
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError> {
        self.faults.check_read()?;
        self.inner.messages(conversation, extent).await
    }

    async fn posts(&self, conversation: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        self.faults.check_read()?;
        self.inner.posts(conversation, extent).await
    }

    async fn find_all(
        &self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        self.faults.check_read()?;
        self.inner.find_all(conversation, event_ids).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        self.faults.check_read()?;
        self.inner.conversations_of(user, after, limit).await
    }

    async fn listed(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError> {
        self.faults.check_read()?;
        self.inner.listed(user, conversation).await
    }
}

/// Whether there was one left to take.
fn take_one(count: &mut usize) -> bool {
    let left = count.checked_sub(1);
    *count = left.unwrap_or(0);
    left.is_some()
}

fn fault(what: &str) -> HistoryError {
    HistoryError::Unavailable { reason: format!("injected fault: {what}") }
}

#[cfg(test)]
mod tests {
    use schemas::{Position, Visibility};
    use tokio::task::yield_now;

    use super::*;
    use crate::history::{
        conformance::{Scribe, body, event_id, user},
        memory::MemoryHistory,
    };

    const PARTITION: Partition = Partition(0);

    struct Bench {
        history: Arc<FaultyHistory>,
        inside: MemoryHistory,
        faults: HistoryFaults,
        scribe: Scribe,
    }

    fn bench() -> Bench {
        let inside = MemoryHistory::new();
        let (history, faults) = FaultyHistory::new(Arc::new(inside.clone()));
        let mut scribe = Scribe::default();
        scribe.does("ann", "c", body::created(Visibility::Open, &[]));
        Bench { history: Arc::new(history), inside, faults, scribe }
    }

    async fn applied(inside: &MemoryHistory) -> bool {
        inside.progress(PARTITION).await.unwrap().is_some_and(|at| at.position == Position::new(1))
    }

    #[tokio::test]
    async fn a_failed_apply_leaves_nothing_and_the_one_after_it_works() {
        let Bench { history, inside, faults, scribe } = bench();
        faults.fail_applies(2);
        for _ in 0..2 {
            assert!(history.apply(scribe.whole()).await.unwrap_err().retryable());
            assert!(!applied(&inside).await);
        }
        history.apply(scribe.whole()).await.unwrap();
        assert!(applied(&inside).await);
    }

    #[tokio::test]
    async fn a_lost_answer_is_an_error_for_what_happened() {
        let Bench { history, inside, faults, scribe } = bench();
        faults.lose_answers(1);
        assert!(history.apply(scribe.whole()).await.unwrap_err().retryable());
        assert!(applied(&inside).await);
        history.apply(scribe.whole()).await.unwrap();
    }

    #[tokio::test]
    async fn every_question_fails_while_reads_do() {
        let Bench { history, faults, scribe, .. } = bench();
        history.apply(scribe.whole()).await.unwrap();
        let tea = "tea".parse().unwrap();
        for fail in [true, false] {
            faults.fail_reads(fail);
            let failed = [
                history.progress(PARTITION).await.is_err(),
                history.snapshot(PARTITION, &tea, Depth::Look).await.is_err(),
                history.events(&tea, Extent::ALL).await.is_err(),
                history.messages(&tea, Extent::ALL).await.is_err(),
                history.find(&tea, &event_id("c")).await.is_err(),
                history.posts(&tea, Extent::ALL).await.is_err(),
                history.conversations_of(&user("ann"), None, 1).await.is_err(),
                history.listed(&user("ann"), &tea).await.is_err(),
            ];
            assert_eq!(failed, [fail; 8]);
        }
    }

    #[tokio::test]
    async fn a_held_batch_waits_for_its_release() {
        let Bench { history, inside, faults, scribe } = bench();
        faults.hold_applies();
        let sender = Arc::clone(&history);
        let batch = scribe.whole();
        let apply = tokio::spawn(async move { sender.apply(batch).await });
        faults.until_held(1).await;
        yield_now().await;
        assert!(!applied(&inside).await);
        assert!(!apply.is_finished());
        faults.release_applies();
        apply.await.unwrap().unwrap();
        assert!(applied(&inside).await);
        history.apply(scribe.whole()).await.unwrap();
    }

    #[tokio::test]
    async fn a_held_batch_that_is_given_up_is_held_no_more() {
        let Bench { history, faults, scribe, .. } = bench();
        faults.hold_applies();
        let batch = scribe.whole();
        let apply = tokio::spawn(async move { history.apply(batch).await });
        faults.until_held(1).await;
        apply.abort();
        apply.await.unwrap_err();
        assert_eq!(*faults.0.held.borrow(), 0);
    }
}
