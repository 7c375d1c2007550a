//! The inbox: what somebody has not read yet, one [`Entry`] for each of their conversations.
//!
//! Unread are the messages of others behind the person's read marker and behind the last message of their own: who answers has
//! read. They are counted when somebody asks, from the newest back, and nothing of it is kept in the history; so a message costs no more to write than it would without inboxes
//! (`docs/adr/0020-inbox.md`). Whoever knows an entry brings it up to date event by event ([`Tally::follow`]), without asking again.
//!
//! ```text
//!   history: posts, newest first --count--> entry --follow--> entry --follow--> ...
//!                                             ^                 |
//!                                             +---- recount ----+   only when a read marker ends up amidst what is unread
//! ```

use futures_util::{StreamExt, TryStreamExt, stream};
use schemas::{
    ChatEvent, ConversationId, EventBody, MessageText, Position, UserId,
    caps::{PAGE_LEN_MAX, UNREAD_MAX},
};
use serde::Serialize;

use crate::{
    conversation::is_activity,
    history::{Extent, History, HistoryError, Listed, Order},
};

#[cfg(test)]
mod tests;

/// Entries that are counted at once.
const COUNTS_IN_FLIGHT_MAX: usize = 16;

/// What is new in one conversation of a person. Serialises to the JSON that clients get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// In which.
    pub conversation: ConversationId,
    /// How much.
    #[serde(flatten)]
    pub tally: Tally,
}

/// How far a conversation has come, how far a person has read, and what lies between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The wire position of the conversation's last valid event other than a read marker.
    pub offset: Position,
    /// The person's read marker: all before it is read.
    pub read_up_to: Position,
    /// Messages of others that are not read: at most [`UNREAD_MAX`], which stands for "or more".
    pub unread: u32,
    /// How many of these mention the person. When there are more than [`UNREAD_MAX`], older ones may be missing.
    pub mentions: u32,
}

/// What an event means for a tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Same,
    /// It is another one, and right.
    Changed,
    /// It has to be counted again by [`entry`].
    Recount,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Only conversations whose ids come behind it.
    pub after: Option<&'a ConversationId>,
    /// At most so many entries; held to 1..=[`PAGE_LEN_MAX`].
    pub limit: usize,
    /// Only where something is unread.
    pub unread: bool,
}

/// Some entries, by the ids of the conversations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Page {
    /// As many as were asked for, or fewer if there are no more.
    pub conversations: Vec<Entry>,
    /// There are more behind the last.
    pub more: bool,
}

/// The entries of the conversations that `user` is a member of.
///
/// # Errors
/// See [`HistoryError`].
pub async fn page(history: &dyn History, user: &UserId, ask: Ask<'_>) -> Result<Page, HistoryError> {
    let limit = ask.limit.clamp(1, PAGE_LEN_MAX);
    // One more tells whether there are more.
    let wanted = limit + 1;
    let chunk = wanted.min(PAGE_LEN_MAX);
    let (mut conversations, mut after) = (Vec::new(), ask.after.cloned());
    loop {
        let listed = history.conversations_of(user, after.as_ref(), chunk).await?;
        let ended = listed.len() < chunk;
        after = listed.last().map(|last| last.conversation.clone());
        let counting = listed.iter().map(|listed| count(history, user, listed)).collect::<Vec<_>>();
        let mut counting = stream::iter(counting).buffered(COUNTS_IN_FLIGHT_MAX);
        while let Some(entry) = counting.try_next().await? {
            if entry.tally.unread > 0 || !ask.unread {
                conversations.push(entry);
            }
            if conversations.len() == wanted {
                break;
            }
        }
        if ended || conversations.len() == wanted {
            let more = conversations.len() > limit;
            conversations.truncate(limit);
            return Ok(Page { conversations, more });
        }
    }
}

/// The entry of one conversation; `None` if `user` is no member of it.
///
/// # Errors
/// See [`HistoryError`].
pub async fn entry(
    history: &dyn History,
    user: &UserId,
    conversation: &ConversationId,
) -> Result<Option<Entry>, HistoryError> {
    match history.listed(user, conversation).await? {
        Some(listed) => count(history, user, &listed).await.map(Some),
        None => Ok(None),
    }
}

/// Nothing behind `listed.last_offset` is looked at: what comes later is for those who follow.
async fn count(history: &dyn History, user: &UserId, listed: &Listed) -> Result<Entry, HistoryError> {
    let Listed { conversation, last_offset, read_up_to, .. } = listed;
    let extent = Extent {
        after: *read_up_to,
        up_to: *last_offset,
        order: Order::Descending,
        limit: UNREAD_MAX as usize,
    };
    let posts =
        if read_up_to < last_offset { history.posts(conversation, extent).await? } else { Vec::new() };
    let mut tally = Tally { offset: *last_offset, read_up_to: *read_up_to, unread: 0, mentions: 0 };
    for post in posts.iter().take_while(|post| post.author != *user) {
        tally.add(user, &post.text);
    }
    Ok(Entry { conversation: conversation.clone(), tally })
}

impl Tally {
    /// One more message of somebody else is not read.
    fn add(&mut self, user: &UserId, text: &MessageText) {
        self.unread = (self.unread + 1).min(UNREAD_MAX);
        self.mentions = (self.mentions + u32::from(text.mentions(user))).min(UNREAD_MAX);
    }

    fn all_read(&mut self) {
        (self.unread, self.mentions) = (0, 0);
    }

    /// Takes the next valid event of the conversation, at `position`, into account: each, in order, from one at or before the last that is counted. What
    /// is in the tally already changes nothing.
    pub fn follow(&mut self, user: &UserId, event: &ChatEvent, position: Position) -> Step {
        let own = event.actor == *user;
        if let (EventBody::ReadMarkerMoved(moved), true) = (&event.body, own) {
            self.read_up_to = moved.up_to;
            if moved.up_to < self.offset {
                return Step::Recount;
            }
            self.all_read();
            return Step::Changed;
        }
        if !is_activity(&event.body) || position <= self.offset {
            return Step::Same;
        }
        self.offset = position;
        if let EventBody::MessagePosted(posted) = &event.body {
            if own {
                self.all_read();
            } else if position > self.read_up_to {
                self.add(user, &posted.text);
            }
        }
        Step::Changed
    }
}
