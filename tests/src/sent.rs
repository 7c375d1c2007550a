//! What a client knows of the commands that it sent: each try and its answer.
//!
//! A try ends in one of three ways, as in any record of a distributed system: accepted (it must stand in the log once),
//! refused (it must not), unknown (it may or may not). A command that was tried several times is what its best answer
//! says: a refusal speaks only for its own try, while an unknown one may still come into the log.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Accepted, Answer};

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// A conversation, with the sender as its owner.
    Create {
        /// Only for members.
        private: bool,
    },
    /// A message, whose id is that of the command.
    Post {
        /// What it says.
        text: String,
    },
    /// Another text for a message of the sender.
    Edit {
        /// Which.
        message: String,
        /// The new text.
        text: String,
    },
    /// The end of a message of the sender.
    Redact {
        /// Which.
        message: String,
    },
    /// A reaction, or its end.
    React {
        /// To which message.
        message: String,
        /// With what.
        emoji: String,
        /// `false`: taken back.
        present: bool,
    },
    /// Another member.
    Add {
        /// Who.
        member: String,
    },
    /// A member less.
    Remove {
        /// Who.
        member: String,
    },
}

/// A command, and what its sender was told.
#[derive(Debug, Clone)]
pub struct Sent {
    /// About which conversation.
    pub conversation: String,
    /// By whom.
    pub author: String,
    /// The number of the command among those of this author, from 0. The author sends the next one only when the fate
    /// of this one is known, or given up.
    pub number: u64,
    /// Its id.
    pub id: String,
    /// What it asks for.
    pub act: Act,
    /// The answer to each try.
    pub answers: Vec<Answer>,
}

/// What is known of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stands in the log, once.
    Accepted,
    /// No try came into the log.
    Refused,
    /// It may stand in the log, once, or come into it yet.
    Unknown,
}

impl Act {
    /// The type of the event that comes of it.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Create { .. } => "ConversationCreated",
            Self::Post { .. } => "MessagePosted",
            Self::Edit { .. } => "MessageEdited",
            Self::Redact { .. } => "MessageRedacted",
            Self::React { present: true, .. } => "ReactionAdded",
            Self::React { present: false, .. } => "ReactionRemoved",
            Self::Add { .. } => "MemberJoined",
            Self::Remove { .. } => "MemberRemoved",
        }
    }
}

impl Sent {
    /// A command that has not been tried yet.
    pub fn new(conversation: &str, author: &str, number: u64, id: String, act: Act) -> Self {
        let (conversation, author) = (conversation.to_owned(), author.to_owned());
        Self { conversation, author, number, id, act, answers: Vec::new() }
    }

    /// What is known of it.
    pub fn fate(&self) -> Fate {
        let any = |is: fn(&Answer) -> bool| self.answers.iter().any(is);
        if any(|answer| matches!(answer, Answer::Accepted(_))) {
            Fate::Accepted
        } else if self.answers.is_empty() || any(|answer| matches!(answer, Answer::Unknown(_))) {
            Fate::Unknown
        } else {
            Fate::Refused
        }
    }

    /// Where it stands, as often as that was answered.
    pub fn accepted(&self) -> impl Iterator<Item = &Accepted> {
        self.answers.iter().filter_map(|answer| match answer {
            Answer::Accepted(accepted) => Some(accepted),
            _ => None,
        })
    }

