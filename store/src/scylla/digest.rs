//! The fingerprint of the tables, in the form that all adapters share: the columns of the adapter in `SQLite`, whose stamps are here the
//! write times of the columns. Each table is read from end to end in the order in which it lies.
//!
//! What is kept twice here, for the sake of reading, is compared on the way: the list of buckets with the events, and the standings by
//! person with those by conversation.

use futures_util::{StreamExt, TryStreamExt, stream};
use kernel::history::{
    Cell::{self, Bytes, Null, Number, Text},
    Digest, HistoryError, TableDigest, Word,
};
use schemas::{ChatEvent, EventBody, EventId, Offset, codec::Codec};
use scylla::{
    DeserializeRow, deserialize::row::DeserializeRow as Columns, response::PagingState, value::CqlTimestamp,
};

use super::{
    bucket, row,
    session::{Connection, unavailable},
    stamp::Stamp,
    statements::{Scan, Scans},
};

/// Posts that are looked up at once.
const LOOKUPS_IN_FLIGHT_MAX: usize = 64;

#[derive(Debug, DeserializeRow)]
struct EventsRow {
    conversation: String,
    bucket: i64,
    post: bool,
    offset: i64,
    recorded_at: Option<CqlTimestamp>,
    void: Option<bool>,
    value: Option<Vec<u8>>,
}

#[derive(Debug, DeserializeRow)]
struct IdsRow {
    conversation: String,
    event_id: String,
    offset: Option<i64>,
    recorded_at: Option<CqlTimestamp>,
    actor: Option<String>,
    r#type: Option<String>,
    posted_offset: Option<i64>,
    edited_text: Option<String>,
    edited_at: Option<CqlTimestamp>,
    edit_stamp: Option<i64>,
    redacted_by: Option<String>,
    redacted_at: Option<CqlTimestamp>,
    redaction_stamp: Option<i64>,
    emoji: Option<String>,
    user: Option<String>,
    present: Option<bool>,
    reaction_stamp: Option<i64>,
}

#[derive(Debug, DeserializeRow)]
struct ConversationsRow {
    conversation: String,
    visibility: Option<String>,
    creator: Option<String>,
    created_at: Option<CqlTimestamp>,
    created_stamp: Option<i64>,
    title: Option<String>,
    title_stamp: Option<i64>,
    archived: Option<bool>,
    archived_stamp: Option<i64>,
    last_offset: Option<i64>,
    last_at: Option<CqlTimestamp>,
    user: Option<String>,
    standing: Option<String>,
    standing_stamp: Option<i64>,
}

#[derive(Debug, DeserializeRow)]
struct ByUserRow {
    user: String,
    conversation: String,
    standing: Option<String>,
    standing_stamp: Option<i64>,
    read_up_to: Option<i64>,
    read_stamp: Option<i64>,
}

#[derive(Debug, DeserializeRow)]
struct ProgressRow {
    epoch: Option<String>,
    partition: Option<i64>,
    position: Option<i64>,
}

struct Scanner<'a> {
    connection: &'a Connection,
    scans: Scans,
    codec: Codec,
}

pub(super) async fn digest(connection: &Connection) -> Result<Digest, HistoryError> {
    let scans = Scans::prepare(connection).await.map_err(|error| unavailable(&error))?;
    let scanner = Scanner { connection, scans, codec: Codec::default() };
    let mut tables = vec![scanner.events().await?];
    tables.extend(scanner.ids().await?);
    tables.extend(scanner.conversations().await?);
    tables.push(scanner.progress().await?);
    Ok(Digest { tables })
}

