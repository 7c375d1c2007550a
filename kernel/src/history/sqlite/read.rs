//! Questions, each answered within one read transaction.

use rusqlite::{Connection, OptionalExtension, params};
use schemas::{
    ConversationId, EventBody, EventId, Offset, Partition, Position, Timestamp, UserId, caps, codec::Codec,
};

use super::{Failure, row::Columns};
use crate::{
    conversation::{ConversationState, Fact, Repeats},
    history::{
        Depth, Extent, Found, Listed, Message, Order, Post, Progress, Reaction, Snapshot, StoredEvent,
    },
};

pub(super) fn progress(conn: &Connection, partition: Partition) -> Result<Option<Progress>, Failure> {
    let sql = "SELECT epoch, position FROM progress WHERE partition = ?1";
    let read = |row: &Columns<'_>| Ok(Progress { epoch: row.parsed(0)?, position: row.place(1)? });
    first(conn, sql, params![partition.0], read)
}

pub(super) fn events(
    conn: &Connection,
    conversation: &ConversationId,
    extent: Extent,
) -> Result<Vec<StoredEvent>, Failure> {
    let sql = stretch_of("SELECT offset, recorded_at, void, value FROM events", extent.order);
    let codec = Codec::default();
    let (after, up_to, limit) = bounds(extent);
    all(conn, &sql, params![conversation.as_str(), after, up_to, limit], |row| stored(row, &codec))
}

fn stored(row: &Columns<'_>, codec: &Codec) -> Result<StoredEvent, Failure> {
    let value = row.bytes(3)?;
    let event = codec.decode(&value).map_err(|_| Failure::damaged("value"))?;
    Ok(StoredEvent {
        offset: row.place(0)?,
        recorded_at: row.time(1)?,
        void: row.flag(2)?,
        value,
        event: event.into(),
    })
}

pub(super) fn messages(
    conn: &Connection,
    conversation: &ConversationId,
    extent: Extent,
) -> Result<Vec<Message>, Failure> {
    let sql = stretch_of(
        "SELECT message_id, author, text, style, reply_to, occurred_at, offset, edited_text, edited_at, redacted_by, redacted_at FROM messages",
        extent.order,
    );
    let (after, up_to, limit) = bounds(extent);
    let mut messages = all(conn, &sql, params![conversation.as_str(), after, up_to, limit], message)?;
    for message in &mut messages {
        message.reactions = reactions(conn, conversation, &message.message_id)?;
    }
    Ok(messages)
}

pub(super) fn posts(
    conn: &Connection,
    conversation: &ConversationId,
    extent: Extent,
) -> Result<Vec<Post>, Failure> {
    let sql = stretch_of("SELECT offset, author, text FROM messages", extent.order);
    let (after, up_to, limit) = bounds(extent);
    all(conn, &sql, params![conversation.as_str(), after, up_to, limit], |row| {
        Ok(Post { offset: row.place(0)?, author: row.parsed(1)?, text: row.parsed(2)? })
    })
}

fn message(row: &Columns<'_>) -> Result<Message, Failure> {
    let offset: Offset = row.place(6)?;
    let redacted_at = row.optional(10, Columns::time)?;
    let text = match row.optional(7, Columns::parsed)? {
        _ if redacted_at.is_some() => None,
        Some(edited) => Some(edited),
        None => Some(row.parsed(2)?),
    };
    Ok(Message {
        offset: offset.position(),
        message_id: row.parsed(0)?,
        author: row.parsed(1)?,
        text,
        style: row.word(3)?,
        reply_to: row.optional(4, Columns::parsed)?,
        occurred_at: row.time(5)?,
        edited_at: row.optional(8, Columns::time)?,
        redacted_at,
        redacted_by: row.optional(9, Columns::parsed)?,
        reactions: Vec::new(),
    })
}

fn reactions(
    conn: &Connection,
    conversation: &ConversationId,
    message_id: &EventId,
) -> Result<Vec<Reaction>, Failure> {
    let sql = "SELECT emoji, user FROM reactions
               WHERE conversation = ?1 AND message_id = ?2 AND present ORDER BY emoji, user";
    let read = |row: &Columns<'_>| Ok((row.parsed(0)?, row.parsed(1)?));
    let mut grouped: Vec<Reaction> = Vec::new();
    for (emoji, user) in all(conn, sql, params![conversation.as_str(), message_id.as_str()], read)? {
        match grouped.last_mut() {
            Some(reaction) if reaction.emoji == emoji => reaction.users.push(user),
            _ => grouped.push(Reaction { emoji, users: vec![user] }),
        }
    }
    Ok(grouped)
}

pub(super) fn find(
    conn: &Connection,
    conversation: &ConversationId,
    event_id: &EventId,
) -> Result<Option<Found>, Failure> {
    let sql = "SELECT e.offset, e.recorded_at, e.actor, e.type,
                      e.type = 'MessagePosted' AND m.redaction_stamp IS NOT NULL
               FROM event_ids e LEFT JOIN messages m
                    ON m.conversation = e.conversation AND m.message_id = e.event_id
               WHERE e.conversation = ?1 AND e.event_id = ?2";
    first(conn, sql, params![conversation.as_str(), event_id.as_str()], |row| {
        Ok(Found {
            offset: row.place(0)?,
            recorded_at: row.time(1)?,
            actor: row.parsed(2)?,
            type_name: known_type(row.text(3)?)?.to_owned(),
            redacted: row.flag(4)?,
        })
    })
}

fn known_type(name: &str) -> Result<&'static str, Failure> {
    let known = EventBody::TYPES.iter().find(|known| **known == name);
    known.copied().ok_or_else(|| Failure::damaged("type"))
}

