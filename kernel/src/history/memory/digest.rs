//! The content as the rows that the adapter in `SQLite` has, for the fingerprint.

use schemas::{ConversationId, EventId, Offset};

use super::{
    Content,
    kept::{Kept, KeptMessage, Stamped},
};
use crate::history::{
    digest::{
        Cell::{self, Bytes, Null, Number, Text},
        Digest, TableDigest,
    },
    words::Word,
};

type Rows = fn(&ConversationId, &Kept, &mut TableDigest);

/// How the rows of one conversation come about, table by table.
const TABLES: [(&str, Rows); 7] = [
    ("events", events),
    ("event_ids", event_ids),
    ("messages", messages),
    ("reactions", reactions),
    ("conversations", conversations),
    ("standings", standings),
    ("read_markers", read_markers),
];

pub(super) fn digest(content: &Content) -> Digest {
    let mut tables: Vec<_> = TABLES
        .into_iter()
        .map(|(table, rows)| {
            let mut digest = TableDigest::new(table);
            content.conversations.iter().for_each(|(id, kept)| rows(id, kept, &mut digest));
            digest
        })
        .collect();
    let mut progress = TableDigest::new("progress");
    for (partition, at) in &content.progress {
        let cells = [Number(partition.0.into()), Text(at.epoch.as_str()), Number(at.position.into())];
        progress.row(cells);
    }
    tables.push(progress);
    Digest { tables }
}

fn events(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    for (offset, stored) in &kept.events {
        digest.row([
            Text(conversation.as_str()),
            at(*offset),
            Number(stored.recorded_at.as_millis()),
            Text(stored.event.event_id.as_str()),
            Text(stored.event.body.type_name()),
            Number(stored.void.into()),
            Bytes(&stored.value),
        ]);
    }
}

fn event_ids(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    for (event_id, offset) in &kept.ids {
        let Some(stored) = kept.events.get(offset) else { continue };
        digest.row([
            Text(conversation.as_str()),
            Text(event_id.as_str()),
            at(*offset),
            Number(stored.recorded_at.as_millis()),
            Text(stored.event.actor.as_str()),
            Text(stored.event.body.type_name()),
        ]);
    }
}

fn messages(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    for (message_id, message) in &kept.messages {
        if let Some(cells) = message_cells(message) {
            let key = [Text(conversation.as_str()), Text(message_id.as_str())];
            digest.row(key.into_iter().chain(cells));
        }
    }
}

/// `None`: only reactions to it are known, which are rows of their own.
fn message_cells(message: &KeptMessage) -> Option<impl Iterator<Item = Cell<'_>>> {
    let KeptMessage { post, edit, redaction, reactions: _ } = message;
    if post.is_none() && edit.is_none() && redaction.is_none() {
        return None;
    }
    let post = post.as_ref().map_or([Null; 6], |Stamped { stamp, value }| {
        let reply_to = value.reply_to.as_ref().map(EventId::as_str);
        [
            Text(value.author.as_str()),
            Text(value.text.as_str()),
            Text(value.style.word()),
            reply_to.map_or(Null, Text),
            Number(value.at.as_millis()),
            at(*stamp),
        ]
    });
    let edit = edit.as_ref().map_or([Null; 3], |Stamped { stamp, value: (text, when) }| {
        [Text(text.as_str()), Number(when.as_millis()), at(*stamp)]
    });
    let redaction = redaction.as_ref().map_or([Null; 3], |Stamped { stamp, value: (by, when) }| {
        [Text(by.as_str()), Number(when.as_millis()), at(*stamp)]
    });
    Some(post.into_iter().chain(edit).chain(redaction))
}

fn reactions(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    for (message_id, message) in &kept.messages {
        for ((emoji, user), present) in &message.reactions {
            digest.row([
                Text(conversation.as_str()),
                Text(message_id.as_str()),
                Text(emoji.as_str()),
                Text(user.as_str()),
                Number(present.value.into()),
                at(present.stamp),
            ]);
        }
    }
}

fn conversations(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    let Kept { founding, title, archived, last, .. } = kept;
    let Some(last) = last else { return };
    let founding = founding.as_ref().map_or([Null; 4], |Stamped { stamp, value }| {
        let (visibility, creator) = (Text(value.visibility.word()), Text(value.creator.as_str()));
        [visibility, creator, Number(value.at.as_millis()), at(*stamp)]
    });
    let title = title.as_ref().map_or([Null; 2], |Stamped { stamp, value }| {
        [value.as_ref().map_or(Null, |title| Text(title.as_str())), at(*stamp)]
    });
    let archived =
        archived.as_ref().map_or([Null; 2], |Stamped { stamp, value }| [Number((*value).into()), at(*stamp)]);
    let last = [Number(last.value.as_millis()), at(last.stamp)];
    let key = std::iter::once(Text(conversation.as_str()));
    digest.row(key.chain(founding).chain(title).chain(archived).chain(last));
}

fn standings(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    for (user, Stamped { stamp, value }) in &kept.standings {
        digest.row([Text(conversation.as_str()), Text(user.as_str()), Text(value.word()), at(*stamp)]);
    }
}

fn read_markers(conversation: &ConversationId, kept: &Kept, digest: &mut TableDigest) {
    for (user, Stamped { stamp, value }) in &kept.read_markers {
        digest.row([Text(conversation.as_str()), Text(user.as_str()), Number((*value).into()), at(*stamp)]);
    }
}

fn at(offset: Offset) -> Cell<'static> {
    Number(offset.into())
}
