//! Applying a batch: one transaction, in which each statement keeps what has the later stamp.

use rusqlite::{CachedStatement, Connection, OptionalExtension, TransactionBehavior, params};
use schemas::{Epoch, EventId, Offset, Partition, Position};

use super::{super::words::Word, Failure};
use crate::{
    conversation::is_activity,
    history::{Batch, Change, HistoryError, Projected, StoredEvent},
};

/// Rows and progress together, or nothing.
pub(super) fn apply(conn: &mut Connection, batch: &Batch) -> Result<(), Failure> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    check_epoch(&tx, batch)?;
    let write = Write { conn: &tx };
    // By conversation, since their rows lie together; in which order does not matter to the rows.
    let mut events: Vec<_> = batch.events.iter().collect();
    events.sort_by_key(|projected| &projected.event.event.conversation);
    for of_one in events.chunk_by(|one, next| one.event.event.conversation == next.event.event.conversation) {
        of_one.iter().try_for_each(|projected| write.projected(projected))?;
        // All but the last would be written over.
        let active = of_one.iter().map(|projected| &projected.event);
        let active = active.filter(|stored| !stored.void && is_activity(&stored.event.body));
        if let Some(last) = active.max_by_key(|stored| stored.offset) {
            write.last(last)?;
        }
    }
    batch
        .up_to
        .iter()
        .try_for_each(|(partition, position)| write.progress(&batch.epoch, *partition, *position))?;
    Ok(tx.commit()?)
}

/// Empties every table.
pub(super) fn wipe(conn: &mut Connection) -> Result<(), Failure> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (table, _) in super::schema::TABLES {
        tx.execute(&format!("DELETE FROM {table}"), [])?;
    }
    Ok(tx.commit()?)
}

fn check_epoch(conn: &Connection, batch: &Batch) -> Result<(), Failure> {
    let mut other = conn.prepare_cached("SELECT epoch FROM progress WHERE epoch <> ?1 LIMIT 1")?;
    let other = other.query_row([batch.epoch.as_str()], |row| row.get::<_, String>(0)).optional()?;
    let Some(found) = other else { return Ok(()) };
    let found = found.parse().map_err(|_| Failure::damaged("epoch"))?;
    Err(HistoryError::OtherLog { expected: batch.epoch.clone(), found }.into())
}

struct Write<'a> {
    conn: &'a Connection,
}

/// Where a change comes from.
struct Source<'a> {
    conversation: &'a str,
    event_id: &'a EventId,
    stamp: i64,
}

