//! The law, rule by rule, and what must hold whatever happens.

mod people;
mod property;
mod rules;
mod window;

use schemas::{ChatEvent, EventBody, Offset, Timestamp, Visibility};

use super::{ConversationState, Decision, Fact, MessageFacts, Refusal, Standing, Void, decide};
use crate::{
    command::Command,
    history::conformance::{body, event_id, user},
};

/// A conversation `tea` that events are tried on.
#[derive(Debug, Default)]
struct Case {
    state: Option<ConversationState>,
    next: u64,
    now: i64,
}

impl Case {
    /// Founded by `ann`; `moe` is moderator, `bob` and `cid` are members.
    fn new(visibility: Visibility) -> Self {
        let mut case = Self::default();
        case.does("ann", body::created(visibility, &["moe", "bob", "cid"]));
        case.does("ann", body::role("moe", schemas::event::Role::Moderator));
        case
    }

    fn open() -> Self {
        Self::new(Visibility::Open)
    }

    fn private() -> Self {
        Self::new(Visibility::Private)
    }

    fn state(&self) -> &ConversationState {
        self.state.as_ref().expect("the conversation exists")
    }

    fn standing(&self, name: &str) -> Option<Standing> {
        self.state().standing(&user(name))
    }

    /// Folds an event; on a void one the state must be as it was.
    fn fold(&mut self, actor: &str, id: &str, body: EventBody) -> Result<(), Void> {
        let event = ChatEvent {
            event_id: event_id(id),
            conversation: "tea".parse().unwrap(),
            actor: user(actor),
            occurred_at: Timestamp::from_millis(self.now),
            body,
        };
        let recorded_at = Timestamp::from_millis(self.now);
        let fact = Fact { event: &event, offset: Offset::new(self.next), recorded_at };
        self.next += 1;
        let before = self.state.clone();
        let verdict = ConversationState::evolve(&mut self.state, fact);
        if verdict.is_err() {
            assert_eq!(self.state, before, "a void event changes nothing");
        } else {
            let last = (self.state().position, self.state().last_at);
            // To have read is no activity.
            let expected = match (&event.body, before) {
                (EventBody::ReadMarkerMoved(_), Some(before)) => (before.position, before.last_at),
                _ => (fact.offset.position(), event.occurred_at),
            };
            assert_eq!(last, expected);
        }
        verdict
    }

    /// Folds an event with a fresh id.
    fn tries(&mut self, actor: &str, body: EventBody) -> Result<(), Void> {
        let id = format!("e{}", self.next);
        self.fold(actor, &id, body)
    }

    fn does(&mut self, actor: &str, body: EventBody) {
        let said = format!("{actor}: {body:?}");
        assert_eq!(self.tries(actor, body), Ok(()), "{said}");
    }

    fn refuses(&mut self, actor: &str, body: EventBody, refusal: Refusal) {
        let said = format!("{actor}: {body:?}");
        assert_eq!(self.tries(actor, body), Err(Void::Against(refusal)), "{said}");
    }

    /// What `decide` says to a command, which is about a message of which `target` is known.
    fn decides(
        &self,
        actor: &str,
        command: Command,
        target: Option<&MessageFacts>,
    ) -> Result<Decision, Refusal> {
        let now = Timestamp::from_millis(self.now);
        let (conversation, id) = ("tea".parse().unwrap(), event_id("fresh"));
        decide(self.state.as_ref(), &conversation, &id, &user(actor), now, command, target)
    }
}
