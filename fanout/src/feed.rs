//! Pages of a conversation's events, from whichever place covers them: the I/O of the switchover.

use std::sync::Arc;

use kernel::{
    conversation::{ConversationState, Fact},
    event_log::{BATCH_LEN_MAX, Reading, read},
    history::{self, Depth, Extent, Order, StoredEvent},
    metric,
    mirror::{LiveEvent, Mirror, MirrorError, Tracked, check_scan},
};
use schemas::Position;

use crate::switchover::{Filled, Source, Switchover, View};

/// Most events in a page, and the most bytes of their JSON (one event more may be above it).
pub(crate) const PAGE_LEN_MAX: usize = 256;
pub(crate) const PAGE_BYTES_MAX: usize = 128 * 1_024;

/// Some events that follow each other, and what they prove.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Arc<LiveEvent>>,
    pub(crate) filled: Filled,
}

/// The next page of a subscription, at most `limit` events.
///
/// When the page ends the fill ([`Filled::All`]), nothing was awaited since the recent window was read: tell the
/// switchover before anything else is awaited.
///
/// # Errors
/// Log or history do not answer; trying again may help.
pub(crate) async fn page(
    mirror: &Mirror,
    tracked: &Tracked,
    switchover: &Switchover,
    limit: usize,
) -> Result<Page, MirrorError> {
    let limit = limit.clamp(1, PAGE_LEN_MAX);
    let partition = tracked.partition();
    // The window is asked first: a node that is warm needs no history at all.
    if let Some(events) = tracked.recent(switchover.sent(), limit) {
        metric::FILL_PAGES.counter_of(["recent"]).increment(1);
        let filled = match events.last() {
            Some(last) if events.len() == limit => Filled::UpTo(last.position),
            last => Filled::All(last.map(|last| last.position)),
        };
        return Ok(cut(events, filled));
    }
    let history = history::place(&**mirror.history(), partition, &mirror.epoch()).await?;
    let view = View { recent_since: tracked.recent_since(), history };
    match switchover.source(view) {
        // The window grew to cover it meanwhile; the next call reads it.
        Source::Recent { after } => Ok(Page { events: Vec::new(), filled: Filled::UpTo(after) }),
        Source::History { after, up_to } => {
            metric::FILL_PAGES.counter_of(["history"]).increment(1);
            let extent = Extent { after, up_to, order: Order::Ascending, limit };
            let stored = mirror.history().events(tracked.conversation(), extent).await?;
            let filled = match stored.last() {
                Some(last) if stored.len() >= limit => Filled::UpTo(last.offset.position()),
                _ => Filled::UpTo(up_to),
            };
            Ok(cut(valid(tracked, stored), filled))
        }
        Source::Log { after, up_to } => {
            metric::FILL_PAGES.counter_of(["log"]).increment(1);
            scan(mirror, tracked, after, up_to).await
        }
    }
}

/// The newest events before `before`, newest first, from the history.
///
/// # Errors
/// As [`page`].
pub(crate) async fn page_back(
    mirror: &Mirror,
    tracked: &Tracked,
    before: Position,
    limit: usize,
) -> Result<Vec<Arc<LiveEvent>>, MirrorError> {
    let mut events = Vec::new();
    let mut up_to = before;
    while events.len() < limit {
        let extent = Extent { after: Position::START, up_to, order: Order::Descending, limit };
        let stored = mirror.history().events(tracked.conversation(), extent).await?;
        let Some(oldest) = stored.last().map(|oldest| oldest.offset) else { break };
        events.extend(valid(tracked, stored));
        up_to = Position::new(oldest.get());
    }
    events.truncate(limit);
    Ok(events)
}

fn valid(tracked: &Tracked, stored: Vec<StoredEvent>) -> Vec<Arc<LiveEvent>> {
    let live = |stored: StoredEvent| {
        let StoredEvent { offset, recorded_at, value, event, .. } = stored;
        Arc::new(LiveEvent::new(tracked.partition(), offset, recorded_at, event, value.len()))
    };
    stored.into_iter().filter(|stored| !stored.void).map(live).collect()
}

