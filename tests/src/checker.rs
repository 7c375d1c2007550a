//! The judge. It takes what the senders were told, and what is said of one conversation in every way there is (events and
//! messages over HTTP, members, sessions, the topic itself), and names everything that does not fit.
//!
//! It knows nothing of how the trouble was made, and asks no code of the server: what a message must look like, it works
//! out from the events by itself.
//!
//! | what must hold | part |
//! |---|---|
//! | accepted: stands once, where it was said to stand; unknown: at most once; refused: never | `log` |
//! | positions rise; what one author sent stands in the order in which it was sent | `log` |
//! | messages and members are what follows from the events | `history` |
//! | each session was sent every event once, in order, byte for byte | `session` |
//! | the topic has the same events, at the same places, in one partition | `topic` |

use std::fmt;

use serde_json::Value;

use crate::{api::EventLine, sent::Sent, topic::TopicRecord};

mod history;
mod log;
mod session;
#[cfg(test)]
mod tests;
mod topic;

/// All that was seen of one conversation when everything had come to rest.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// Its name.
    pub conversation: &'a str,
    /// The commands of all senders, in the order of each; those of other conversations are passed over.
    pub sent: &'a [Sent],
    /// The events, as HTTP gives them.
    pub events: &'a [EventLine],
    /// The messages, as HTTP gives them.
    pub messages: &'a [Value],
    /// Who is a member, as HTTP says it, in any order.
    pub members: &'a [String],
    /// What each session was sent that was subscribed from the beginning, by the name of the session.
    pub sessions: &'a [(String, Vec<EventLine>)],
    /// The records of the topic, all partitions one after the other, each in its order; `None`: there is no topic.
    pub topic: Option<&'a [TopicRecord]>,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Verdict {
    lost: Vec<String>,
    doubled: Vec<String>,
    disorder: Vec<String>,
    other: Vec<String>,
    void: usize,
}

impl Verdict {
    /// Judges one conversation and adds what it finds.
    pub fn judge(&mut self, evidence: &Evidence<'_>) {
        let Evidence { conversation, sent, events, messages, members, sessions, topic } = *evidence;
        let sent: Vec<_> = sent.iter().filter(|sent| sent.conversation == conversation).collect();
        self.fates(&sent, events);
        self.order(&sent, events);
        self.messages(events, messages);
        self.members(events, members);
        for (name, seen) in sessions {
            self.session(name, events, seen);
        }
        if let Some(topic) = topic {
            self.topic(conversation, &sent, events, topic);
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.findings().is_empty()
    }

    /// Everything that was found, in words.
    pub fn findings(&self) -> Vec<String> {
        [&self.lost, &self.doubled, &self.disorder, &self.other].into_iter().flatten().cloned().collect()
    }

    /// Records of the topic that count for nobody.
    pub fn void(&self) -> usize {
        self.void
    }

    /// Adds what somebody else has found.
    pub fn add(&mut self, finding: String) {
        self.other.push(finding);
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

/// An event of HTTP, read.
fn read(event: &EventLine) -> Value {
    serde_json::from_str(&event.json).unwrap_or_default()
}

/// A text of an object, or of an object in it; empty if there is none.
fn word<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn not_rising(place: &str, events: &[EventLine]) -> Vec<String> {
    let pairs = events.iter().zip(events.iter().skip(1));
    let falls = pairs.filter(|(before, after)| before.offset >= after.offset);
    falls.map(|(before, after)| format!("{place}: {} comes after {}", after.offset, before.offset)).collect()
}
