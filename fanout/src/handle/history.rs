//! `history`: pages of a conversation's events, both ways. The page token is the offset of the last publication.

use std::{sync::Arc, time::Duration};

use kernel::{
    history::reach,
    mirror::{LiveEvent, Tracked},
};
use schemas::Position;
use tokio::time::Instant;

use super::{Asked, subscribe::temporary};
use crate::{
    feed,
    protocol::{ErrorCode, HistoryRequest, HistoryResult, Outcome},
    switchover::{Filled, Switchover},
};

/// Most publications in one answer; a client that asks for more, or for all (-1), gets so many.
const PUBLICATIONS_LEN_MAX: usize = 300;
/// Most bytes of publications in one answer (one more may be above it): some clients close at frames of 1 MiB.
const PUBLICATIONS_BYTES_MAX: usize = 512 * 1_024;
/// How long the history may take to reach this node's place before the client is told to try again.
const HISTORY_WAIT: Duration = Duration::from_secs(2);

/// Answers with a page. Limits count events of this conversation, so a page that is not full is the last, unless its texts
/// are so long that the answer had to end: an empty page is the sure end.
pub(super) async fn history(at: &Asked<'_>, request: &HistoryRequest) -> Result<(), ErrorCode> {
    let (_, topic) = at.readable(&request.channel).await?;
    let mirror = &at.shard.around.mirror;
    let epoch = mirror.epoch();
    let since = request.since.as_ref();
    if since.is_some_and(|since| !since.epoch.is_empty() && since.epoch != epoch.as_str()) {
        return Err(ErrorCode::UNRECOVERABLE_POSITION);
    }
    if request.reverse && since.is_some_and(|since| since.offset == 0) {
        return Err(ErrorCode::BAD_REQUEST);
    }
    let top = mirror.place(topic.tracked.partition());
    let limit = match usize::try_from(request.limit) {
        Ok(limit) => limit.min(PUBLICATIONS_LEN_MAX),
        Err(_) => PUBLICATIONS_LEN_MAX,
    };
    let events = match since {
        _ if limit == 0 => Vec::new(),
        Some(since) if request.reverse => {
            let before = Position::new(since.offset - 1);
            back(at, &topic.tracked, before, limit).await?
        }
        None if request.reverse => back(at, &topic.tracked, top, limit).await?,
        Some(since) => forth(at, &topic.tracked, Position::new(since.offset), limit).await?,
        None => forth(at, &topic.tracked, Position::START, limit).await?,
    };
    let mut bytes = 0;
    let fits = events.iter().take(limit).take_while(|event| {
        let fits = bytes < PUBLICATIONS_BYTES_MAX;
        bytes += event.json().len();
        fits
    });
    let publications = fits.map(|event| (&**event).into()).collect();
    let (epoch, offset) = (epoch.to_string(), top.get());
    at.reply(Outcome::History(HistoryResult { publications, epoch, offset }));
    Ok(())
}

/// Oldest first, as a fill would go.
async fn forth(
    at: &Asked<'_>,
    tracked: &Tracked,
    after: Position,
    limit: usize,
) -> Result<Vec<Arc<LiveEvent>>, ErrorCode> {
    let mut place = Switchover::resuming(after);
    let mut events = Vec::new();
    while events.len() < limit && !place.is_live() {
        let page = feed::page(&at.shard.around.mirror, tracked, &place, limit - events.len()).await;
        let page = page.map_err(|error| temporary(&error))?;
        events.extend(page.events);
        if let Filled::UpTo(position) = page.filled
            && position == place.sent()
        {
            // The window moved on while the history was asked; ask again.
            tokio::task::yield_now().await;
        }
        place.filled(page.filled);
    }
    Ok(events)
}

/// Newest first, from the history, which must have come as far as this node.
async fn back(
    at: &Asked<'_>,
    tracked: &Tracked,
    before: Position,
    limit: usize,
) -> Result<Vec<Arc<LiveEvent>>, ErrorCode> {
    let mirror = &at.shard.around.mirror;
    let wanted = before.min(mirror.place(tracked.partition()));
    let deadline = Instant::now() + HISTORY_WAIT;
    let (history, partition) = (&**mirror.history(), tracked.partition());
    let reached = reach(history, partition, wanted, &mirror.epoch(), deadline).await;
    reached.map_err(|error| temporary(&error))?;
    feed::page_back(mirror, tracked, before, limit).await.map_err(|error| temporary(&error))
}