/// Ends a page early when it has many bytes.
fn cut(mut events: Vec<Arc<LiveEvent>>, filled: Filled) -> Page {
    let mut bytes = 0;
    let fits = events.iter().take_while(|event| {
        let fits = bytes < PAGE_BYTES_MAX;
        bytes += event.json().len();
        fits
    });
    let len = fits.count();
    if len < events.len() {
        events.truncate(len);
        let last = events.last().map_or(Position::START, |last| last.position);
        return Page { events, filled: Filled::UpTo(last) };
    }
    Page { events, filled }
}

/// Reads from the log itself what the history does not have yet, folding from the history's last state, so
/// that void events are recognised.
async fn scan(
    mirror: &Mirror,
    tracked: &Tracked,
    after: Position,
    up_to: Position,
) -> Result<Page, MirrorError> {
    let (partition, conversation) = (tracked.partition(), tracked.conversation());
    let snapshot = mirror.history().snapshot(partition, conversation, Depth::Fold).await?;
    if snapshot.position > after {
        // The history came past this place meanwhile: what lies between is to be read there. The next call does.
        return Ok(Page { events: Vec::new(), filled: Filled::UpTo(after) });
    }
    let (mut state, mut from) = (snapshot.state, snapshot.position);
    check_scan(partition, from, up_to)?;
    let mut events = Vec::new();
    while from < up_to && events.len() < PAGE_LEN_MAX {
        let records = mirror.log().read(partition, from, up_to, BATCH_LEN_MAX).await?;
        let Some(last) = records.last() else { break };
        from = last.offset.position();
        for record in records.iter().filter(|record| record.key_str() == Some(conversation.as_str())) {
            let event = match read(record, mirror.codec()) {
                Reading::Event(event) => Arc::new(event),
                // Logged by the follower.
                Reading::NotOurs(_) => continue,
                Reading::Newer(schema) => {
                    return Err(MirrorError::Newer { partition, offset: record.offset, schema });
                }
            };
            let fact = Fact { event: &event, offset: record.offset, recorded_at: record.recorded_at };
            if ConversationState::evolve(&mut state, fact).is_ok() && !after.covers(record.offset) {
                let (offset, len) = (record.offset, record.value.len());
                events.push(Arc::new(LiveEvent::new(partition, offset, record.recorded_at, event, len)));
            }
        }
    }
    let filled = Filled::UpTo(if from < up_to { from } else { up_to });
    Ok(cut(events, filled))
}

#[cfg(test)]
mod tests {
    use kernel::{
        history::HistoryError,
        testing::{World, created, posted},
    };
    use schemas::Partition;

    use super::*;

    #[tokio::test]
    async fn a_scan_skips_nothing_when_the_history_came_past_it_meanwhile() {
        let mut world = World::new(1);
        world.append(&created("tea")).await;
        world.append(&posted("tea", "m-1", "ann")).await;
        world.append(&posted("tea", "m-2", "ann")).await;
        let (log, history) = (Arc::new(world.log.clone()), Arc::new(world.history.clone()));
        let mirror = Mirror::start(log, history).await.unwrap();
        let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
        let (after, up_to) = (Position::new(1), Position::new(3));
        let page = scan(&mirror, &tracked, after, up_to).await.unwrap();
        assert_eq!(page.events.len(), 2);
        // It was asked how far the history is, and now it is further.
        world.project(Partition(0), 2).await;
        let page = scan(&mirror, &tracked, after, up_to).await.unwrap();
        assert_eq!((page.events.len(), page.filled), (0, Filled::UpTo(after)));
    }

    #[tokio::test]
    async fn the_history_of_another_log_fills_nothing() {
        let (world, mut other) = (World::new(1), World::new(1));
        for world in [&world, &other] {
            world.append(&created("tea")).await;
            world.append(&posted("tea", "m-1", "ann")).await;
        }
        other.project(Partition(0), 2).await;
        let (log, history) = (Arc::new(world.log.clone()), Arc::new(other.history.clone()));
        let mirror = Mirror::start(log, history).await.unwrap();
        let tracked = mirror.track(&"tea".parse().unwrap()).await.unwrap();
        let page = page(&mirror, &tracked, &Switchover::resuming(Position::START), 10).await;
        assert!(matches!(page, Err(MirrorError::History(HistoryError::OtherLog { .. }))), "{page:?}");
    }
}
