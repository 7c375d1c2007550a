//! Stretches of a conversation, bucket by bucket, in either order.
//!
//! A bucket that is not listed is not looked at; of those listed, more and more are read at once while they turn out nearly empty.

use std::collections::VecDeque;

use futures_util::{StreamExt, TryStreamExt, future::try_join, stream};
use kernel::history::{Extent, HistoryError, Message, Order, Post, Reaction, StoredEvent};
use schemas::{ConversationId, Emoji, EventBody, Offset, UserId, codec::Codec};
use scylla::{DeserializeRow, value::CqlTimestamp};

use super::{
    bucket, row,
    session::Connection,
    statements::{Select, Selects},
};

/// Buckets that are asked for at once from the list of those that are not empty.
const BUCKETS_MAX: i32 = 64;
/// Most buckets that are read at once.
const BUCKETS_IN_FLIGHT_MAX: usize = 16;
/// Messages that are looked up at once.
const MESSAGES_IN_FLIGHT_MAX: usize = 32;

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) connection: &'a Connection,
    pub(super) selects: &'a Selects,
}

/// Which events of a conversation are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// All, void ones included.
    Any,
    /// Those that posted a message.
    Posts,
}

/// A walk through the events of a conversation, from one end of a range of offsets to the other.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    reader: Reader<'a>,
    conversation: &'a ConversationId,
    kind: Kind,
    order: Order,
    /// What is still to be walked: offsets of `from..to`.
    from: i64,
    to: i64,
    /// Buckets that are not empty, the next first.
    buckets: VecDeque<i64>,
    /// There are no buckets but these.
    all_listed: bool,
    /// Buckets to be read at once.
    width: usize,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        reader: Reader<'a>,
        conversation: &'a ConversationId,
        kind: Kind,
        extent: Extent,
    ) -> Self {
        let (from, to) = (i64::from(extent.after), i64::from(extent.up_to));
        let buckets = VecDeque::new();
        let order = extent.order;
        Self { reader, conversation, kind, order, from, to, buckets, all_listed: false, width: 1 }
    }

    /// The next events, `limit` of them; fewer if there are no more.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Vec<StoredEvent>, HistoryError> {
        let mut events = Vec::new();
        while events.len() < limit && self.list().await? {
            let (wanted, walk) = (limit - events.len(), &*self);
            let reading = self.buckets.iter().take(self.width).map(|bucket| walk.read(*bucket, wanted));
            let mut read = stream::iter(reading.collect::<Vec<_>>()).buffered(BUCKETS_IN_FLIGHT_MAX);
            let mut pages = Vec::new();
            while let Some(page) = read.try_next().await? {
                pages.push(page);
            }
            drop(read);
            for page in pages {
                let whole = page.len() < limit - events.len();
                events.extend(page.into_iter().take(limit - events.len()));
                self.pass(events.last().map(|event: &StoredEvent| event.offset), whole);
                if events.len() == limit {
                    return Ok(events);
                }
            }
            self.width = (self.width * 2).min(BUCKETS_IN_FLIGHT_MAX);
        }
        Ok(events)
    }

    /// Makes sure that the next bucket is known; `false` if there is none.
    async fn list(&mut self) -> Result<bool, HistoryError> {
        if !self.buckets.is_empty() {
            return Ok(true);
        }
        let (Some((first, last)), false) = (bucket::within(self.from, self.to), self.all_listed) else {
            return Ok(false);
        };
        let select = match self.order {
            Order::Ascending => Select::FirstBuckets,
            Order::Descending => Select::LastBuckets,
        };
        let values = (self.conversation.as_str(), first, last, BUCKETS_MAX);
        let listed: Vec<(i64,)> =
            self.reader.connection.rows(self.reader.selects.get(select), values).await?;
        self.all_listed = i32::try_from(listed.len()).is_ok_and(|len| len < BUCKETS_MAX);
        self.buckets = listed.into_iter().map(|(bucket,)| bucket).collect();
        Ok(!self.buckets.is_empty())
    }

    /// The first events of a bucket, from the end that the order names.
    async fn read(&self, bucket: i64, limit: usize) -> Result<Vec<StoredEvent>, HistoryError> {
        let posts = self.read_kind(bucket, true, limit);
        if self.kind == Kind::Posts {
            return posts.await;
        }
        let (mut events, others) = try_join(posts, self.read_kind(bucket, false, limit)).await?;
        events.extend(others);
        match self.order {
            Order::Ascending => events.sort_by_key(|event| event.offset),
            Order::Descending => events.sort_by_key(|event| std::cmp::Reverse(event.offset)),
        }
        events.truncate(limit);
        Ok(events)
    }

    async fn read_kind(
        &self,
        bucket: i64,
        post: bool,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        let select = match self.order {
            Order::Ascending => Select::Oldest,
            Order::Descending => Select::Newest,
        };
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = (self.conversation.as_str(), bucket, post, self.from, self.to, limit);
        let rows = self.reader.connection.rows(self.reader.selects.get(select), values).await?;
        let codec = Codec::default();
        rows.into_iter().map(|columns| row::event(columns, &codec)).collect()
    }

    /// Goes on behind `last`, and behind the bucket if the `whole` of it was taken.
    fn pass(&mut self, last: Option<Offset>, whole: bool) {
        let behind = |bucket: i64| match self.order {
            Order::Ascending => bucket.saturating_add(1).saturating_mul(bucket::WIDTH),
            Order::Descending => bucket.saturating_mul(bucket::WIDTH),
        };
        let at = match (whole, last) {
            (true, _) => self.buckets.pop_front().map(behind),
            (false, Some(last)) if self.order == Order::Ascending => Some(i64::from(last) + 1),
            (false, last) => last.map(i64::from),
        };
        match (self.order, at) {
            (Order::Ascending, Some(at)) => self.from = self.from.max(at),
            (Order::Descending, Some(at)) => self.to = self.to.min(at),
            (_, None) => {}
        }
    }
}