impl Scanner<'_> {
    async fn events(&self) -> Result<TableDigest, HistoryError> {
        let mut digest = TableDigest::new("events");
        let (mut listed, mut found) = (TableDigest::new("buckets"), TableDigest::new("buckets"));
        let mut last = None;
        self.scan(Scan::Events, |columns: EventsRow| {
            let EventsRow { conversation, bucket, post, offset, recorded_at, void, value } = columns;
            let stored = row::event((offset, recorded_at, void, value), &self.codec)?;
            let event = &stored.event;
            let is_post = !stored.void && matches!(event.body, EventBody::MessagePosted(_));
            if bucket != bucket::of(stored.offset)
                || post != is_post
                || *event.conversation.as_str() != *conversation
            {
                return Err(row::damaged("post"));
            }
            digest.row([
                Text(&conversation),
                Number(offset),
                Number(stored.recorded_at.as_millis()),
                Text(event.event_id.as_str()),
                Text(event.body.type_name()),
                Number(stored.void.into()),
                Bytes(&stored.value),
            ]);
            // The rows of a bucket lie together.
            if last.as_ref().is_none_or(|last| *last != (conversation.clone(), bucket)) {
                found.row([Text(&conversation), Number(bucket)]);
                last = Some((conversation, bucket));
            }
            Ok(())
        })
        .await?;
        self.scan(Scan::Buckets, |(conversation, bucket): (String, i64)| {
            listed.row([Text(&conversation), Number(bucket)]);
            Ok(())
        })
        .await?;
        agree(&listed, &found, "the list of buckets does not say where the events are")?;
        Ok(digest)
    }

    /// Ids, messages and reactions.
    async fn ids(&self) -> Result<[TableDigest; 3], HistoryError> {
        let mut ids = TableDigest::new("event_ids");
        let (mut messages, mut reactions) = (TableDigest::new("messages"), TableDigest::new("reactions"));
        let mut last = None;
        let mut next = Some(PagingState::start());
        while let Some(state) = next {
            let (page, rest): (Vec<IdsRow>, _) =
                self.connection.page(self.scans.get(Scan::Ids), &(), state).await?;
            let mut firsts = Vec::new();
            for columns in page {
                reaction(&mut reactions, &columns)?;
                let key = (columns.conversation.clone(), columns.event_id.clone());
                // All rows of an id say the same of it, and lie together.
                if last.as_ref() != Some(&key) {
                    last = Some(key);
                    id(&mut ids, &columns)?;
                    firsts.push(columns);
                }
            }
            let posts = firsts.iter().map(|columns| self.post(columns)).collect::<Vec<_>>();
            let posts = stream::iter(posts).buffered(LOOKUPS_IN_FLIGHT_MAX).try_collect::<Vec<_>>().await?;
            for (columns, post) in firsts.iter().zip(&posts) {
                message(&mut messages, columns, post.as_ref())?;
            }
            next = rest;
        }
        Ok([ids, messages, reactions])
    }

    /// The event that posted the message with this id, if there is one.
    async fn post(&self, columns: &IdsRow) -> Result<Option<ChatEvent>, HistoryError> {
        let Some(offset) = columns.posted_offset else { return Ok(None) };
        let bucket = bucket::of(row::place("posted_offset", offset)?);
        let values = (&columns.conversation, bucket, offset);
        let found: Option<(Option<Vec<u8>>,)> =
            self.connection.first(self.scans.get(Scan::Post), values).await?;
        let value = row::there("posted_offset", found.and_then(|(value,)| value))?;
        self.codec.decode(&value).map(Some).map_err(|_| row::damaged("value"))
    }

    /// Conversations, standings and read markers.
    async fn conversations(&self) -> Result<[TableDigest; 3], HistoryError> {
        let mut conversations = TableDigest::new("conversations");
        let (mut standings, mut markers) = (TableDigest::new("standings"), TableDigest::new("read_markers"));
        let mut again = TableDigest::new("standings");
        let mut last = None;
        self.scan(Scan::Conversations, |columns: ConversationsRow| {
            let ConversationsRow { conversation, user, standing, standing_stamp, .. } = &columns;
            if let (Some(user), Some(standing)) = (user, standing) {
                standings.row([Text(conversation), Text(user), Text(standing), stamp(*standing_stamp)?]);
            }
            if last.as_ref() != Some(conversation) {
                last = Some(conversation.clone());
                conversations.row(head(&columns)?);
            }
            Ok(())
        })
        .await?;
        self.scan(Scan::ByUser, |columns: ByUserRow| {
            let ByUserRow { user, conversation, standing, standing_stamp, read_up_to, read_stamp } = &columns;
            if let Some(standing) = standing {
                again.row([Text(conversation), Text(user), Text(standing), stamp(*standing_stamp)?]);
            }
            if let Some(read_up_to) = read_up_to {
                markers.row([Text(conversation), Text(user), Number(*read_up_to), stamp(*read_stamp)?]);
            }
            Ok(())
        })
        .await?;
        agree(&again, &standings, "the standings by person are not those by conversation")?;
        Ok([conversations, standings, markers])
    }

    async fn progress(&self) -> Result<TableDigest, HistoryError> {
        let mut digest = TableDigest::new("progress");
        self.scan(Scan::Progress, |columns: ProgressRow| {
            // A history that has a log and no progress yet has a row without a partition.
            if let ProgressRow { epoch: Some(epoch), partition: Some(partition), position: Some(position) } =
                columns
            {
                digest.row([Number(partition), Text(&epoch), Number(position)]);
            }
            Ok(())
        })
        .await?;
        Ok(digest)
    }

    /// Hands each row of a table to `each`, page by page.
    async fn scan<R>(
        &self,
        scan: Scan,
        mut each: impl FnMut(R) -> Result<(), HistoryError>,
    ) -> Result<(), HistoryError>
    where
        R: for<'frame> Columns<'frame, 'frame>,
    {
        let mut next = Some(PagingState::start());
        while let Some(state) = next {
            let (page, rest) = self.connection.page(self.scans.get(scan), &(), state).await?;
            page.into_iter().try_for_each(&mut each)?;
            next = rest;
        }
        Ok(())
    }
}

