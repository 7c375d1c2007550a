//! The statements, in one place, prepared once; `{}` stands for the keyspace. All may be sent again: what they write carries its stamp.

use scylla::{
    errors::PrepareError,
    statement::{Statement, prepared::PreparedStatement},
};

use super::session::Connection;

/// Rows in one page of an answer; what is left is fetched page by page.
const PAGE_ROWS: i32 = 1_000;

/// Declares a set of statements: an enum of their names, and the set of them prepared.
macro_rules! statements {
    ($(#[$doc:meta])* $name:ident, $set:ident: $($statement:ident $field:ident = $cql:literal;)+) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum $name { $($statement,)+ }

        /// All of them, prepared.
        #[derive(Debug)]
        pub(super) struct $set { $($field: PreparedStatement,)+ }

        impl $set {
            pub(super) async fn prepare(connection: &Connection) -> Result<Self, PrepareError> {
                $(let $field = prepare(connection, $cql);)+
                let ($($field,)+) = futures_util::try_join!($($field,)+)?;
                Ok(Self { $($field,)+ })
            }

            pub(super) fn get(&self, statement: $name) -> &PreparedStatement {
                match statement { $($name::$statement => &self.$field,)+ }
            }
        }
    };
}

/// The tables are named with their keyspace: what is prepared must not depend on the one that a connection happens to use.
async fn prepare(connection: &Connection, cql: &str) -> Result<PreparedStatement, PrepareError> {
    let cql = cql.replace("{}", connection.keyspace.as_str());
    let mut statement = connection.session.prepare(Statement::new(cql).with_page_size(PAGE_ROWS)).await?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

statements! {
    /// What writes a row. The stamp is the last value of each.
    Insert, Inserts:
    Event event = "INSERT INTO {}.events (conversation, bucket, post, offset, recorded_at, void, value)
                   VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    Bucket bucket = "INSERT INTO {}.buckets (conversation, bucket) VALUES (?, ?) USING TIMESTAMP ?";
    Id id = "INSERT INTO {}.ids (conversation, event_id, offset, recorded_at, actor, type, posted_offset)
             VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    Edit edit = "INSERT INTO {}.ids (conversation, event_id, edited_text, edited_at)
                 VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    Redaction redaction = "INSERT INTO {}.ids (conversation, event_id, redacted_by, redacted_at)
                           VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    Reaction reaction = "INSERT INTO {}.ids (conversation, event_id, emoji, user, present)
                         VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?";
    StandingOf standing_of = "INSERT INTO {}.conversations_by_user (user, conversation, standing)
                              VALUES (?, ?, ?) USING TIMESTAMP ?";
    Read read = "INSERT INTO {}.conversations_by_user (user, conversation, read_up_to)
                 VALUES (?, ?, ?) USING TIMESTAMP ?";
    Founding founding = "INSERT INTO {}.conversations (conversation, visibility, creator, created_at)
                         VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    Title title = "INSERT INTO {}.conversations (conversation, title) VALUES (?, ?) USING TIMESTAMP ?";
    Archived archived = "INSERT INTO {}.conversations (conversation, archived) VALUES (?, ?) USING TIMESTAMP ?";
    Last last = "INSERT INTO {}.conversations (conversation, last_offset, last_at)
                 VALUES (?, ?, ?) USING TIMESTAMP ?";
    Stands stands = "INSERT INTO {}.conversations (conversation, user, standing, standings_offset)
                     VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    Epoch epoch = "INSERT INTO {}.progress (log, epoch) VALUES ('events', ?) USING TIMESTAMP ?";
    Progress progress = "INSERT INTO {}.progress (log, partition, position) VALUES ('events', ?, ?) USING TIMESTAMP ?";
}

statements! {
    /// What asks for rows.
    Select, Selects:
    Epoch epoch = "SELECT DISTINCT epoch FROM {}.progress WHERE log = 'events'";
    Progress progress = "SELECT epoch, position FROM {}.progress WHERE log = 'events' AND partition = ?";
    Newest newest = "SELECT offset, recorded_at, void, value FROM {}.events
                     WHERE conversation = ? AND bucket = ? AND post = ? AND offset >= ? AND offset < ? LIMIT ?";
    Oldest oldest = "SELECT offset, recorded_at, void, value FROM {}.events
                     WHERE conversation = ? AND bucket = ? AND post = ? AND offset >= ? AND offset < ?
                     ORDER BY post DESC, offset ASC LIMIT ?";
    LastBuckets last_buckets = "SELECT bucket FROM {}.buckets
                                WHERE conversation = ? AND bucket >= ? AND bucket <= ? LIMIT ?";
    FirstBuckets first_buckets = "SELECT bucket FROM {}.buckets
                                  WHERE conversation = ? AND bucket >= ? AND bucket <= ?
                                  ORDER BY bucket ASC LIMIT ?";
    Found found = "SELECT DISTINCT offset, recorded_at, actor, type, posted_offset, redacted_at
                   FROM {}.ids WHERE conversation = ? AND event_id = ?";
    FoundAmong found_among =
        "SELECT DISTINCT event_id, offset, recorded_at, actor, type, posted_offset, redacted_at
         FROM {}.ids WHERE conversation = ? AND event_id IN ?";
    About about = "SELECT posted_offset, edited_text, edited_at, redacted_by, redacted_at, emoji, user, present
                   FROM {}.ids WHERE conversation = ? AND event_id = ?";
    State state = "SELECT visibility, creator, created_at, title, archived, last_offset, last_at, standings_offset,
                          user, standing
                   FROM {}.conversations WHERE conversation = ?";
    Head head = "SELECT DISTINCT visibility, title, archived, last_offset, last_at FROM {}.conversations WHERE conversation = ?";
    OfUser of_user = "SELECT conversation, standing, read_up_to FROM {}.conversations_by_user
                      WHERE user = ? AND conversation > ?";
    OneOfUser one_of_user = "SELECT conversation, standing, read_up_to FROM {}.conversations_by_user
                             WHERE user = ? AND conversation = ?";
}

statements! {
    /// What reads a whole table, stamps included, for the fingerprint.
    Scan, Scans:
    Events events = "SELECT conversation, bucket, post, offset, recorded_at, void, value FROM {}.events";
    Buckets buckets = "SELECT conversation, bucket FROM {}.buckets";
    Ids ids = "SELECT conversation, event_id, offset, recorded_at, actor, type, posted_offset,
                      edited_text, edited_at, WRITETIME(edited_at) AS edit_stamp,
                      redacted_by, redacted_at, WRITETIME(redacted_at) AS redaction_stamp,
                      emoji, user, present, WRITETIME(present) AS reaction_stamp FROM {}.ids";
    Conversations conversations = "SELECT conversation, visibility, creator, created_at,
                                          WRITETIME(visibility) AS created_stamp,
                                          title, WRITETIME(title) AS title_stamp,
                                          archived, WRITETIME(archived) AS archived_stamp, last_offset, last_at,
                                          user, standing, WRITETIME(standing) AS standing_stamp
                                   FROM {}.conversations";
    ByUser by_user = "SELECT user, conversation, standing, WRITETIME(standing) AS standing_stamp,
                             read_up_to, WRITETIME(read_up_to) AS read_stamp FROM {}.conversations_by_user";
    Progress progress = "SELECT epoch, partition, position FROM {}.progress WHERE log = 'events'";
    Post post = "SELECT value FROM {}.events WHERE conversation = ? AND bucket = ? AND post = true AND offset = ?";
}
