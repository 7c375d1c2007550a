//! Questions about a conversation as a whole: its state, one of its events, who has it in a list.

use std::collections::{BTreeMap, HashMap};

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::{
    conversation::{ConversationState, Fact, Repeats, Standing},
    history::{Depth, Extent, Found, HistoryError, Listed, Order, Progress, Snapshot, StoredEvent},
};
use schemas::{ConversationId, EventId, Offset, Partition, Position, Timestamp, UserId, caps};
use scylla::{DeserializeRow, response::PagingState, value::CqlTimestamp};

use super::{
    pages::{Kind, Reader, Walk},
    row,
    session::unavailable,
    statements::Select,
};

/// How often the standings of a large conversation are read anew because one changed between two pages.
const READS_MAX: usize = 5;
/// Conversations of a list that are looked up at once.
const LOOKUPS_IN_FLIGHT_MAX: usize = 32;
/// Ids that are looked up with one request. Scylla takes no more than 100 in a list.
const IDS_IN_REQUEST_MAX: usize = 50;
/// Events that are read first for the window of repeats; twice as many each time.
const REPEATS_FIRST: usize = 128;

/// The state of a conversation, the same in each row but for the last two, which are one person's.
#[derive(Debug, DeserializeRow)]
struct StateRow {
    visibility: Option<String>,
    creator: Option<String>,
    created_at: Option<CqlTimestamp>,
    title: Option<String>,
    archived: Option<bool>,
    last_offset: Option<i64>,
    last_at: Option<CqlTimestamp>,
    standings_offset: Option<i64>,
    user: Option<String>,
    standing: Option<String>,
}

/// A conversation without its people.
#[derive(Debug, DeserializeRow)]
struct HeadRow {
    visibility: Option<String>,
    title: Option<String>,
    archived: Option<bool>,
    last_offset: Option<i64>,
    last_at: Option<CqlTimestamp>,
}

/// The first valid event with an id, and what became of the message that it may be.
#[derive(Debug, DeserializeRow)]
struct FoundRow {
    offset: Option<i64>,
    recorded_at: Option<CqlTimestamp>,
    actor: Option<String>,
    r#type: Option<String>,
    posted_offset: Option<i64>,
    redacted_at: Option<CqlTimestamp>,
}

/// The same, where several were asked for.
#[derive(Debug, DeserializeRow)]
struct FoundAmongRow {
    event_id: String,
    offset: Option<i64>,
    recorded_at: Option<CqlTimestamp>,
    actor: Option<String>,
    r#type: Option<String>,
    posted_offset: Option<i64>,
    redacted_at: Option<CqlTimestamp>,
}

/// A conversation that a person stands towards, or has read.
#[derive(Debug, DeserializeRow)]
struct OfUserRow {
    conversation: String,
    standing: Option<String>,
    read_up_to: Option<i64>,
}

