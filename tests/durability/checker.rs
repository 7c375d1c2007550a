//! The judge. It takes what the senders were told, and what the server says of one conversation in three ways (events,
//! messages, a session), and names everything that does not fit.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use serde_json::Value;
use tests::api::EventLine;

use crate::workload::Sent;

const POSTED: &str = "MessagePosted";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    lost: Vec<String>,
    doubled: Vec<String>,
    disorder: Vec<String>,
    other: Vec<String>,
}

impl Verdict {
    /// Judges one conversation and adds what it finds.
    ///
    /// `attempts` in the order of each sender; `events` is the log as HTTP gives it, `messages` the history, `seen` what
    /// a session that was subscribed from the beginning was sent.
    pub(crate) fn judge<'a>(
        &mut self,
        attempts: impl Iterator<Item = &'a Sent>,
        events: &[EventLine],
        messages: &[Value],
        seen: &[EventLine],
    ) {
        let attempts: Vec<_> = attempts.collect();
        self.log(&attempts, events);
        self.order(&attempts, events);
        self.history(&attempts, events, messages);
        self.session(events, seen);
    }

    /// Whether nothing was found.
    pub(crate) fn is_clean(&self) -> bool {
        self.findings().is_empty()
    }

    /// Everything that was found, in words.
    pub(crate) fn findings(&self) -> Vec<String> {
        [&self.lost, &self.doubled, &self.disorder, &self.other].into_iter().flatten().cloned().collect()
    }

    /// Every accepted id stands once, where it was said to stand, and nothing stands there that nobody sent.
    fn log(&mut self, attempts: &[&Sent], events: &[EventLine]) {
        let mut found: HashMap<&str, Vec<u64>> = HashMap::new();
        for event in events {
            found.entry(&event.event_id).or_default().push(event.offset);
        }
        for sent in attempts {
            let Sent { id, offset, .. } = sent;
            match found.get(id.as_str()).map(Vec::as_slice) {
                None | Some([]) => {
                    self.lost.push(format!("{id} was accepted at {offset} and is not in the log"));
                }
                Some([at]) if at == offset => {}
                Some([at]) => self.other.push(format!("{id} was accepted at {offset} and stands at {at}")),
                Some(many) => self.doubled.push(format!("{id} stands at {many:?}")),
            }
        }
        let sent: HashSet<_> = attempts.iter().map(|sent| sent.id.as_str()).collect();
        let strange = posted(events).filter(|event| !sent.contains(event.event_id.as_str()));
        self.other.extend(strange.map(|event| format!("{} was sent by nobody", event.event_id)));
    }

    /// Positions rise, and the messages of each author stand in the order in which they were sent.
    fn order(&mut self, attempts: &[&Sent], events: &[EventLine]) {
        self.disorder.extend(not_rising("in the log", events));
        let numbers: HashMap<_, _> = attempts.iter().map(|sent| (sent.id.as_str(), *sent)).collect();
        let mut last: HashMap<&str, u64> = HashMap::new();
        for sent in events.iter().filter_map(|event| numbers.get(event.event_id.as_str())) {
            let Sent { author, number, .. } = sent;
            let before = last.insert(author, *number);
            // The same number twice is a double, and said as such.
            if let Some(before) = before.filter(|before| before > number) {
                self.disorder.push(format!("{author}: {number} stands after {before}"));
            }
        }
    }

    /// The history says the same as the log, and gives the texts back byte for byte.
    fn history(&mut self, attempts: &[&Sent], events: &[EventLine], messages: &[Value]) {
        let log: Vec<_> = posted(events).map(|event| (event.event_id.as_str(), event.offset)).collect();
        let history: Vec<_> =
            messages.iter().map(|message| (word(message, "message_id"), position(message))).collect();
        if log != history {
            let differ = log.iter().zip(&history).find(|(log, history)| log != history);
            let lens = (log.len(), history.len());
            self.other
                .push(format!("the history is not the log: (log, history) has {lens:?}, first {differ:?}"));
        }
        let texts: HashMap<_, _> =
            attempts.iter().map(|sent| (sent.id.as_str(), sent.text.as_str())).collect();
        for message in messages {
            let id = word(message, "message_id");
            if texts.get(id).is_some_and(|text| *text != word(message, "text")) {
                self.other.push(format!("{id} came back with another text"));
            }
        }
    }

    /// The session was sent every event once, in order, byte for byte as HTTP gives it.
    fn session(&mut self, events: &[EventLine], seen: &[EventLine]) {
        self.disorder.extend(not_rising("in the session", seen));
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for event in seen {
            *counts.entry(&event.json).or_default() += 1;
        }
        for event in events {
            match counts.remove(event.json.as_str()) {
                Some(1) => {}
                None => self.lost.push(format!("the session never saw {}", event.event_id)),
                Some(times) => self.doubled.push(format!("the session saw {} {times} times", event.event_id)),
            }
        }
        self.other
            .extend(counts.keys().map(|json| format!("the session saw what is not in the log: {json}")));
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lost {} doubled {} ", self.lost.len(), self.doubled.len())?;
        match self.disorder.len() {
            0 => f.write_str("order kept")?,
            found => write!(f, "order broken {found}")?,
        }
        match self.other.len() {
            0 => Ok(()),
            found => write!(f, " other {found}"),
        }
    }
}

fn posted(events: &[EventLine]) -> impl Iterator<Item = &EventLine> {
    events.iter().filter(|event| event.kind == POSTED)
}

fn not_rising(place: &str, events: &[EventLine]) -> Vec<String> {
    let pairs = events.iter().zip(events.iter().skip(1));
    let falls = pairs.filter(|(before, after)| before.offset >= after.offset);
    falls.map(|(before, after)| format!("{place}: {} comes after {}", after.offset, before.offset)).collect()
}

