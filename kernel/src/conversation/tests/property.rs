//! What holds after any sequence of events.

use proptest::prelude::*;
use schemas::{ConversationId, event::Role};

use super::*;
use crate::history::conformance::{Scribe, random::scene};

const PEOPLE: [&str; 5] = ["ann", "bob", "cid", "dan", "zoe"];

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

/// The command that four numbers stand for, about one of so many events.
fn command_of([kind, what, how, _]: [u8; 4], events: usize) -> Command {
    let member = user(PEOPLE[usize::from(what) % PEOPLE.len()]);
    let message_id = event_id(&format!("e{}", usize::from(what) % (events + 1)));
    let (text, emoji) = ("hi".parse().unwrap(), "yes".parse().unwrap());
    match kind % 13 {
        0 => Command::CreateConversation { title: None, visibility: Visibility::Open, members: vec![member] },
        1 => Command::ChangeConversation {
            title: (how % 2 == 0).then(|| "Tea".parse().unwrap()),
            archived: (how % 3 == 0).then_some(how % 4 == 0),
        },
        2 => Command::Join,
        3 => Command::Leave { parting_words: schemas::PartingWords::default() },
        4 => Command::AddMember { member },
        5 => Command::RemoveMember { member },
        6 => {
            let role = [Role::Member, Role::Moderator, Role::Owner][usize::from(how % 3)];
            Command::SetRole { member, role }
        }
        7 => Command::PostMessage { text, style: schemas::event::Style::Plain, reply_to: None },
        8 => Command::EditMessage { message_id, text },
        9 => Command::RedactMessage { message_id },
        10 => Command::AddReaction { message_id, emoji },
        11 => Command::RemoveReaction { message_id, emoji },
        _ => Command::MoveReadMarker { up_to: schemas::Position::new(how.into()) },
    }
}

/// All that is known of a message, however long ago it was posted.
fn facts_of(scribe: &Scribe, message_id: &schemas::EventId) -> Option<MessageFacts> {
    let valid = || scribe.projected.iter().map(|projected| &projected.event).filter(|event| !event.void);
    let in_tea = || valid().filter(|event| event.event.conversation == tea()).map(|event| &event.event);
    let posted = in_tea()
        .find(|event| event.event_id == *message_id && matches!(event.body, EventBody::MessagePosted(_)));
    let redacted = in_tea().any(|event| {
        matches!(&event.body, EventBody::MessageRedacted(redacted) if redacted.message_id == *message_id)
    });
    posted.map(|event| MessageFacts { author: Some(event.actor.clone()), redacted })
}

fn owners_and_members(state: &ConversationState) -> (usize, usize) {
    let owners = state.members().filter(|(_, role)| *role == Role::Owner).count();
    (owners, state.members().count())
}

proptest! {
    #[test]
    fn what_is_decided_on_a_state_counts_on_that_state(
        acts in proptest::collection::vec(any::<[u8; 4]>(), 0..60),
        asks in proptest::collection::vec(any::<[u8; 4]>(), 1..40),
    ) {
        let scribe = scene(&acts);
        let state = scribe.state(&tea());
        for ask in asks {
            let command = command_of(ask, acts.len());
            let actor = user(PEOPLE[usize::from(ask[3]) % PEOPLE.len()]);
            let facts = command.message_id().and_then(|id| facts_of(&scribe, id));
            if command.message_id().is_some() && facts.is_none() {
                continue; // Ingest asks no further about a message that does not exist.
            }
            let decision =
                decide(state, &tea(), &event_id("fresh"), &actor, scribe.now, command, facts.as_ref());
            if let Ok(Decision::Append(event)) = decision {
                let fact = Fact { event: &event, offset: scribe.next, recorded_at: scribe.now };
                let mut after = state.cloned();
                prop_assert_eq!(ConversationState::evolve(&mut after, fact), Ok(()));
                prop_assert_eq!(after.unwrap().repeats.up_to(), fact.offset.position());
            }
        }
    }

    #[test]
    fn a_void_event_changes_nothing_and_a_valid_one_leaves_an_owner(
        acts in proptest::collection::vec(any::<[u8; 4]>(), 0..120),
    ) {
        let scribe = scene(&acts);
        let mut state: Option<ConversationState> = None;
        for projected in &scribe.projected {
            let stored = &projected.event;
            if stored.event.conversation != tea() {
                continue;
            }
            let fact = Fact { event: &stored.event, offset: stored.offset, recorded_at: stored.recorded_at };
            let before = state.clone();
            let verdict = ConversationState::evolve(&mut state, fact);
            prop_assert_eq!(verdict.is_err(), stored.void);
            if verdict.is_err() {
                prop_assert_eq!(&state, &before);
            } else if let (Some(before), Some(after)) = (&before, &state) {
                let ((owners, _), (owners_left, members_left)) =
                    (owners_and_members(before), owners_and_members(after));
                prop_assert!(owners == 0 || owners_left > 0 || members_left == 0, "{:?}", stored.event);
            }
        }
    }
}
