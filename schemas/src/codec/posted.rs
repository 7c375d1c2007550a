//! The event that nearly all events are, read by hand: a posted message in the first version of the schema.
//!
//! Invariant: what is read here is what the library reads. Whatever is anything else, or broken, is left to the library, which also
//! says what is wrong.

use std::str::FromStr;

use crate::{
    Timestamp,
    event::{ChatEvent, MessagePosted, Style},
};

/// Which version is read.
pub(super) const VERSION: usize = 0;
/// The place of the body in the union.
const BODY: i64 = 7;

/// The event, if its body is a posted message and all is as it should be.
pub(super) fn read(mut bytes: &[u8]) -> Option<ChatEvent> {
    let from = &mut bytes;
    let (event_id, conversation, actor) = (text(from)?, text(from)?, text(from)?);
    let occurred_at = Timestamp::from_millis(long(from)?);
    if long(from)? != BODY {
        return None;
    }
    let text_of_it = text(from)?;
    let style = match long(from)? {
        0 => Style::Plain,
        1 => Style::Action,
        _ => return None,
    };
    let reply_to = match long(from)? {
        0 => None,
        1 => Some(text(from)?),
        _ => return None,
    };
    let body = MessagePosted { text: text_of_it, style, reply_to }.into();
    bytes.is_empty().then_some(ChatEvent { event_id, conversation, actor, occurred_at, body })
}

/// A string: its length, and so many bytes of UTF-8.
fn text<T: FromStr>(bytes: &mut &[u8]) -> Option<T> {
    let len = usize::try_from(long(bytes)?).ok()?;
    str::from_utf8(bytes.split_off(..len)?).ok()?.parse().ok()
}

/// A number: seven bits to a byte, the lowest first, and the sign in the lowest bit of all. As many bytes as a long may have.
fn long(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let byte = bytes.split_off_first()?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
        }
    }
    // Longer ones are times that nobody posts at.
    None
}
