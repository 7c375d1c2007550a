//! The messages of a conversation, page by page, from both ends.

use kernel::{
    history::{Extent, Message, Order},
    identity::Identity,
};
use schemas::{Epoch, Position};
use serde::Serialize;
use warp::reply::Response;

use super::{Query, Readable, Refused, Store, ok};

#[derive(Serialize)]
struct MessagesPage {
    messages: Vec<Message>,
    more: bool,
    /// The page holds all that was posted before it: a subscription that starts there misses nothing.
    offset: Position,
    epoch: Epoch,
}

impl Store {
    pub(super) async fn messages(
        &self,
        identity: &Identity,
        id: &str,
        query: &str,
    ) -> Result<Response, Refused> {
        let query = Query::parse(query, &["limit", "before", "after"])?;
        let limit = query.limit()?;
        let (before, after) = (query.position("before")?, query.position("after")?);
        if before.is_some() && after.is_some() {
            return Err(Refused::invalid("give before or after, not both"));
        }
        let Readable { id, state, position } = self.readable(identity, id).await?;
        let newest = before.map_or(position, |before| below(before).min(position));
        let extent = match after {
            Some(after) => Extent { after, up_to: position, order: Order::Ascending, limit },
            None => Extent { after: Position::START, up_to: newest, order: Order::Descending, limit },
        };
        let mut messages = self.history.messages(&id, extent).await?;
        let more = match messages.last() {
            Some(last) if messages.len() == limit => {
                !self.history.messages(&id, beyond(extent, last.offset)).await?.is_empty()
            }
            _ => false,
        };
        if extent.order == Order::Descending {
            messages.reverse();
        }
        Ok(ok(MessagesPage { messages, more, offset: state.position, epoch: self.log.epoch() }))
    }
}

/// What is left of an extent once the message at the wire position `last` was reached: whether there is one more.
fn beyond(extent: Extent, last: Position) -> Extent {
    match extent.order {
        Order::Ascending => Extent { after: last, limit: 1, ..extent },
        Order::Descending => Extent { up_to: below(last), limit: 1, ..extent },
    }
}

/// The position that covers everything before the record whose wire position this is, but not that record.
fn below(position: Position) -> Position {
    position.last().map_or(Position::START, |offset| Position::new(offset.get()))
}
