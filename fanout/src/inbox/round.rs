//! Rounds: what is due is looked up in the history, and who is concerned is told. One round after another, at most so many a second, so
//! that a busy conversation costs no more than a quiet one does.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, TryStreamExt, future::try_join_all, stream};
use kernel::{
    history::{Extent, Order, ReachError, WAIT_MAX, reach},
    inbox,
};
use schemas::{ConversationId, Partition, Position};
use tokio::time::{Instant, sleep_until};

use super::{Inboxes, register::Row, watch::Due};
use crate::shard::Mail;

/// From the beginning of a round to that of the next.
const INTERVAL: Duration = Duration::from_millis(200);
/// The same after a round that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Conversations, and then entries, that are looked up at once.
const LOOKUPS_IN_FLIGHT_MAX: usize = 8;
/// Events that are read at once.
const EVENTS_LEN: usize = 100;
/// Most events, counted for each person, that are taken into account in one go: sessions that come and go wait meanwhile.
const STEPS_LEN: usize = 10_000;
/// Most news in one letter, so that the thread of a shard has other things to do in between.
const NEWS_LEN_MAX: usize = 100;

/// Runs until it is ended.
pub(crate) async fn attend(inboxes: Arc<Inboxes>) {
    loop {
        inboxes.due.notified().await;
        let begun = Instant::now();
        let due = inboxes.watch.lock().take();
        let interval = match inboxes.round(&due).await {
            Ok(()) => {
                inboxes.watch.lock().done();
                INTERVAL
            }
            Err(error) => {
                tracing::warn!(%error, "inboxes cannot be brought up to date now; trying again");
                inboxes.watch.lock().put_back(due);
                inboxes.due.notify_one();
                RETRY_INTERVAL
            }
        };
        sleep_until(begun + interval).await;
    }
}

impl Inboxes {
    /// Does all that is due. If it fails it may be done again from the start.
    async fn round(&self, due: &Due) -> Result<(), ReachError> {
        self.reach(due).await?;
        for (row, (_, position)) in &due.people {
            self.register.lock().recount(row.clone(), *position);
        }
        let following =
            due.conversations.keys().map(|conversation| self.follow(conversation)).collect::<Vec<_>>();
        stream::iter(following).buffer_unordered(LOOKUPS_IN_FLIGHT_MAX).try_collect::<()>().await?;
        self.recount().await?;
        self.tell().await;
        Ok(())
    }

    /// Waits until the history has come to all of the places.
    async fn reach(&self, due: &Due) -> Result<(), ReachError> {
        let mut wanted: HashMap<Partition, Position> = HashMap::new();
        for (partition, position) in due.conversations.values().chain(due.people.values()) {
            let there = wanted.entry(*partition).or_default();
            *there = (*there).max(*position);
        }
        let (history, epoch) = (&**self.mirror.history(), self.mirror.epoch());
        let deadline = Instant::now() + WAIT_MAX;
        let reaching = wanted
            .into_iter()
            .map(|(partition, position)| reach(history, partition, position, &epoch, deadline));
        try_join_all(reaching).await.map(drop)
    }

    /// Takes what happened in a conversation into account.
    async fn follow(&self, conversation: &ConversationId) -> Result<(), ReachError> {
        loop {
            let place = self.register.lock().place(conversation);
            let Some(from) = place else {
                self.unfollow(conversation);
                return Ok(());
            };
            let (up_to, order) = (Position::new(u64::MAX), Order::Ascending);
            let extent = Extent { after: from, up_to, order, limit: EVENTS_LEN };
            let events = self.mirror.history().events(conversation, extent).await?;
            let people = self.register.lock().people_of(conversation);
            for events in events.chunks((STEPS_LEN / people.max(1)).max(1)) {
                self.register.lock().follow(conversation, events);
            }
            if events.len() < EVENTS_LEN {
                return Ok(());
            }
        }
    }

    /// Nobody is told of the conversation, unless somebody came meanwhile.
    fn unfollow(&self, conversation: &ConversationId) {
        let register = self.register.lock();
        if register.place(conversation).is_none() {
            self.watch.lock().unfollow(conversation);
        }
    }

    /// Counts what has to be counted again.
    async fn recount(&self) -> Result<(), ReachError> {
        let rows = self.register.lock().recounts();
        let counting = rows.iter().map(|row| self.recount_one(row)).collect::<Vec<_>>();
        stream::iter(counting).buffer_unordered(LOOKUPS_IN_FLIGHT_MAX).try_collect::<()>().await
    }

    async fn recount_one(&self, row: &Row) -> Result<(), ReachError> {
        let (user, conversation) = row;
        let entry = inbox::entry(&**self.mirror.history(), user, conversation).await?;
        let nobody = self.register.lock().counted(row, entry.map(|entry| entry.tally));
        if nobody {
            self.unfollow(conversation);
        }
        Ok(())
    }

    async fn tell(&self) {
        let news = {
            let mut register = self.register.lock();
            self.meter(&register);
            register.news()
        };
        for letter in news.chunks(NEWS_LEN_MAX) {
            let letter: Arc<[_]> = letter.into();
            for shard in self.shards.iter() {
                // A closed mailbox means that the node stops.
                let _ = shard.send(Mail::News(Arc::clone(&letter))).await;
            }
        }
    }
}