fn word<'a>(message: &'a Value, field: &str) -> &'a str {
    message.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn position(message: &Value) -> u64 {
    message.get("offset").and_then(Value::as_u64).unwrap_or_default()
}

/// A judge who never finds anything proves nothing: each kind of harm, done on purpose, must be found.
mod canaries {
    use serde_json::json;

    use super::*;

    /// A conversation as it should be: ann and bob take turns; positions are shared with another conversation.
    struct World {
        attempts: Vec<Sent>,
        events: Vec<EventLine>,
        messages: Vec<Value>,
        seen: Vec<EventLine>,
    }

    fn sent(author: &str, number: u64, offset: u64) -> Sent {
        let (id, text) = (format!("{author}.{number}"), format!("text {number}"));
        Sent { conversation: "tea".to_owned(), author: author.to_owned(), number, id, text, offset, tries: 1 }
    }

    fn event(kind: &str, event_id: &str, offset: u64) -> EventLine {
        let json = json!({"offset": offset, "type": kind, "event_id": event_id}).to_string();
        EventLine { json, offset, event_id: event_id.to_owned(), kind: kind.to_owned() }
    }

    fn world() -> World {
        let attempts = vec![sent("ann", 0, 4), sent("bob", 0, 6), sent("ann", 1, 7), sent("bob", 3, 9)];
        let mut events = vec![event("ConversationCreated", "create-tea", 1)];
        events.extend(attempts.iter().map(|sent| event(POSTED, &sent.id, sent.offset)));
        let message = |sent: &Sent| json!({"message_id": sent.id, "offset": sent.offset, "text": sent.text});
        let messages = attempts.iter().map(message).collect();
        World { seen: events.clone(), attempts, events, messages }
    }

    fn verdict(harm: impl FnOnce(&mut World)) -> Verdict {
        let mut world = world();
        harm(&mut world);
        let mut verdict = Verdict::default();
        verdict.judge(world.attempts.iter(), &world.events, &world.messages, &world.seen);
        verdict
    }

    #[test]
    fn a_world_in_order_is_clean() {
        let verdict = verdict(|_| {});
        assert!(verdict.is_clean(), "{:?}", verdict.findings());
        assert_eq!(verdict.to_string(), "lost 0 doubled 0 order kept");
    }

    #[test]
    fn a_lost_message_is_found() {
        let verdict = verdict(|world| {
            world.events.remove(2);
            world.messages.remove(1);
            world.seen.remove(2);
        });
        assert_eq!(verdict.findings(), ["bob.0 was accepted at 6 and is not in the log"]);
    }

    #[test]
    fn a_doubled_message_is_found() {
        let verdict = verdict(|world| {
            world.events.push(event(POSTED, "ann.1", 12));
            world.seen.push(event(POSTED, "ann.1", 12));
            world.messages.push(json!({"message_id": "ann.1", "offset": 12, "text": "text 1"}));
        });
        assert_eq!(verdict.findings(), ["ann.1 stands at [7, 12]"]);
    }

    #[test]
    fn swapped_messages_of_one_author_are_found() {
        let verdict = verdict(|world| {
            // The positions are those that were answered, only the wrong way round.
            world.attempts[0].offset = 7;
            world.attempts[2].offset = 4;
            for events in [&mut world.events, &mut world.seen] {
                events[1] = event(POSTED, "ann.1", 4);
                events[3] = event(POSTED, "ann.0", 7);
            }
            world.messages[0] = json!({"message_id": "ann.1", "offset": 4, "text": "text 1"});
            world.messages[2] = json!({"message_id": "ann.0", "offset": 7, "text": "text 0"});
        });
        assert_eq!(verdict.findings(), ["ann: 0 stands after 1"]);
        assert_eq!(verdict.to_string(), "lost 0 doubled 0 order broken 1");
    }

    #[test]
    fn positions_that_fall_are_found() {
        let verdict = verdict(|world| {
            world.events.swap(1, 2);
            world.messages.swap(0, 1);
        });
        assert_eq!(verdict.findings(), ["in the log: 4 comes after 6"]);
    }

    #[test]
    fn a_message_elsewhere_than_answered_is_found() {
        let verdict = verdict(|world| world.attempts[0].offset = 3);
        assert_eq!(verdict.findings(), ["ann.0 was accepted at 3 and stands at 4"]);
    }

    #[test]
    fn a_message_that_nobody_sent_is_found() {
        let verdict = verdict(|world| drop(world.attempts.remove(3)));
        assert_eq!(verdict.findings(), ["bob.3 was sent by nobody"]);
    }

    #[test]
    fn a_history_that_differs_is_found() {
        assert!(!verdict(|world| drop(world.messages.remove(1))).is_clean());
        assert!(!verdict(|world| world.messages.swap(1, 2)).is_clean());
        assert!(!verdict(|world| world.messages[1]["offset"] = 5.into()).is_clean());
        assert!(!verdict(|world| world.messages[1]["text"] = "other".into()).is_clean());
    }

    #[test]
    fn a_session_that_missed_doubled_swapped_or_invented_is_found() {
        assert!(!verdict(|world| drop(world.seen.remove(2))).is_clean());
        assert!(!verdict(|world| world.seen.insert(2, world.events[2].clone())).is_clean());
        assert!(!verdict(|world| world.seen.swap(2, 3)).is_clean());
        assert!(!verdict(|world| world.seen.push(event(POSTED, "x", 20))).is_clean());
        assert!(!verdict(|world| world.seen[2].json.push(' ')).is_clean());
    }
}
