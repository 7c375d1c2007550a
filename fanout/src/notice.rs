//! Notices: what sessions are told of other sessions. They may be left out for who is slow, and stand nowhere.

use bytes::{Bytes, BytesMut};
use schemas::{ConversationId, UserId, signal::Session};
use serde::Serialize;

use crate::protocol::{ClientInfo, Form, Push};

/// Most sessions that one notice is about, so that the thread of a shard has other things to do in between.
const SESSIONS_LEN_MAX: usize = 100;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) conversation: ConversationId,
    pub(crate) what: What,
    /// Of whom.
    pub(crate) sessions: Vec<Session>,
}

/// What they did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Came,
    Went,
    /// They begin to type or type on; or stop.
    Typing(bool),
}

/// The data of the publication that tells of typing, in the manner of events.
#[derive(Serialize)]
struct TypingData<'a> {
    r#type: &'static str,
    actor: &'a UserId,
    typing: bool,
}

impl Notice {
    pub(crate) fn one(conversation: &ConversationId, what: What, session: Session) -> Self {
        Self { conversation: conversation.clone(), what, sessions: vec![session] }
    }

    /// The same in pieces that are not too long; none if it is about nobody.
    pub(crate) fn pieces(self) -> impl Iterator<Item = Self> {
        let Self { conversation, what, mut sessions } = self;
        std::iter::from_fn(move || {
            let rest = sessions.split_off(sessions.len().min(SESSIONS_LEN_MAX));
            let sessions = std::mem::replace(&mut sessions, rest);
            (!sessions.is_empty()).then(|| Self { conversation: conversation.clone(), what, sessions })
        })
    }

    /// Whether it is about this session, which then need not be told.
    pub(crate) fn is_about(&self, client: &str) -> bool {
        self.sessions.iter().any(|session| session.client.as_str() == client)
    }

    /// The frames that tell it; nothing in a form that has no words for it.
    pub(crate) fn frames(&self, form: Form) -> Bytes {
        let frame = |session: &Session| form.push(self.push(session));
        match self.sessions.as_slice() {
            [one] => frame(one),
            many => {
                let mut frames = BytesMut::new();
                for session in many {
                    frames.extend_from_slice(&frame(session));
                }
                frames.freeze()
            }
        }
    }

    fn push(&self, session: &Session) -> Push {
        let channel = self.conversation.as_str();
        match self.what {
            What::Came => Push::presence(channel, true, session.into()),
            What::Went => Push::presence(channel, false, session.into()),
            What::Typing(typing) => {
                let data = TypingData { r#type: "Typing", actor: &session.user, typing };
                // Plain texts: nothing that JSON cannot write.
                Push::unplaced(channel, serde_json::to_vec(&data).unwrap_or_default().into())
            }
        }
    }
}

impl From<&Session> for ClientInfo {
    fn from(session: &Session) -> Self {
        Self { user: session.user.as_str().to_owned(), client: session.client.as_str().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(len: usize) -> Notice {
        let session = |n| Session { user: "ann".parse().unwrap(), client: format!("s-{n}").parse().unwrap() };
        let sessions = (0..len).map(session).collect();
        Notice { conversation: "tea".parse().unwrap(), what: What::Came, sessions }
    }

    #[test]
    fn pieces_are_bounded_and_leave_nobody_out() {
        for len in [0, 1, SESSIONS_LEN_MAX, SESSIONS_LEN_MAX + 1, 5 * SESSIONS_LEN_MAX] {
            let pieces: Vec<_> = notice(len).pieces().collect();
            assert_eq!(pieces.len(), len.div_ceil(SESSIONS_LEN_MAX));
            assert!(pieces.iter().all(|piece| (1..=SESSIONS_LEN_MAX).contains(&piece.sessions.len())));
            let all: Vec<_> = pieces.into_iter().flat_map(|piece| piece.sessions).collect();
            assert_eq!(all, notice(len).sessions);
        }
    }

    #[test]
    fn typing_is_a_publication_without_an_offset() {
        let notice = Notice { what: What::Typing(true), ..notice(1) };
        let expected =
            r#"{"push":{"channel":"tea","pub":{"data":{"type":"Typing","actor":"ann","typing":true}}}}"#;
        assert_eq!(&notice.frames(Form::Json)[2..], expected.as_bytes());
        assert!(!notice.frames(Form::Protobuf).is_empty());
        assert!(notice.frames(Form::EventStream).is_empty(), "who only reads is told of events alone");
    }

    #[test]
    fn several_are_told_in_one_go() {
        let frames = notice(2).frames(Form::Json);
        let text = String::from_utf8_lossy(&frames);
        assert_eq!(text.matches("\"join\"").count(), 2);
        assert!(text.contains("s-0") && text.contains("s-1"));
    }
}