fn id(digest: &mut TableDigest, columns: &IdsRow) -> Result<(), HistoryError> {
    let IdsRow { conversation, event_id, offset, recorded_at, actor, r#type, .. } = columns;
    let Some(offset) = *offset else { return Ok(()) };
    digest.row([
        Text(conversation),
        Text(event_id),
        Number(offset),
        millis(row::there("recorded_at", *recorded_at)?),
        Text(row::there("actor", actor.as_deref())?),
        Text(row::there("type", r#type.as_deref())?),
    ]);
    Ok(())
}

fn reaction(digest: &mut TableDigest, columns: &IdsRow) -> Result<(), HistoryError> {
    let IdsRow { conversation, event_id, emoji, user, present, reaction_stamp, .. } = columns;
    if let (Some(emoji), Some(user), Some(present)) = (emoji, user, present) {
        let present = Number((*present).into());
        let stamp = stamp(*reaction_stamp)?;
        digest.row([Text(conversation), Text(event_id), Text(emoji), Text(user), present, stamp]);
    }
    Ok(())
}

fn message(digest: &mut TableDigest, columns: &IdsRow, post: Option<&ChatEvent>) -> Result<(), HistoryError> {
    let IdsRow { edited_text, edited_at, edit_stamp, redacted_by, redacted_at, redaction_stamp, .. } =
        columns;
    if post.is_none() && edited_at.is_none() && redacted_at.is_none() {
        return Ok(());
    }
    let key = [Text(&columns.conversation), Text(&columns.event_id)];
    let post = match post {
        Some(ChatEvent { actor, occurred_at, body: EventBody::MessagePosted(posted), .. }) => [
            Text(actor.as_str()),
            Text(posted.text.as_str()),
            Text(posted.style.word()),
            text(posted.reply_to.as_ref().map(EventId::as_str)),
            Number(occurred_at.as_millis()),
            columns.posted_offset.map_or(Null, Number),
        ],
        Some(_) => return Err(row::damaged("posted_offset")),
        None => [Null; 6],
    };
    let edit = [text(edited_text.as_deref()), edited_at.map_or(Null, millis), stamp(*edit_stamp)?];
    let redaction =
        [text(redacted_by.as_deref()), redacted_at.map_or(Null, millis), stamp(*redaction_stamp)?];
    digest.row(key.into_iter().chain(post).chain(edit).chain(redaction));
    Ok(())
}

fn head(columns: &ConversationsRow) -> Result<[Cell<'_>; 11], HistoryError> {
    Ok([
        Text(&columns.conversation),
        text(columns.visibility.as_deref()),
        text(columns.creator.as_deref()),
        columns.created_at.map_or(Null, millis),
        stamp(columns.created_stamp)?,
        text(columns.title.as_deref().filter(|title| !title.is_empty())),
        stamp(columns.title_stamp)?,
        columns.archived.map_or(Null, |archived| Number(archived.into())),
        stamp(columns.archived_stamp)?,
        columns.last_at.map_or(Null, millis),
        columns.last_offset.map_or(Null, Number),
    ])
}

fn text(text: Option<&str>) -> Cell<'_> {
    text.map_or(Null, Text)
}

fn millis(at: CqlTimestamp) -> Cell<'static> {
    Number(row::time(at).as_millis())
}

/// The offset of the event that wrote a column, from the time of the write.
fn stamp(number: Option<i64>) -> Result<Cell<'static>, HistoryError> {
    let Some(number) = number else { return Ok(Null) };
    let offset: Option<Offset> = Stamp::offset(number);
    offset.map(|offset| Number(offset.into())).ok_or_else(|| row::damaged("write time"))
}

/// Two ways to say one thing say the same.
fn agree(one: &TableDigest, other: &TableDigest, otherwise: &str) -> Result<(), HistoryError> {
    if one == other { Ok(()) } else { Err(HistoryError::Damaged { reason: otherwise.to_owned() }) }
}
