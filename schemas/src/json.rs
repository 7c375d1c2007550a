//! How an event looks to clients: one JSON form for HTTP, WebSocket and export.
//!
//! ```json
//! {"offset":12,"type":"MessagePosted","event_id":"m-1","conversation":"tea","actor":"ann",
//!  "occurred_at":"2024-02-26T08:49:39.372Z","recorded_at":"2024-02-26T08:49:39.380Z",
//!  "body":{"text":"hi","style":"plain","reply_to":null}}
//! ```

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::{
    event::{ChatEvent, EventBody},
    id::{ConversationId, EventId, UserId},
    position::Position,
    time::Timestamp,
};

/// An event as it stands in the log, ready to be written as JSON.
#[derive(Debug, Serialize)]
pub struct EventJson<'a> {
    offset: Position,
    r#type: &'static str,
    event_id: &'a EventId,
    conversation: &'a ConversationId,
    actor: &'a UserId,
    occurred_at: Timestamp,
    recorded_at: Timestamp,
    #[serde(serialize_with = "untagged")]
    body: &'a EventBody,
}

fn untagged<S: Serializer>(body: &EventBody, serializer: S) -> Result<S::Ok, S::Error> {
    body.serialize_untagged(serializer)
}

impl<'a> EventJson<'a> {
    /// `event` as the record after which `position` stands, recorded at `recorded_at`.
    pub fn new(event: &'a ChatEvent, position: Position, recorded_at: Timestamp) -> Self {
        Self {
            offset: position,
            r#type: event.body.type_name(),
            event_id: &event.event_id,
            conversation: &event.conversation,
            actor: &event.actor,
            occurred_at: event.occurred_at,
            recorded_at,
            body: &event.body,
        }
    }

    /// The JSON, on one line.
    pub fn to_text(&self) -> String {
        // Strings, numbers and maps with string keys: nothing here that JSON cannot write.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Writes the same behind what `out` holds.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // As above; and a vector takes everything.
        let _ = serde_json::to_writer(out, self);
    }
}

/// An event read back from its JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFromJson {
    /// The wire position: the record's offset + 1.
    pub position: Position,
    /// When the log took it.
    pub recorded_at: Timestamp,
    /// The event.
    pub event: ChatEvent,
}

impl<'de> Deserialize<'de> for EventFromJson {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire<'a> {
            offset: Position,
            #[serde(borrow)]
            r#type: Cow<'a, str>,
            event_id: EventId,
            conversation: ConversationId,
            actor: UserId,
            occurred_at: Timestamp,
            recorded_at: Timestamp,
            #[serde(borrow)]
            body: &'a RawValue,
        }
        let wire = Wire::deserialize(deserializer)?;
        let body = EventBody::from_json(&wire.r#type, wire.body.get()).map_err(serde::de::Error::custom)?;
        Ok(Self {
            position: wire.offset,
            recorded_at: wire.recorded_at,
            event: ChatEvent {
                event_id: wire.event_id,
                conversation: wire.conversation,
                actor: wire.actor,
                occurred_at: wire.occurred_at,
                body,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{MessagePosted, Style};

    #[test]
    fn an_event_reads_as_documented_and_back() {
        let event = ChatEvent {
            event_id: "m-1".parse().unwrap(),
            conversation: "tea".parse().unwrap(),
            actor: "ann".parse().unwrap(),
            occurred_at: Timestamp::from_millis(1_708_937_379_372),
            body: MessagePosted { text: "hi".parse().unwrap(), style: Style::Plain, reply_to: None }.into(),
        };
        let recorded_at = Timestamp::from_millis(1_708_937_379_380);
        let text = EventJson::new(&event, Position::new(12), recorded_at).to_text();
        assert_eq!(
            text,
            r#"{"offset":12,"type":"MessagePosted","event_id":"m-1","conversation":"tea","actor":"ann","occurred_at":"2024-02-26T08:49:39.372Z","recorded_at":"2024-02-26T08:49:39.380Z","body":{"text":"hi","style":"plain","reply_to":null}}"#
        );
        let back: EventFromJson = serde_json::from_str(&text).unwrap();
        assert_eq!(back, EventFromJson { position: Position::new(12), recorded_at, event });
    }
}