impl Write<'_> {
    fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, Failure> {
        Ok(self.conn.prepare_cached(sql)?)
    }

    fn projected(&self, projected: &Projected) -> Result<(), Failure> {
        let Projected { event: stored, changes } = projected;
        let event = &stored.event;
        let source = Source {
            conversation: event.conversation.as_str(),
            event_id: &event.event_id,
            stamp: stamp(stored.offset),
        };
        let (recorded_at, type_name) = (stored.recorded_at.as_millis(), event.body.type_name());
        self.statement(
            "INSERT OR REPLACE INTO events (conversation, offset, recorded_at, event_id, type, void, value)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            source.conversation,
            source.stamp,
            recorded_at,
            event.event_id.as_str(),
            type_name,
            stored.void,
            &stored.value[..],
        ])?;
        if !stored.void {
            self.valid(&source, event.actor.as_str(), recorded_at, type_name)?;
        }
        changes.iter().try_for_each(|change| self.change(&source, change))
    }

    fn valid(&self, source: &Source<'_>, actor: &str, at: i64, type_name: &str) -> Result<(), Failure> {
        self.statement(
            "INSERT INTO event_ids (conversation, event_id, offset, recorded_at, actor, type)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
             SET offset = excluded.offset, recorded_at = excluded.recorded_at, actor = excluded.actor,
                 type = excluded.type
             WHERE excluded.offset < offset",
        )?
        .execute(params![
            source.conversation,
            source.event_id.as_str(),
            source.stamp,
            at,
            actor,
            type_name
        ])?;
        Ok(())
    }

    fn last(&self, stored: &StoredEvent) -> Result<(), Failure> {
        let event = &stored.event;
        self.statement(
            "INSERT INTO conversations (conversation, last_at, last_offset) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET last_at = excluded.last_at, last_offset = excluded.last_offset
             WHERE last_offset IS NULL OR last_offset <= excluded.last_offset",
        )?
        .execute(params![
            event.conversation.as_str(),
            event.occurred_at.as_millis(),
            stamp(stored.offset)
        ])?;
        Ok(())
    }

    fn change(&self, source: &Source<'_>, change: &Change) -> Result<(), Failure> {
        let &Source { conversation, stamp, .. } = source;
        match change {
            Change::Created { .. } => self.created(source, change),
            Change::Retitled { title } => self.title(source, Some(title.as_str())),
            Change::Archived { archived } => self.archived(source, *archived),
            Change::Posted { .. } => self.posted(source, change),
            Change::Stands { user, standing } => self.run(
                "INSERT INTO standings (conversation, user, standing, stamp) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET standing = excluded.standing, stamp = excluded.stamp
                 WHERE stamp <= excluded.stamp",
                params![conversation, user.as_str(), standing.word(), stamp],
            ),
            Change::Edited { message_id, text, at } => self.run(
                "INSERT INTO messages (conversation, message_id, edited_text, edited_at, edit_stamp)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
                 SET edited_text = excluded.edited_text, edited_at = excluded.edited_at,
                     edit_stamp = excluded.edit_stamp
                 WHERE edit_stamp IS NULL OR edit_stamp <= excluded.edit_stamp",
                params![conversation, message_id.as_str(), text.as_str(), at.as_millis(), stamp],
            ),
            Change::Redacted { message_id, by, at } => self.run(
                "INSERT INTO messages (conversation, message_id, redacted_by, redacted_at, redaction_stamp)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
                 SET redacted_by = excluded.redacted_by, redacted_at = excluded.redacted_at,
                     redaction_stamp = excluded.redaction_stamp
                 WHERE redaction_stamp IS NULL OR redaction_stamp <= excluded.redaction_stamp",
                params![conversation, message_id.as_str(), by.as_str(), at.as_millis(), stamp],
            ),
            Change::Reacted { message_id, emoji, user, present } => self.run(
                "INSERT INTO reactions (conversation, message_id, emoji, user, present, stamp)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE
                 SET present = excluded.present, stamp = excluded.stamp WHERE stamp <= excluded.stamp",
                params![conversation, message_id.as_str(), emoji.as_str(), user.as_str(), present, stamp],
            ),
            Change::Read { user, up_to } => self.run(
                "INSERT INTO read_markers (conversation, user, up_to, stamp) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO UPDATE SET up_to = excluded.up_to, stamp = excluded.stamp
                 WHERE stamp <= excluded.stamp",
                params![conversation, user.as_str(), i64::from(*up_to), stamp],
            ),
        }
    }

    fn created(&self, source: &Source<'_>, change: &Change) -> Result<(), Failure> {
        let Change::Created { title, visibility, creator, at } = change else { return Ok(()) };
        self.run(
            "INSERT INTO conversations (conversation, visibility, creator, created_at, created_stamp)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE
             SET visibility = excluded.visibility, creator = excluded.creator,
                 created_at = excluded.created_at, created_stamp = excluded.created_stamp
             WHERE created_stamp IS NULL OR created_stamp <= excluded.created_stamp",
            params![source.conversation, visibility.word(), creator.as_str(), at.as_millis(), source.stamp],
        )?;
        self.title(source, title.as_ref().map(schemas::Title::as_str))?;
        self.archived(source, false)
    }

    fn title(&self, source: &Source<'_>, title: Option<&str>) -> Result<(), Failure> {
        self.run(
            "INSERT INTO conversations (conversation, title, title_stamp) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET title = excluded.title, title_stamp = excluded.title_stamp
             WHERE title_stamp IS NULL OR title_stamp <= excluded.title_stamp",
            params![source.conversation, title, source.stamp],
        )
    }

    fn archived(&self, source: &Source<'_>, archived: bool) -> Result<(), Failure> {
        self.run(
            "INSERT INTO conversations (conversation, archived, archived_stamp) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET archived = excluded.archived, archived_stamp = excluded.archived_stamp
             WHERE archived_stamp IS NULL OR archived_stamp <= excluded.archived_stamp",
            params![source.conversation, archived, source.stamp],
        )
    }

    /// The first post with an id is the message, as the first event with an id is the one that is found.
    fn posted(&self, source: &Source<'_>, change: &Change) -> Result<(), Failure> {
        let Change::Posted { author, text, style, reply_to, at } = change else { return Ok(()) };
        self.run(
            "INSERT INTO messages (conversation, message_id, author, text, style, reply_to, occurred_at, offset)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE
             SET author = excluded.author, text = excluded.text, style = excluded.style,
                 reply_to = excluded.reply_to, occurred_at = excluded.occurred_at, offset = excluded.offset
             WHERE offset IS NULL OR excluded.offset < offset",
            params![
                source.conversation,
                source.event_id.as_str(),
                author.as_str(),
                text.as_str(),
                style.word(),
                reply_to.as_ref().map(EventId::as_str),
                at.as_millis(),
                source.stamp
            ],
        )
    }

    fn progress(&self, epoch: &Epoch, partition: Partition, position: Position) -> Result<(), Failure> {
        self.run(
            "INSERT INTO progress (partition, epoch, position) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET position = max(position, excluded.position)",
            params![partition.0, epoch.as_str(), i64::from(position)],
        )
    }

    fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), Failure> {
        self.statement(sql)?.execute(params)?;
        Ok(())
    }
}

fn stamp(offset: Offset) -> i64 {
    i64::from(offset)
}
