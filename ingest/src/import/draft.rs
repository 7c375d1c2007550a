//! A conversation as it will be when the import is in: its state, folded on trial.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use kernel::{
    command::CommandError,
    conversation::{ConversationState, Fact, Void},
    mirror::Tracked,
};
use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Offset, Timestamp, UserId, Visibility,
    event::ConversationCreated,
};

use crate::{accept::Worker, append::unavailable, recall::Known};

/// The id of the event that makes a conversation which an import brings.
const CREATION: &str = "import.created";

/// See the module.
#[derive(Debug)]
pub(super) struct Draft {
    tracked: Arc<Tracked>,
    /// Of the ids it has those of this import.
    state: Option<ConversationState>,
    /// The ids of the import that were used before.
    used: HashMap<EventId, Known>,
}

impl Draft {
    /// The conversation as it is; `ids` are those that the import uses. All are looked up at once.
    pub(super) async fn new(
        worker: &Worker,
        conversation: &ConversationId,
        ids: BTreeSet<EventId>,
    ) -> Result<Self, CommandError> {
        let tracked = worker.mirror.track(conversation).await.map_err(unavailable)?;
        let state = tracked.look(|state| Some(state?.without_repeats()));
        // After the state was copied: what it does not have yet is found here too.
        let used = worker.recall.events(&worker.mirror, &tracked, ids).await?;
        Ok(Self { tracked, state, used })
    }

    pub(super) fn tracked(&self) -> &Tracked {
        &self.tracked
    }

    /// The event with this id: of this import, or from before.
    pub(super) fn find(&self, id: &EventId) -> Option<Known> {
        let of_this = self.state.as_ref().and_then(|state| state.repeats.find(id)).map(Known::from);
        of_this.or_else(|| self.used.get(id).cloned())
    }

    /// Whether what `event` answers, if anything, is a message: of this import, or from before.
    pub(super) async fn has_target_of(
        &self,
        worker: &Worker,
        event: &ChatEvent,
    ) -> Result<bool, CommandError> {
        let EventBody::MessagePosted(posted) = &event.body else { return Ok(true) };
        let Some(target) = &posted.reply_to else { return Ok(true) };
        if self.state.as_ref().is_some_and(|state| state.repeats.message(target).is_some()) {
            return Ok(true);
        }
        let known = worker.recall.message(&worker.mirror, &self.tracked, target).await?;
        Ok(known.is_some())
    }

    /// The event that makes the conversation, if it needs one before `first`.
    pub(super) fn create_if_new(&mut self, importer: &UserId, first: &ChatEvent) -> Option<ChatEvent> {
        if self.state.is_some() {
            return None;
        }
        let created = ConversationCreated {
            // An id is shorter than a title may be, and has no character that a title may not have.
            title: first.conversation.as_str().parse().ok(),
            visibility: Visibility::Open,
            members: Vec::new(),
        };
        let event = ChatEvent {
            event_id: CREATION.parse().ok()?,
            conversation: first.conversation.clone(),
            actor: importer.clone(),
            occurred_at: first.occurred_at,
            body: created.into(),
        };
        self.add(&event).ok().map(|()| event)
    }

    /// Folds one event on trial.
    ///
    /// # Errors
    /// Why it would not count.
    pub(super) fn add(&mut self, event: &ChatEvent) -> Result<(), Void> {
        let next = self.state.as_ref().map_or(0, |state| state.position.get());
        // Recorded at no time: nothing that this import adds leaves the window while the trial lasts.
        let fact = Fact { event, offset: Offset::new(next), recorded_at: Timestamp::from_millis(i64::MIN) };
        ConversationState::evolve(&mut self.state, fact)
    }
}
