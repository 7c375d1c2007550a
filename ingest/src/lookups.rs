//! Questions to the history about ids, asked together.
//!
//! ```text
//!   a ----> asked at once:       [a]
//!   b --+   while that is under way
//!   c --+-> asked together next: [b c]
//! ```
//!
//! Invariant: the question that answers an id is asked after the id was handed in. So what somebody made sure of before that, as how far
//! the history has come, holds for the answer. In a conversation one question is under way at a time: a quiet one waits for
//! nobody, and a busy one asks for more at a time, not more often.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use kernel::history::{Found, HistoryError, SharedHistory};
use parking_lot::Mutex;
use schemas::{ConversationId, EventId};
use tokio::sync::oneshot;

/// Most ids in one question.
const QUESTION_LEN_MAX: usize = 200;

/// See the module. How many wait is bounded by what a node takes on at a time.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// The conversations about which a question is under way, and who waits for the next one.
    waiting: Arc<Mutex<HashMap<ConversationId, Vec<Asked>>>>,
}

#[derive(Debug)]
struct Asked {
    id: EventId,
    answer: oneshot::Sender<Result<Option<Found>, HistoryError>>,
}

/// The questions about one conversation, until nobody waits. Whatever ends it, the next one who comes begins anew.
struct Asking {
    waiting: Arc<Mutex<HashMap<ConversationId, Vec<Asked>>>>,
    history: SharedHistory,
    conversation: ConversationId,
}

impl Lookups {
    /// The valid event with this id.
    ///
    /// # Errors
    /// See [`HistoryError`].
    pub(crate) async fn find(
        &self,
        history: &SharedHistory,
        conversation: &ConversationId,
        id: &EventId,
    ) -> Result<Option<Found>, HistoryError> {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { id: id.clone(), answer };
        let first = match self.waiting.lock().entry(conversation.clone()) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push(asked);
                None
            }
            Entry::Vacant(nobody) => {
                nobody.insert(Vec::new());
                Some(asked)
            }
        };
        if let Some(first) = first {
            let asking = Asking {
                waiting: Arc::clone(&self.waiting),
                history: SharedHistory::clone(history),
                conversation: conversation.clone(),
            };
            tokio::spawn(asking.run(first));
        }
        answered.await.unwrap_or_else(|_| Err(broken_off()))
    }

    /// Whether no question is under way.
    #[cfg(test)]
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.lock().is_empty()
    }
}

impl Asking {
    async fn run(self, first: Asked) {
        let mut question = vec![first];
        while !question.is_empty() {
            let ids: Vec<_> = question.iter().map(|asked| asked.id.clone()).collect();
            let answers = match self.history.find_all(&self.conversation, &ids).await {
                Ok(found) => found.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error); ids.len()],
            };
            for (Asked { answer, .. }, found) in question.into_iter().zip(answers) {
                // Who went away does not want to know.
                let _ = answer.send(found);
            }
            question = self.next();
        }
    }

    /// The next question; with nobody left to ask for, the conversation is forgotten.
    fn next(&self) -> Vec<Asked> {
        let mut waiting = self.waiting.lock();
        match waiting.get_mut(&self.conversation) {
            Some(asked) if !asked.is_empty() => {
                let len = asked.len().min(QUESTION_LEN_MAX);
                asked.drain(..len).collect()
            }
            _ => {
                waiting.remove(&self.conversation);
                Vec::new()
            }
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        // Otherwise nothing of it is left, and a successor may be at work already.
        if std::thread::panicking() {
            self.waiting.lock().remove(&self.conversation);
        }
    }
}

fn broken_off() -> HistoryError {
    HistoryError::Unavailable { reason: "the question broke off".to_owned() }
}
