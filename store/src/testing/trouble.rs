//! A history that fails when it is told to, and counts: tests wait for so many failures, or see how often it was asked.

use super::*;

/// What goes wrong from now on, and what did so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Trouble {
    pub(crate) apply: Applying,
    /// Snapshots of this partition are held.
    pub(crate) held: Option<Partition>,
    /// After so many more questions each one fails.
    pub(crate) reads_left: Option<u64>,
    /// Batches that were applied.
    pub(crate) applied: u64,
    /// Snapshots that were asked for to fold on.
    pub(crate) folds: u64,
    /// Questions that were answered or failed.
    pub(crate) asked: u64,
    /// Calls that failed or are held.
    pub(crate) struck: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Applying {
    #[default]
    Works,
    Fails,
    /// Happens, but the answer is lost.
    Unheard,
    Held,
}

#[derive(Debug, Clone)]
pub(crate) struct Troubled {
    pub(crate) inner: SharedHistory,
    trouble: watch::Sender<Trouble>,
}

impl Troubled {
    pub(crate) fn new(inner: SharedHistory) -> Self {
        Self { inner, trouble: watch::Sender::default() }
    }

    pub(crate) fn shared(&self) -> SharedHistory {
        Arc::new(self.clone())
    }

    pub(crate) fn apply(&self, apply: Applying) {
        self.trouble.send_modify(|trouble| trouble.apply = apply);
    }

    pub(crate) fn reads_fail(&self, fail: bool) {
        self.reads_left(fail.then_some(0));
    }

    pub(crate) fn reads_left(&self, left: Option<u64>) {
        self.trouble.send_modify(|trouble| trouble.reads_left = left);
    }

    pub(crate) fn hold_snapshots(&self, of: Option<Partition>) {
        self.trouble.send_modify(|trouble| trouble.held = of);
    }

    pub(crate) fn now(&self) -> Trouble {
        *self.trouble.borrow()
    }

    /// Waits until so many calls failed or were held, in all.
    pub(crate) async fn struck(&self, times: u64) {
        self.trouble.subscribe().wait_for(|trouble| trouble.struck >= times).await.unwrap();
    }

    fn fail<T>(&self) -> Result<T, HistoryError> {
        self.trouble.send_modify(|trouble| trouble.struck += 1);
        Err(HistoryError::Unavailable { reason: "a test says so".to_owned() })
    }

    fn reading(&self) -> Result<(), HistoryError> {
        let left = self.now().reads_left;
        self.trouble.send_modify(|trouble| {
            trouble.asked += 1;
            trouble.reads_left = left.map(|left| left.saturating_sub(1));
        });
        if left == Some(0) { self.fail() } else { Ok(()) }
    }
}

#[async_trait]
impl History for Troubled {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        match self.now().apply {
            Applying::Works => {}
            Applying::Fails => return self.fail(),
            Applying::Unheard => {
                self.inner.apply(batch).await?;
                return self.fail();
            }
            Applying::Held => {
                let _ = self.fail::<()>();
                let mut trouble = self.trouble.subscribe();
                trouble.wait_for(|trouble| trouble.apply != Applying::Held).await.unwrap();
            }
        }
        self.inner.apply(batch).await?;
        self.trouble.send_modify(|trouble| trouble.applied += 1);
        Ok(())
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        self.inner.progress(partition).await
    }

    async fn snapshot(
        &self,
        partition: Partition,
        id: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        self.reading()?;
        self.trouble.subscribe().wait_for(|trouble| trouble.held != Some(partition)).await.unwrap();
        self.trouble.send_modify(|trouble| trouble.folds += u64::from(depth == Depth::Fold));
        self.inner.snapshot(partition, id, depth).await
    }

    async fn events(&self, id: &ConversationId, extent: Extent) -> Result<Vec<StoredEvent>, HistoryError> {
        self.reading()?;
        self.inner.events(id, extent).await
    }

    async fn messages(&self, id: &ConversationId, extent: Extent) -> Result<Vec<Message>, HistoryError> {
        self.reading()?;
        self.inner.messages(id, extent).await
    }

    async fn posts(&self, id: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        self.reading()?;
        self.inner.posts(id, extent).await
    }

    async fn find_all(
        &self,
        id: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        self.reading()?;
        self.inner.find_all(id, event_ids).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        self.reading()?;
        self.inner.conversations_of(user, after, limit).await
    }

    async fn listed(&self, user: &UserId, id: &ConversationId) -> Result<Option<Listed>, HistoryError> {
        self.reading()?;
        self.inner.listed(user, id).await
    }
}