    /// The request over HTTP: method, path and body.
    pub fn request(&self) -> (Method, String, Value) {
        let at = |path: &str| format!("/v1/conversations/{}{path}", self.conversation);
        let (method, path) = match &self.act {
            Act::Create { .. } => (Method::POST, "/v1/conversations".to_owned()),
            Act::Post { .. } => (Method::POST, at("/messages")),
            Act::Edit { message, .. } => (Method::PATCH, at(&format!("/messages/{message}"))),
            Act::Redact { message } => (Method::DELETE, at(&format!("/messages/{message}"))),
            Act::React { message, emoji, present } => {
                let method = if *present { Method::PUT } else { Method::DELETE };
                (method, at(&format!("/messages/{message}/reactions/{emoji}")))
            }
            Act::Add { .. } => (Method::POST, at("/members")),
            Act::Remove { member } => (Method::DELETE, at(&format!("/members/{member}"))),
        };
        let mut body = self.data();
        if let Some(body) = body.as_object_mut() {
            let in_path: &[&str] = match &self.act {
                Act::Create { .. } => &[],
                Act::Remove { .. } => &["conversation", "member"],
                _ => &["conversation", "message_id", "emoji"],
            };
            body.retain(|field, _| !in_path.contains(&field.as_str()));
        }
        (method, path, body)
    }

    /// The request over a session: the method of the `rpc`, and its data.
    pub fn rpc(&self) -> (&'static str, Value) {
        let method = match &self.act {
            Act::Create { .. } => "conversation.create",
            Act::Post { .. } => "message.post",
            Act::Edit { .. } => "message.edit",
            Act::Redact { .. } => "message.redact",
            Act::React { present: true, .. } => "reaction.add",
            Act::React { present: false, .. } => "reaction.remove",
            Act::Add { .. } => "member.add",
            Act::Remove { .. } => "member.remove",
        };
        (method, self.data())
    }

    fn data(&self) -> Value {
        let Self { conversation, id, .. } = self;
        let mut data = match &self.act {
            Act::Create { private } => json!({"visibility": if *private { "private" } else { "open" }}),
            Act::Post { text } => json!({"text": text}),
            Act::Edit { message, text } => json!({"message_id": message, "text": text}),
            Act::Redact { message } => json!({"message_id": message}),
            Act::React { message, emoji, .. } => json!({"message_id": message, "emoji": emoji}),
            Act::Add { member } | Act::Remove { member } => json!({"member": member}),
        };
        let id_field =
            if matches!(self.act, Act::Post { .. }) { "client_message_id" } else { "client_event_id" };
        if let Some(data) = data.as_object_mut() {
            data.insert("conversation".to_owned(), json!(conversation));
            data.insert(id_field.to_owned(), json!(id));
        }
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(answers: Vec<Answer>) -> Sent {
        let act = Act::Post { text: "hi".to_owned() };
        Sent { answers, ..Sent::new("tea", "ann", 0, "a-0".to_owned(), act) }
    }

    #[test]
    fn a_refusal_speaks_only_for_its_own_try() {
        let accepted = Answer::Accepted(Accepted {
            offset: 3,
            epoch: "e".to_owned(),
            event_id: "a-0".to_owned(),
            duplicate: false,
        });
        let (unknown, refused) =
            (Answer::Unknown("x".to_owned()), Answer::Refused(403, "removed".to_owned()));
        assert_eq!(sent(vec![]).fate(), Fate::Unknown);
        assert_eq!(sent(vec![refused.clone()]).fate(), Fate::Refused);
        assert_eq!(sent(vec![unknown.clone(), refused.clone()]).fate(), Fate::Unknown);
        assert_eq!(sent(vec![unknown, refused, accepted]).fate(), Fate::Accepted);
    }

    #[test]
    fn both_ways_in_say_the_same() {
        let act = Act::React { message: "m-1".to_owned(), emoji: "x".to_owned(), present: false };
        let sent = Sent::new("tea", "ann", 0, "a-0".to_owned(), act);
        let (method, path, body) = sent.request();
        assert_eq!(
            (method, path.as_str()),
            (Method::DELETE, "/v1/conversations/tea/messages/m-1/reactions/x")
        );
        assert_eq!(body, json!({"client_event_id": "a-0"}));
        let (method, data) = sent.rpc();
        assert_eq!(method, "reaction.remove");
        let all = json!({"conversation": "tea", "message_id": "m-1", "emoji": "x", "client_event_id": "a-0"});
        assert_eq!(data, all);
    }
}