impl Reader<'_> {
    pub(super) async fn events(
        self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<StoredEvent>, HistoryError> {
        Walk::new(self, conversation, Kind::Any, extent).next(extent.limit()).await
    }

    pub(super) async fn messages(
        self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Message>, HistoryError> {
        let mut walk = Walk::new(self, conversation, Kind::Posts, extent);
        let mut messages = Vec::new();
        loop {
            let wanted = extent.limit() - messages.len();
            let posts = walk.next(wanted).await?;
            let ended = posts.len() < wanted;
            let looks = posts.iter().map(|post| self.message(conversation, post)).collect::<Vec<_>>();
            let mut looks = stream::iter(looks).buffered(MESSAGES_IN_FLIGHT_MAX);
            while let Some(message) = looks.try_next().await? {
                messages.extend(message);
            }
            if ended || messages.len() == extent.limit() {
                return Ok(messages);
            }
        }
    }

    pub(super) async fn posts(
        self,
        conversation: &ConversationId,
        extent: Extent,
    ) -> Result<Vec<Post>, HistoryError> {
        let posts = Walk::new(self, conversation, Kind::Posts, extent).next(extent.limit()).await?;
        let post = |StoredEvent { offset, event, .. }: StoredEvent| match &event.body {
            EventBody::MessagePosted(posted) => {
                Ok(Post { offset, author: event.actor.clone(), text: posted.text.clone() })
            }
            _ => Err(row::damaged("post")),
        };
        posts.into_iter().map(post).collect()
    }

    /// How a message looks now. `None` if an earlier post has its id, so that this one is no message, or while it is being written.
    async fn message(
        self,
        conversation: &ConversationId,
        post: &StoredEvent,
    ) -> Result<Option<Message>, HistoryError> {
        let EventBody::MessagePosted(posted) = &post.event.body else { return Err(row::damaged("post")) };
        let message_id = &post.event.event_id;
        let values = (conversation.as_str(), message_id.as_str());
        let rows: Vec<AboutRow> = self.connection.rows(self.selects.get(Select::About), values).await?;
        let Some(about) = rows.first() else { return Ok(None) };
        if about.posted_offset != Some(i64::from(post.offset)) {
            return Ok(None);
        }
        let redacted_at = about.redacted_at.map(row::time);
        let text = match &about.edited_text {
            _ if redacted_at.is_some() => None,
            Some(edited) => Some(row::parsed("edited_text", edited)?),
            None => Some(posted.text.clone()),
        };
        Ok(Some(Message {
            offset: post.offset.position(),
            message_id: message_id.clone(),
            author: post.event.actor.clone(),
            text,
            style: posted.style,
            reply_to: posted.reply_to.clone(),
            occurred_at: post.event.occurred_at,
            edited_at: about.edited_at.map(row::time),
            redacted_at,
            redacted_by: about.redacted_by.as_deref().map(|by| row::parsed("redacted_by", by)).transpose()?,
            reactions: reactions(&rows)?,
        }))
    }
}

/// What is known of a message, the same in each row but for the last three, which are one reaction.
#[derive(Debug, DeserializeRow)]
struct AboutRow {
    posted_offset: Option<i64>,
    edited_text: Option<String>,
    edited_at: Option<CqlTimestamp>,
    redacted_by: Option<String>,
    redacted_at: Option<CqlTimestamp>,
    emoji: Option<String>,
    user: Option<String>,
    present: Option<bool>,
}

/// Those who are present, by emoji; the rows come in that order.
fn reactions(rows: &[AboutRow]) -> Result<Vec<Reaction>, HistoryError> {
    let mut grouped: Vec<Reaction> = Vec::new();
    for AboutRow { emoji, user, present, .. } in rows {
        let (Some(emoji), Some(user), Some(true)) = (emoji, user, present) else { continue };
        let (emoji, user): (Emoji, UserId) = (row::parsed("emoji", emoji)?, row::parsed("user", user)?);
        match grouped.last_mut() {
            Some(reaction) if reaction.emoji == emoji => reaction.users.push(user),
            _ => grouped.push(Reaction { emoji, users: vec![user] }),
        }
    }
    Ok(grouped)
}
