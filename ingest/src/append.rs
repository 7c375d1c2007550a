//! From an event to a durable record, and to what became of it.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use kernel::{
    command::CommandError,
    conversation::{Refusal, Void},
    event_log::{AppendError, Header, NewRecord, Place, SharedLog},
    metric,
    mirror::{Outcome, Tracked},
};
use schemas::{ChatEvent, EventId, Offset, codec::Codec};
use tokio::time::{Instant, timeout};

use crate::{limits::APPEND_MAX, recall::Known};

/// What the value of a record is: Avro behind the five bytes that Confluent's tools put before it.
const CONTENT_TYPE: &str = "application/vnd.confluent.avro";

/// What the fold made of an appended event.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It counts.
    Counts,
    /// It is void: this one came before under the same id.
    Repeats(Known),
    /// It is void: it broke a rule at its place.
    Against(Refusal),
    /// The windows of the fold have passed over it.
    Forgotten,
}

/// Nothing was done; trying again may help.
pub(crate) fn unavailable(reason: impl fmt::Display) -> CommandError {
    CommandError::Unavailable { reason: reason.to_string() }
}

/// Something may have been done.
pub(crate) fn unknown(reason: impl fmt::Display) -> CommandError {
    CommandError::Unknown { reason: reason.to_string() }
}

/// The record for an event.
///
/// # Errors
/// Never in practice: each event fits the schema.
pub fn record_of(codec: &Codec, event: &ChatEvent) -> Result<NewRecord, CommandError> {
    let value = codec.encode(event).map_err(|error| CommandError::Invalid(error.to_string()))?;
    let header = |name: &str, value: Bytes| Header { name: name.to_owned(), value };
    Ok(NewRecord {
        key: event.conversation.clone(),
        value,
        headers: vec![
            header("event-type", Bytes::from_static(event.body.type_name().as_bytes())),
            header("event-id", Bytes::copy_from_slice(event.event_id.as_str().as_bytes())),
            header("content-type", Bytes::from_static(CONTENT_TYPE.as_bytes())),
        ],
    })
}

/// Appends within the time that an append may take.
pub(crate) async fn append(log: &SharedLog, batch: Vec<NewRecord>) -> Result<Vec<Place>, CommandError> {
    let log = Arc::clone(log);
    let begun = Instant::now();
    let appended = timeout(APPEND_MAX, log.append(batch)).await;
    if matches!(appended, Ok(Ok(_))) {
        metric::APPEND_TIME.histogram().record(begun.elapsed());
    }
    match appended {
        Ok(Ok(places)) => Ok(places),
        Ok(Err(AppendError::Unavailable { reason })) => Err(unavailable(reason)),
        Ok(Err(AppendError::Unknown { reason })) => Err(unknown(reason)),
        Ok(Err(AppendError::Refused { reason })) => Err(CommandError::Invalid(reason)),
        Err(_) => Err(unknown("the log did not answer in time")),
    }
}

/// What became of the event with this id that was appended at `offset` and is folded here.
///
/// The window is asked first and not [`Tracked::outcome`], which knows only so many void events: a flood of
/// them must not make one look valid.
pub(crate) fn verdict(tracked: &Tracked, id: &EventId, offset: Offset) -> Verdict {
    let first = tracked.look(|state| state.and_then(|state| state.repeats.find(id).map(Known::from)));
    match first {
        Some(first) if first.position == offset.position() => Verdict::Counts,
        Some(first) => Verdict::Repeats(first),
        None => match tracked.outcome(offset) {
            Outcome::Void(Void::Against(refusal)) => Verdict::Against(refusal),
            _ => Verdict::Forgotten,
        },
    }
}
