//! What a session was sent, against the events.

use std::collections::HashMap;

use super::{Verdict, not_rising};
use crate::api::EventLine;

impl Verdict {
    /// The session was sent every event once, in order, byte for byte as HTTP gives it.
    pub(super) fn session(&mut self, name: &str, events: &[EventLine], seen: &[EventLine]) {
        self.disorder.extend(not_rising(&format!("in the session {name}"), seen));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for event in seen {
            *counts.entry(&event.json).or_default() += 1;
        }
        for event in events {
            let (id, at) = (&event.event_id, event.offset);
            match counts.remove(event.json.as_str()) {
                Some(1) => {}
                None => self.lost.push(format!("the session {name} never saw {id} at {at}")),
                Some(times) => self.doubled.push(format!("the session {name} saw {id} {times} times")),
            }
        }
        self.other.extend(
            counts.keys().map(|json| format!("the session {name} saw what is not in the log: {json}")),
        );
    }
}
