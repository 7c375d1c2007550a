//! Inboxes: people are told what is new in all of their conversations, by one subscription each.
//!
//! ```text
//!   mirror: every record, undecoded --> watch: whose inbox is it for? --due--> round --> register: their tallies
//!                                                                                |  ^
//!                                       shards <-- news, at most so often --------+  +-- history: what happened
//! ```
//!
//! - `watch`: which records concern an inbox at this node, by their keys; pure;
//! - `register`: who is told of which conversation, and what they know of it; pure;
//! - `round`: what is due, from the history to the sessions; the only I/O.
//!
//! What counts is asked of the history, which has folded it: so nothing is folded here, and a conversation that only an inbox
//! is interested in costs a look at each record's key, and one read for each round in which something happened, however many people are told.
//! Invariant: an inbox is right once the round after the last event is over. What a session is told may leave out what lay between.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use kernel::{
    event_log::Record,
    history::{Freshness, HistoryError, ReachError},
    inbox::{self, Ask, Entry, Page},
    metric,
    mirror::{Mirror, Witness},
};
use metrics::Gauge;
use parking_lot::Mutex;
use schemas::{ConversationId, Partition, UserId, caps};
use serde::Serialize;
use tokio::sync::{Notify, mpsc};

use crate::shard::Mail;

mod register;
mod round;
#[cfg(test)]
mod tests;
mod watch;

pub(crate) use round::attend;

use register::Register;
use watch::Watch;

/// What the protocol calls the inbox of whoever asks. No conversation can have the name.
pub(crate) const CHANNEL: &str = "@inbox";

/// See the module.
pub(crate) struct Inboxes {
    mirror: Arc<Mirror>,
    freshness: Freshness,
    /// Locked for moments only, as the mirror waits for it. Where both are locked, the register is first.
    watch: Mutex<Watch>,
    register: Mutex<Register>,
    /// Something is due.
    due: Notify,
    /// The mailboxes of all shards.
    shards: Arc<Vec<mpsc::Sender<Mail>>>,
    entries: Gauge,
}

/// What somebody is told of one of their conversations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum News {
    /// It is so now.
    Entry(Entry),
    /// They are no member.
    Gone(Gone),
}

/// A conversation that is not in the inbox, whatever was told before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Gone {
    conversation: ConversationId,
    gone: bool,
}

impl News {
    fn gone(conversation: ConversationId) -> Self {
        Self::Gone(Gone { conversation, gone: true })
    }

    /// As the client gets it.
    pub(crate) fn json(&self) -> Bytes {
        // Plain texts and numbers: nothing that JSON cannot write.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

/// Why an inbox cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InboxError {
    /// The history does not answer, or lags. Trying again may help.
    #[error(transparent)]
    Behind(#[from] ReachError),
    /// It is larger than is kept. Asking for it page by page works.
    #[error("the person is a member of more than {} conversations", caps::INBOX_LEN_MAX)]
    TooMany,
}

impl From<HistoryError> for InboxError {
    fn from(error: HistoryError) -> Self {
        Self::Behind(error.into())
    }
}

/// Keeps an inbox up to date as long as it lives.
pub(crate) struct Opened {
    inboxes: Arc<Inboxes>,
    user: UserId,
}

impl Inboxes {
    pub(crate) fn new(mirror: Arc<Mirror>, shards: Arc<Vec<mpsc::Sender<Mail>>>) -> Arc<Self> {
        let freshness = Freshness::new(Arc::clone(mirror.log()), Arc::clone(mirror.history()));
        let inboxes = Arc::new(Self {
            mirror,
            freshness,
            watch: Mutex::default(),
            register: Mutex::default(),
            due: Notify::new(),
            shards,
            entries: metric::INBOX_ENTRIES.gauge(),
        });
        let itself: Weak<Self> = Arc::downgrade(&inboxes);
        inboxes.mirror.show(itself);
        inboxes
    }

    /// Some entries of a person's inbox, with everything that was accepted before.
    ///
    /// # Errors
    /// See [`InboxError`].
    pub(crate) async fn page(&self, user: &UserId, ask: Ask<'_>) -> Result<Page, InboxError> {
        self.freshness.reach_all().await?;
        Ok(inbox::page(&**self.mirror.history(), user, ask).await?)
    }

    /// From here on the shards are told what is new for `user`.
    ///
    /// # Errors
    /// See [`InboxError`].
    pub(crate) async fn open(self: &Arc<Self>, user: &UserId) -> Result<Opened, InboxError> {
        let loading = {
            let mut register = self.register.lock();
            self.watch.lock().add_person(user);
            register.enter(user)
        };
        let opened = Opened { inboxes: Arc::clone(self), user: user.clone() };
        // Of several sessions of one person that come at once, one loads and the others wait for it.
        let _turn = loading.lock().await;
        let loaded = self.register.lock().is_loaded(user);
        if !loaded {
            self.load(user).await?;
        }
        Ok(opened)
    }

    /// What happens while the entries are read is followed from the places before, once something happens again; until then the list, which is
    /// asked for later, knows it.
    async fn load(&self, user: &UserId) -> Result<(), InboxError> {
        let partitions = (0..self.mirror.log().partitions()).map(Partition);
        let places: HashMap<_, _> =
            partitions.map(|partition| (partition, self.mirror.place(partition))).collect();
        self.freshness.reach_all().await?;
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map(|last| last.conversation.clone());
            let ask = Ask { after: after.as_ref(), limit: caps::PAGE_LEN_MAX, unread: false };
            let page = inbox::page(&**self.mirror.history(), user, ask).await?;
            entries.extend(page.conversations);
            if entries.len() > caps::INBOX_LEN_MAX {
                return Err(InboxError::TooMany);
            }
            if !page.more {
                break;
            }
        }
        let mut register = self.register.lock();
        let mut watch = self.watch.lock();
        for Entry { conversation, tally } in entries {
            let place = places.get(&self.mirror.partition_of(&conversation)).copied().unwrap_or_default();
            watch.follow(&conversation);
            if register.load((user.clone(), conversation), tally, place) {
                self.due.notify_one();
            }
        }
        register.loaded(user);
        self.meter(&register);
        Ok(())
    }

    fn close(&self, user: &UserId) {
        let mut register = self.register.lock();
        let Some(left) = register.leave(user) else { return };
        self.meter(&register);
        let mut watch = self.watch.lock();
        watch.remove_person(user);
        for conversation in &left {
            watch.unfollow(conversation);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "entries in memory are below 2^53")]
    fn meter(&self, register: &Register) {
        self.entries.set(register.entries() as f64);
    }
}

impl Witness for Inboxes {
    fn saw(&self, partition: Partition, records: &[Record]) {
        if self.watch.lock().saw(partition, records, self.mirror.codec()) {
            self.due.notify_one();
        }
    }
}

impl Opened {
    /// Whose it is.
    pub(crate) fn user(&self) -> &UserId {
        &self.user
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.inboxes.close(&self.user);
    }
}

impl fmt::Debug for Inboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inboxes").field("entries", &self.register.lock().entries()).finish_non_exhaustive()
    }
}