/// What a person's list is made of.
const LISTED: &str =
    "SELECT c.conversation, c.title, c.visibility, c.archived, s.standing, c.last_offset, c.last_at, r.up_to
    FROM standings s JOIN conversations c ON c.conversation = s.conversation
         LEFT JOIN read_markers r ON r.conversation = s.conversation AND r.user = s.user
    WHERE s.user = ?1 AND s.standing IN ('member', 'moderator', 'owner')
          AND c.created_stamp IS NOT NULL AND c.last_offset IS NOT NULL";

pub(super) fn conversations_of(
    conn: &Connection,
    user: &UserId,
    after: Option<&ConversationId>,
    limit: usize,
) -> Result<Vec<Listed>, Failure> {
    let sql = format!("{LISTED} AND s.conversation > ?2 ORDER BY s.conversation LIMIT ?3");
    let after = after.map_or("", ConversationId::as_str);
    let limit = length(limit.clamp(1, caps::PAGE_LEN_MAX));
    all(conn, &sql, params![user.as_str(), after, limit], entry)
}

pub(super) fn listed(
    conn: &Connection,
    user: &UserId,
    conversation: &ConversationId,
) -> Result<Option<Listed>, Failure> {
    let sql = format!("{LISTED} AND s.conversation = ?2");
    first(conn, &sql, params![user.as_str(), conversation.as_str()], entry)
}

fn entry(row: &Columns<'_>) -> Result<Listed, Failure> {
    let last_offset: Offset = row.place(5)?;
    Ok(Listed {
        conversation: row.parsed(0)?,
        title: row.optional(1, Columns::parsed)?,
        visibility: row.word(2)?,
        archived: row.flag(3)?,
        standing: row.word(4)?,
        last_offset: last_offset.position(),
        last_at: row.time(6)?,
        read_up_to: row.optional(7, Columns::place)?.unwrap_or(Position::START),
    })
}

pub(super) fn snapshot(
    conn: &Connection,
    partition: Partition,
    conversation: &ConversationId,
    depth: Depth,
) -> Result<Snapshot, Failure> {
    let position = progress(conn, partition)?.map_or(Position::START, |progress| progress.position);
    let mut state = state(conn, conversation)?;
    if let (Some(state), Depth::Fold) = (&mut state, depth) {
        state.repeats = repeats(conn, conversation)?;
    }
    Ok(Snapshot { state, position })
}

/// All of the state but its repeats.
fn state(conn: &Connection, conversation: &ConversationId) -> Result<Option<ConversationState>, Failure> {
    let sql =
        "SELECT title, visibility, archived, creator, created_at, last_offset, last_at FROM conversations
               WHERE conversation = ?1 AND created_stamp IS NOT NULL AND last_offset IS NOT NULL";
    let bare = first(conn, sql, params![conversation.as_str()], |row| {
        let last_offset: Offset = row.place(5)?;
        Ok(ConversationState {
            conversation: conversation.clone(),
            title: row.optional(0, Columns::parsed)?,
            visibility: row.word(1)?,
            archived: row.flag(2)?,
            creator: row.parsed(3)?,
            created_at: row.time(4)?,
            standings: std::collections::BTreeMap::new(),
            repeats: Repeats::default(),
            position: last_offset.position(),
            last_at: row.time(6)?,
        })
    })?;
    let Some(mut state) = bare else { return Ok(None) };
    let sql = "SELECT user, standing FROM standings WHERE conversation = ?1";
    let standings = all(conn, sql, params![conversation.as_str()], |row| Ok((row.parsed(0)?, row.word(1)?)))?;
    state.standings = standings.into_iter().collect();
    Ok(Some(state))
}

/// The notes of the valid events of late. Times of records do not fall, so they end at the first that is too old.
fn repeats(conn: &Connection, conversation: &ConversationId) -> Result<Repeats, Failure> {
    let sql = "SELECT offset, recorded_at, void, value FROM events WHERE conversation = ?1 AND void = 0
               ORDER BY offset DESC LIMIT ?2";
    let codec = Codec::default();
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![conversation.as_str(), length(Repeats::LEN_MAX)])?;
    let mut of_late: Vec<StoredEvent> = Vec::new();
    while let Some(row) = rows.next()? {
        let row = Columns(row);
        let newest = of_late.first().map_or(row.time(1)?, |event| event.recorded_at);
        if row.time(1)? < Timestamp::from_millis(newest.as_millis() - caps::REPEAT_WINDOW_MS) {
            break;
        }
        of_late.push(stored(&row, &codec)?);
    }
    let mut repeats = Repeats::default();
    for StoredEvent { event, offset, recorded_at, .. } in of_late.iter().rev() {
        repeats.note(Fact { event, offset: *offset, recorded_at: *recorded_at });
    }
    Ok(repeats)
}

/// The rows of a stretch of a conversation, whose bounds are [`bounds`].
fn stretch_of(select: &str, order: Order) -> String {
    let order = match order {
        Order::Ascending => "ASC",
        Order::Descending => "DESC",
    };
    format!(
        "{select} WHERE conversation = ?1 AND offset >= ?2 AND offset < ?3 ORDER BY offset {order} LIMIT ?4"
    )
}

fn bounds(extent: Extent) -> (i64, i64, i64) {
    (i64::from(extent.after), i64::from(extent.up_to), length(extent.limit()))
}

/// A bound as `SQLite` counts; each fits by far.
fn length(len: usize) -> i64 {
    i64::try_from(len).unwrap_or(i64::MAX)
}

fn first<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnOnce(&Columns<'_>) -> Result<T, Failure>,
) -> Result<Option<T>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    let answer = statement.query_row(params, |row| Ok(read(&Columns(row)))).optional()?;
    answer.transpose()
}

fn all<T>(
    conn: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&Columns<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        items.push(read(&Columns(row))?);
    }
    Ok(items)
}