impl FoundAmongRow {
    fn split(self) -> (String, FoundRow) {
        let Self { event_id, offset, recorded_at, actor, r#type, posted_offset, redacted_at } = self;
        (event_id, FoundRow { offset, recorded_at, actor, r#type, posted_offset, redacted_at })
    }
}

impl FoundRow {
    /// `None`: something is known of the id, but no valid event has it.
    fn found(self) -> Result<Option<Found>, HistoryError> {
        let Self { offset: Some(offset), recorded_at, actor, r#type, posted_offset, redacted_at } = self
        else {
            return Ok(None);
        };
        Ok(Some(Found {
            offset: row::place("offset", offset)?,
            recorded_at: row::time(row::there("recorded_at", recorded_at)?),
            actor: row::parsed("actor", &row::there("actor", actor)?)?,
            type_name: row::there("type", r#type)?,
            redacted: redacted_at.is_some() && posted_offset == Some(offset),
        }))
    }
}

impl Reader<'_> {
    pub(super) async fn progress(self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        let select = self.selects.get(Select::Progress);
        let found: Option<(Option<String>, Option<i64>)> =
            self.connection.first(select, (i64::from(partition.0),)).await?;
        let Some((epoch, position)) = found else { return Ok(None) };
        let epoch = row::parsed("epoch", &row::there("epoch", epoch)?)?;
        let position = row::place("position", row::there("position", position)?)?;
        Ok(Some(Progress { epoch, position }))
    }

    /// The progress is read first: what was durable then is in the state that is read next. The state may already hold more, up to its
    /// own last event, and holds all up to that, since it is written as a whole and after all else.
    pub(super) async fn snapshot(
        self,
        partition: Partition,
        conversation: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        let progress = self.progress(partition).await?.map_or(Position::START, |progress| progress.position);
        let (mut state, last) = self.state(conversation).await?;
        let position = progress.max(last.map_or(Position::START, Offset::position));
        if let (Some(state), Depth::Fold) = (&mut state, depth) {
            state.repeats = self.repeats(conversation, position).await?;
        }
        Ok(Snapshot { state, position })
    }

    /// All of the state but its repeats, and the last event that changed anything in it.
    async fn state(
        self,
        conversation: &ConversationId,
    ) -> Result<(Option<ConversationState>, Option<Offset>), HistoryError> {
        for _ in 0..READS_MAX {
            if let Some(rows) = self.state_rows(conversation).await? {
                return state_of(conversation, &rows);
            }
        }
        Err(unavailable(&"the standings of the conversation change too fast to be read"))
    }

    /// One page is read at one moment, and says in each row which event was the last to change a standing. If all pages name the same one,
    /// the standings are those of the first page's moment, as are its other columns. `None` if they do not.
    async fn state_rows(self, conversation: &ConversationId) -> Result<Option<Vec<StateRow>>, HistoryError> {
        let (select, key) = (self.selects.get(Select::State), (conversation.as_str(),));
        let rows: Vec<StateRow> = self.connection.rows(select, key).await?;
        let first = rows.first().map(|row| row.standings_offset);
        Ok(rows.iter().all(|row| Some(row.standings_offset) == first).then_some(rows))
    }

    /// The notes of the valid events of late. Times of records do not fall, so they end at the first that is too old.
    async fn repeats(self, conversation: &ConversationId, up_to: Position) -> Result<Repeats, HistoryError> {
        let extent = Extent { up_to, order: Order::Descending, ..Extent::ALL };
        let mut walk = Walk::new(self, conversation, Kind::Any, extent);
        let mut of_late: Vec<StoredEvent> = Vec::new();
        let mut wanted = REPEATS_FIRST;
        loop {
            let events = walk.next(wanted).await?;
            let mut ended = events.len() < wanted;
            for event in events.into_iter().filter(|event| !event.void) {
                let newest = of_late.first().map_or(event.recorded_at, |newest| newest.recorded_at);
                let since = Timestamp::from_millis(newest.as_millis() - caps::REPEAT_WINDOW_MS);
                if event.recorded_at < since || of_late.len() == Repeats::LEN_MAX {
                    ended = true;
                    break;
                }
                of_late.push(event);
            }
            if ended {
                break;
            }
            wanted = (wanted * 2).min(caps::PAGE_LEN_MAX);
        }
        let mut repeats = Repeats::default();
        for StoredEvent { event, offset, recorded_at, .. } in of_late.iter().rev() {
            repeats.note(Fact { event, offset: *offset, recorded_at: *recorded_at });
        }
        Ok(repeats)
    }

    /// One id is looked up where it is kept; of several a server that is asked asks the others.
    pub(super) async fn find_all(
        self,
        conversation: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        // With one id the driver knows which servers keep it, with several it has to ask any.
        if let [event_id] = event_ids {
            let values = (conversation.as_str(), event_id.as_str());
            let select = self.selects.get(Select::Found);
            let found: Option<FoundRow> = self.connection.first(select, values).await?;
            return Ok(vec![found.map_or(Ok(None), FoundRow::found)?]);
        }
        let select = self.selects.get(Select::FoundAmong);
        let requests = event_ids.chunks(IDS_IN_REQUEST_MAX).map(|ids| {
            let ids: Vec<_> = ids.iter().map(EventId::as_str).collect();
            self.connection.rows::<FoundAmongRow>(select, (conversation.as_str(), ids))
        });
        // Collected, since what is sent borrows from it only.
        let asked: Vec<_> = requests.collect();
        let answers: Vec<_> =
            stream::iter(asked).buffer_unordered(LOOKUPS_IN_FLIGHT_MAX).try_collect().await?;
        let mut found = HashMap::new();
        for row in answers.into_iter().flatten() {
            let (event_id, row) = row.split();
            found.extend(row.found()?.map(|found| (event_id, found)));
        }
        Ok(event_ids.iter().map(|id| found.get(id.as_str()).cloned()).collect())
    }

    /// Page by page through all that the person ever stood towards, until enough of them are found.
    pub(super) async fn conversations_of(
        self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        let limit = limit.clamp(1, caps::PAGE_LEN_MAX);
        let select = self.selects.get(Select::OfUser);
        let values = (user.as_str(), after.map_or("", ConversationId::as_str));
        let (mut list, mut next) = (Vec::new(), Some(PagingState::start()));
        while let (Some(state), true) = (next, list.len() < limit) {
            let (rows, rest): (Vec<OfUserRow>, _) = self.connection.page(select, &values, state).await?;
            let looks = rows.into_iter().map(|row| self.entry(row)).collect::<Vec<_>>();
            let mut looks = stream::iter(looks).buffered(LOOKUPS_IN_FLIGHT_MAX);
            while let Some(listed) = looks.try_next().await? {
                list.extend(listed);
                if list.len() == limit {
                    break;
                }
            }
            next = rest;
        }
        Ok(list)
    }

    /// One entry of the list.
    pub(super) async fn listed(
        self,
        user: &UserId,
        conversation: &ConversationId,
    ) -> Result<Option<Listed>, HistoryError> {
        let values = (user.as_str(), conversation.as_str());
        let row: Option<OfUserRow> =
            self.connection.first(self.selects.get(Select::OneOfUser), values).await?;
        match row {
            Some(row) => self.entry(row).await,
            None => Ok(None),
        }
    }

    /// An entry of a list; `None` if the person is no member, or the conversation is not there yet.
    async fn entry(self, row: OfUserRow) -> Result<Option<Listed>, HistoryError> {
        let OfUserRow { conversation, standing, read_up_to } = row;
        let standing: Option<Standing> =
            standing.map(|standing| row::word("standing", &standing)).transpose()?;
        let Some(standing) = standing.filter(|standing| standing.role().is_some()) else { return Ok(None) };
        let head: Option<HeadRow> =
            self.connection.first(self.selects.get(Select::Head), (&conversation,)).await?;
        let Some(HeadRow {
            visibility: Some(visibility),
            last_offset: Some(last_offset),
            title,
            archived,
            last_at,
        }) = head
        else {
            return Ok(None);
        };
        let last_offset: Offset = row::place("last_offset", last_offset)?;
        let read_up_to = read_up_to.map(|up_to| row::place("read_up_to", up_to)).transpose()?;
        Ok(Some(Listed {
            conversation: row::parsed("conversation", &conversation)?,
            title: row::title(title.as_deref())?,
            visibility: row::word("visibility", &visibility)?,
            archived: archived.unwrap_or(false),
            standing,
            last_offset: last_offset.position(),
            last_at: row::time(row::there("last_at", last_at)?),
            read_up_to: read_up_to.unwrap_or(Position::START),
        }))
    }
}

fn state_of(
    conversation: &ConversationId,
    rows: &[StateRow],
) -> Result<(Option<ConversationState>, Option<Offset>), HistoryError> {
    let Some(first) = rows.first() else { return Ok((None, None)) };
    let StateRow { visibility, creator, created_at, title, archived, last_offset, last_at, .. } = first;
    let last: Option<Offset> = last_offset.map(|offset| row::place("last_offset", offset)).transpose()?;
    let (Some(visibility), Some(last_offset)) = (visibility, last) else { return Ok((None, last)) };
    let mut standings = BTreeMap::new();
    for StateRow { user, standing, .. } in rows {
        if let (Some(user), Some(standing)) = (user, standing) {
            standings.insert(row::parsed("user", user)?, row::word("standing", standing)?);
        }
    }
    let state = ConversationState {
        conversation: conversation.clone(),
        title: row::title(title.as_deref())?,
        visibility: row::word("visibility", visibility)?,
        archived: archived.unwrap_or(false),
        creator: row::parsed("creator", row::there("creator", creator.as_deref())?)?,
        created_at: row::time(row::there("created_at", *created_at)?),
        standings,
        repeats: Repeats::default(),
        position: last_offset.position(),
        last_at: row::time(row::there("last_at", *last_at)?),
    };
    Ok((Some(state), last))
}
