//! The limits that everybody obeys. What is larger is refused where it enters, never cut.

/// Longest conversation id, in bytes (ASCII).
pub const CONVERSATION_ID_LEN_MAX: usize = 128;
/// Longest event id, and so the longest client message id, in bytes (ASCII).
pub const EVENT_ID_LEN_MAX: usize = 64;
/// Longest user id, in bytes of UTF-8.
pub const USER_ID_LEN_MAX: usize = 128;
/// Longest message text, in bytes of UTF-8, counted without trimming.
pub const TEXT_LEN_MAX: usize = 16_384;
/// Longest title of a conversation, in bytes of UTF-8.
pub const TITLE_LEN_MAX: usize = 256;
/// Longest reaction, in bytes of UTF-8: the longest emoji sequences in use have about 40.
pub const EMOJI_LEN_MAX: usize = 64;
/// Longest parting words of somebody who leaves, in bytes of UTF-8.
pub const PARTING_WORDS_LEN_MAX: usize = 1_024;
/// Largest HTTP body of a command, in bytes: room for a text of [`TEXT_LEN_MAX`] bytes all written as
/// `\u` escapes (98,304 bytes) and the fields around it.
pub const BODY_LEN_MAX: u64 = 128 * 1_024;
/// Largest HTTP body of one import request, in bytes.
pub const IMPORT_BODY_LEN_MAX: u64 = 8 * 1_024 * 1_024;
/// Most lines in one import request; they become one batch in the log.
pub const IMPORT_LINES_MAX: usize = 1_000;
/// Most people named when a conversation is created.
pub const MEMBERS_AT_CREATION_MAX: usize = 100;
/// Most people whose standing one conversation keeps (members and removed ones together).
pub const STANDINGS_MAX: usize = 100_000;
/// Most items in one page of messages, events or conversations.
pub const PAGE_LEN_MAX: usize = 1_000;
/// Items in a page when the caller names no limit.
pub const PAGE_LEN_DEFAULT: usize = 50;
/// Where the count of what is unread in a conversation ends: so many, or more.
pub const UNREAD_MAX: u32 = 100;
/// Most conversations of one person that an inbox is kept up to date for.
pub const INBOX_LEN_MAX: usize = 10_000;
/// Largest encoded event that is accepted from a topic, in bytes.
pub const RECORD_LEN_MAX: usize = 256 * 1_024;
/// Most sessions that one signal names.
pub const SIGNAL_SESSIONS_MAX: usize = 100;
/// Largest encoded signal that is accepted from a topic, in bytes.
pub const SIGNAL_LEN_MAX: usize = 32 * 1_024;
/// How far back, in milliseconds of record time, a repeated event id is recognised from the fold alone.
/// It must exceed the longest time an append may take ([`APPEND_DEADLINE_MS`]) plus the clock difference
/// between two ingest nodes.
pub const REPEAT_WINDOW_MS: i64 = 60_000;
/// Longest time an append may take before its outcome is called unknown, in milliseconds.
pub const APPEND_DEADLINE_MS: u64 = 10_000;

// The longest names there are must fit: two for each session, two for the signal, and their lengths.
const _: () = assert!(
    SIGNAL_LEN_MAX
        >= (SIGNAL_SESSIONS_MAX + 1) * (USER_ID_LEN_MAX + EVENT_ID_LEN_MAX + 8)
            + CONVERSATION_ID_LEN_MAX
            + EVENT_ID_LEN_MAX
);
// A window no older than an append may take would let the second of two racing appends pass.
const _: () = assert!(REPEAT_WINDOW_MS as u64 >= 3 * APPEND_DEADLINE_MS);
