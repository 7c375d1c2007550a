//! The history in memory: the model that the other adapters are measured by, for tests and simulations.
//!
//! Invariant: what is kept is a function of the *set* of changes applied, whatever their order. Each field has the
//! offset of the change that wrote it, and gives way only to a later one; a message and an id belong to the first
//! event that used them. Nothing is durable here, and nothing is forgotten.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use parking_lot::RwLock;
use schemas::{ConversationId, EventBody, EventId, Partition, Position, UserId, caps};

use super::{
    Batch, Depth, Digest, Extent, Found, History, HistoryError, Listed, Message, Order, Post, Progress,
    Snapshot, StoredEvent,
};

mod digest;
mod kept;

use kept::Kept;

/// See the module. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct MemoryHistory {
    content: Arc<RwLock<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    conversations: BTreeMap<ConversationId, Kept>,
    progress: BTreeMap<Partition, Progress>,
}

impl MemoryHistory {
    /// An empty history.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fingerprint of everything it holds, progress included.
    pub fn digest(&self) -> Digest {
        digest::digest(&self.content.read())
    }

    /// What `ask` says about a conversation, if anything is known of it.
    fn about<T>(&self, conversation: &ConversationId, ask: impl FnOnce(&Kept) -> T) -> Option<T> {
        self.content.read().conversations.get(conversation).map(ask)
    }
}

impl Content {
    fn apply(&mut self, batch: Batch) -> Result<(), HistoryError> {
        let Batch { epoch, up_to, events } = batch;
        if let Some(other) = self.progress.values().find(|progress| progress.epoch != epoch) {
            return Err(HistoryError::OtherLog { expected: epoch, found: other.epoch.clone() });
        }
        for projected in events {
            let conversation = projected.event.event.conversation.clone();
            self.conversations.entry(conversation).or_default().apply(projected);
        }
        for (partition, position) in up_to {
            let begun = || Progress { epoch: epoch.clone(), position: Position::START };
            let progress = self.progress.entry(partition).or_insert_with(begun);
            progress.position = progress.position.max(position);
        }
        Ok(())
    }

    fn snapshot(&self, partition: Partition, conversation: &ConversationId, depth: Depth) -> Snapshot {
        let state = self.conversations.get(conversation).and_then(|kept| kept.state(conversation, depth));
        let position = self.progress.get(&partition).map_or(Position::START, |progress| progress.position);
        Snapshot { state, position }
    }
}

#[async_trait]
impl History for MemoryHistory {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.content.write().apply(batch)
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        Ok(self.content.read().progress.get(&partition).cloned())
    }

    async fn snapshot(
        &self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        Ok(self.content.read().snapshot(partition, conversation, depth))
    }

    async fn events(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        Ok(self.about(conversation, |kept| page(&kept.events, extent).cloned().collect()).unwrap_or_default())
    }

    async fn messages(
        &self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError> {
        let looks = |kept: &Kept| page(&kept.posts, extent).filter_map(|id| kept.message(id)).collect();
        Ok(self.about(conversation, looks).unwrap_or_default())
    }

    async fn posts(&self, conversation: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        let posts = |kept: &Kept| page(&kept.posts, extent).filter_map(|id| kept.posted(id)).collect();
        Ok(self.about(conversation, posts).unwrap_or_default())
    }

    async fn find_all(
        &self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        let found = self.about(conversation, |kept| event_ids.iter().map(|id| kept.find(id)).collect());
        Ok(found.unwrap_or_else(|| event_ids.iter().map(|_| None).collect()))
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        let content = self.content.read();
        let listed = content
            .conversations
            .iter()
            .filter(|(id, _)| after.is_none_or(|after| *id > after))
            .filter_map(|(id, kept)| kept.listed(id, user));
        Ok(listed.take(limit.clamp(1, caps::PAGE_LEN_MAX)).collect())
    }

    async fn listed(
        &self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError> {
        Ok(self.about(conversation, |kept| kept.listed(conversation, user)).flatten())
    }
}

/// The items of an extent, from the end that it names.
fn page<T>(items: &BTreeMap<schemas::Offset, T>, extent: Extent) -> impl Iterator<Item = &T> {
    let (from, to) = (extent.after.next(), extent.up_to.next());
    let mut within = items.range(from..to.max(from)).map(|(_, item)| item);
    let next = move || match extent.order {
        Order::Ascending => within.next(),
        Order::Descending => within.next_back(),
    };
    std::iter::from_fn(next).take(extent.limit())
}

/// Whether an event posted a message.
fn is_post(event: &StoredEvent) -> bool {
    matches!(event.event.body, EventBody::MessagePosted(_))
}
