//! Messages and members, against what follows from the events.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::{Verdict, read, word};
use crate::api::EventLine;

/// A message, as it must look after the events.
struct Expected {
    offset: u64,
    id: String,
    author: String,
    text: String,
    edited: bool,
    redacted_by: Option<String>,
    reactions: BTreeMap<String, BTreeSet<String>>,
}

impl Verdict {
    pub(super) fn messages(&mut self, events: &[EventLine], messages: &[Value]) {
        let expected: Vec<_> = expected(events).iter().map(Expected::looks).collect();
        let given: Vec<_> = messages.iter().map(looks).collect();
        if expected == given {
            return;
        }
        let differ = expected.iter().zip(&given).find(|(log, history)| log != history);
        let lens = (expected.len(), given.len());
        self.other.push(format!("the history is not the log: (log, history) has {lens:?}, first {differ:?}"));
    }

    pub(super) fn members(&mut self, events: &[EventLine], members: &[String]) {
        let mut expected = BTreeSet::new();
        for event in events {
            let said = read(event);
            let member = word(&said, "/body/member").to_owned();
            match event.kind.as_str() {
                "ConversationCreated" => {
                    expected.insert(word(&said, "/actor").to_owned());
                }
                "MemberJoined" => {
                    expected.insert(member);
                }
                "MemberRemoved" => {
                    expected.remove(&member);
                }
                _ => {}
            }
        }
        let given: BTreeSet<_> = members.iter().cloned().collect();
        if expected != given {
            self.other.push(format!("members are {given:?}, and by the events {expected:?}"));
        }
    }
}

/// The messages that follow from the events.
fn expected(events: &[EventLine]) -> Vec<Expected> {
    let (mut all, mut by_id) = (Vec::new(), HashMap::new());
    for event in events {
        let said = read(event);
        let text = word(&said, "/body/text").to_owned();
        let (actor, emoji) = (word(&said, "/actor").to_owned(), word(&said, "/body/emoji").to_owned());
        if event.kind == "MessagePosted" {
            by_id.insert(event.event_id.clone(), all.len());
            let (offset, id, reactions) = (event.offset, event.event_id.clone(), BTreeMap::new());
            all.push(Expected {
                offset,
                id,
                author: actor,
                text,
                edited: false,
                redacted_by: None,
                reactions,
            });
            continue;
        }
        let place = by_id.get(word(&said, "/body/message_id"));
        let Some(message) = place.and_then(|place| all.get_mut(*place)) else { continue };
        match event.kind.as_str() {
            "MessageEdited" => (message.text, message.edited) = (text, true),
            "MessageRedacted" => message.redacted_by = Some(actor),
            "ReactionAdded" => {
                message.reactions.entry(emoji).or_default().insert(actor);
            }
            "ReactionRemoved" => {
                message.reactions.entry(emoji).or_default().remove(&actor);
            }
            _ => {}
        }
    }
    all
}

impl Expected {
    fn looks(&self) -> Value {
        let Self { offset, id, author, text, edited, redacted_by, reactions } = self;
        let some = reactions.iter().filter(|(_, users)| !users.is_empty());
        let reactions: Vec<_> = some.map(|(emoji, users)| json!({"emoji": emoji, "users": users})).collect();
        json!({
            "offset": offset, "message_id": id, "author": author, "edited": edited,
            "text": redacted_by.is_none().then_some(text), "redacted_by": redacted_by, "reactions": reactions,
        })
    }
}

/// The same of a message that HTTP gave.
fn looks(message: &Value) -> Value {
    let of = |field: &str| message.get(field).cloned().unwrap_or_default();
    json!({
        "offset": of("offset"), "message_id": of("message_id"), "author": of("author"), "text": of("text"),
        "edited": !of("edited_at").is_null(), "redacted_by": of("redacted_by"), "reactions": of("reactions"),
    })
}
