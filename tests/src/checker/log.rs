//! What the senders were told, against the events.

use std::collections::{HashMap, HashSet};

use super::{Verdict, not_rising, read, word};
use crate::{
    api::{Accepted, EventLine},
    sent::{Act, Fate, Sent},
};

impl Verdict {
    /// Every accepted command stands once, where it was said to stand; what was refused does not stand; what is unknown
    /// stands at most once; and nothing stands there that nobody sent.
    pub(super) fn fates(&mut self, sent: &[&Sent], events: &[EventLine]) {
        let mut found: HashMap<&str, Vec<u64>> = HashMap::new();
        for event in events {
            found.entry(&event.event_id).or_default().push(event.offset);
        }
        for sent in sent {
            let places = found.get(sent.id.as_str()).map_or(&[][..], Vec::as_slice);
            self.fate(sent, places, events);
        }
        self.strangers(sent, events);
    }

    fn fate(&mut self, sent: &Sent, places: &[u64], events: &[EventLine]) {
        let id = &sent.id;
        if let [_, _, ..] = places {
            self.doubled.push(format!("{id} stands at {places:?}"));
            return;
        }
        if let (Fate::Refused, [at]) = (sent.fate(), places) {
            self.other.push(format!("{id} was refused and stands at {at}: {:?}", sent.answers));
        }
        for accepted in sent.accepted() {
            let Accepted { offset, .. } = accepted;
            match places {
                [at] if at == offset => {}
                [at] => self.other.push(format!("{id} was accepted at {offset} and stands at {at}")),
                _ if was_so_already(sent, accepted, events) => {}
                _ => self.lost.push(format!("{id} was accepted at {offset} and is not in the log")),
            }
        }
    }

    fn strangers(&mut self, sent: &[&Sent], events: &[EventLine]) {
        let by_id: HashMap<_, _> = sent.iter().map(|sent| (sent.id.as_str(), *sent)).collect();
        for event in events {
            let Some(sent) = by_id.get(event.event_id.as_str()) else {
                self.other.push(format!("{} was sent by nobody", event.event_id));
                continue;
            };
            if event.kind != sent.act.event_type() || !says(event, sent) {
                self.other.push(format!("{} is not what was sent: {}", event.event_id, event.json));
            }
        }
    }

    /// Positions rise, and what each author did stands in the order in which it was sent. An unknown command may come
    /// into the log later than the ones that its author sent after giving it up.
    pub(super) fn order(&mut self, sent: &[&Sent], events: &[EventLine]) {
        self.disorder.extend(not_rising("in the log", events));
        let known = sent.iter().filter(|sent| sent.fate() == Fate::Accepted);
        let numbers: HashMap<_, _> = known.map(|sent| (sent.id.as_str(), *sent)).collect();
        let mut last: HashMap<&str, u64> = HashMap::new();
        for sent in events.iter().filter_map(|event| numbers.get(event.event_id.as_str())) {
            let Sent { author, number, .. } = sent;
            let before = last.insert(author, *number);
            // The same number twice is a double, and said as such.
            if let Some(before) = before.filter(|before| before > number) {
                self.disorder.push(format!("{author}: {number} stands after {before}"));
            }
        }
        let epochs: HashSet<_> = known_epochs(sent).collect();
        if epochs.len() > 1 {
            self.other.push(format!("the answers name different logs: {epochs:?}"));
        }
    }
}

fn known_epochs<'a>(sent: &'a [&Sent]) -> impl Iterator<Item = &'a str> {
    sent.iter().flat_map(|sent| sent.accepted()).map(|accepted| accepted.epoch.as_str())
}

/// Whether an answer without an event is right: who is to be added and is a member already makes no event.
fn was_so_already(sent: &Sent, accepted: &Accepted, events: &[EventLine]) -> bool {
    let Act::Add { member } = &sent.act else { return false };
    let until = events.iter().take_while(|event| event.offset <= accepted.offset);
    let last = until.filter(|event| word(&read(event), "/body/member") == member).last();
    accepted.duplicate && last.is_some_and(|event| event.kind == "MemberJoined")
}

/// Whether the event says what was sent, byte for byte.
fn says(event: &EventLine, sent: &Sent) -> bool {
    let event = read(event);
    let is = |path: &str, text: &str| word(&event, path) == text;
    let body = match &sent.act {
        Act::Create { private } => is("/body/visibility", if *private { "private" } else { "open" }),
        Act::Post { text } => is("/body/text", text),
        Act::Edit { message, text } => is("/body/message_id", message) && is("/body/text", text),
        Act::Redact { message } => is("/body/message_id", message),
        Act::React { message, emoji, .. } => is("/body/message_id", message) && is("/body/emoji", emoji),
        Act::Add { member } | Act::Remove { member } => is("/body/member", member),
    };
    body && is("/actor", &sent.author) && is("/conversation", &sent.conversation)
}
