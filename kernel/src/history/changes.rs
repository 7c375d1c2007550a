//! From a valid event to what it changes: the projection itself, as a pure function.
//!
//! It knows nothing of offsets or storage. Who stands how after an event is asked of the law
//! ([`ConversationState::standings_after`]) and never decided here.

use std::collections::BTreeSet;

use schemas::{ChatEvent, EventBody, event::ConversationCreated};

use super::Change;
use crate::conversation::{ConversationState, Standing};

/// What `event`, which is valid, changes. `state_before`: the conversation as it was before the event; `None` if
/// it did not exist, in which case only its `ConversationCreated` changes anything.
pub fn changes_of(state_before: Option<&ConversationState>, event: &ChatEvent) -> Vec<Change> {
    let ChatEvent { event_id: _, conversation: _, actor, occurred_at, body } = event;
    let at = *occurred_at;
    match body {
        EventBody::ConversationCreated(created) => created_changes(event, created),
        EventBody::ConversationChanged(changed) => {
            let title = changed.title.clone().map(|title| Change::Retitled { title });
            let archived = changed.archived.map(|archived| Change::Archived { archived });
            title.into_iter().chain(archived).collect()
        }
        EventBody::MemberJoined(_)
        | EventBody::MemberLeft(_)
        | EventBody::MemberRemoved(_)
        | EventBody::RoleChanged(_)
        | EventBody::MemberRenamed(_) => {
            let standings = state_before.map(|state| state.standings_after(actor, body));
            let stands = |(user, standing)| Change::Stands { user, standing };
            standings.into_iter().flatten().map(stands).collect()
        }
        EventBody::MessagePosted(posted) => vec![Change::Posted {
            author: actor.clone(),
            text: posted.text.clone(),
            style: posted.style,
            reply_to: posted.reply_to.clone(),
            at,
        }],
        EventBody::MessageEdited(edited) => {
            vec![Change::Edited { message_id: edited.message_id.clone(), text: edited.text.clone(), at }]
        }
        EventBody::MessageRedacted(redacted) => {
            vec![Change::Redacted { message_id: redacted.message_id.clone(), by: actor.clone(), at }]
        }
        EventBody::ReactionAdded(reaction) => vec![Change::Reacted {
            message_id: reaction.message_id.clone(),
            emoji: reaction.emoji.clone(),
            user: actor.clone(),
            present: true,
        }],
        EventBody::ReactionRemoved(reaction) => vec![Change::Reacted {
            message_id: reaction.message_id.clone(),
            emoji: reaction.emoji.clone(),
            user: actor.clone(),
            present: false,
        }],
        EventBody::ReadMarkerMoved(moved) => {
            vec![Change::Read { user: actor.clone(), up_to: moved.up_to }]
        }
    }
}

/// The conversation, its owner, and each other member once.
fn created_changes(event: &ChatEvent, created: &ConversationCreated) -> Vec<Change> {
    let founding = Change::Created {
        title: created.title.clone(),
        visibility: created.visibility,
        creator: event.actor.clone(),
        at: event.occurred_at,
    };
    let owner = Change::Stands { user: event.actor.clone(), standing: Standing::Owner };
    let others: BTreeSet<_> = created.members.iter().filter(|member| **member != event.actor).collect();
    let members =
        others.into_iter().map(|user| Change::Stands { user: user.clone(), standing: Standing::Member });
    [founding, owner].into_iter().chain(members).collect()
}

#[cfg(test)]
mod tests {
    use schemas::{
        Offset, Timestamp, Visibility,
        event::{
            ConversationChanged, MemberJoined, MemberRenamed, MessagePosted, MessageRedacted,
            ReactionRemoved, Style,
        },
    };

    use super::*;
    use crate::conversation::Fact;

    fn event(actor: &str, body: impl Into<EventBody>) -> ChatEvent {
        ChatEvent {
            event_id: "e".parse().unwrap(),
            conversation: "tea".parse().unwrap(),
            actor: actor.parse().unwrap(),
            occurred_at: Timestamp::from_millis(7),
            body: body.into(),
        }
    }

    fn creation(members: &[&str]) -> ChatEvent {
        let members = members.iter().map(|name| name.parse().unwrap()).collect();
        event("ann", ConversationCreated { title: None, visibility: Visibility::Open, members })
    }

    fn state(members: &[&str]) -> ConversationState {
        let mut state = None;
        let event = creation(members);
        let fact = Fact { event: &event, offset: Offset::new(0), recorded_at: Timestamp::from_millis(7) };
        ConversationState::evolve(&mut state, fact).unwrap();
        state.unwrap()
    }

    fn stands(user: &str, standing: Standing) -> Change {
        Change::Stands { user: user.parse().unwrap(), standing }
    }

    #[test]
    fn a_creation_names_the_owner_and_each_member_once() {
        let changes = changes_of(None, &creation(&["cid", "bob", "ann", "cid"]));
        let founding = Change::Created {
            title: None,
            visibility: Visibility::Open,
            creator: "ann".parse().unwrap(),
            at: Timestamp::from_millis(7),
        };
        let expected = vec![
            founding,
            stands("ann", Standing::Owner),
            stands("bob", Standing::Member),
            stands("cid", Standing::Member),
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn the_standings_of_a_creation_are_those_of_the_fold() {
        let event = creation(&["bob", "ann"]);
        let folded = state(&["bob", "ann"]).standings;
        let projected = changes_of(None, &event).into_iter().filter_map(|change| match change {
            Change::Stands { user, standing } => Some((user, standing)),
            _ => None,
        });
        assert_eq!(projected.collect::<std::collections::BTreeMap<_, _>>(), folded);
    }

    #[test]
    fn a_change_of_title_and_archive_is_two_changes_and_one_of_neither_is_none() {
        let state = state(&[]);
        let title: schemas::Title = "Tea".parse().unwrap();
        let both = event("ann", ConversationChanged { title: Some(title.clone()), archived: Some(true) });
        let expected = vec![Change::Retitled { title }, Change::Archived { archived: true }];
        assert_eq!(changes_of(Some(&state), &both), expected);
        let neither = event("ann", ConversationChanged { title: None, archived: None });
        assert_eq!(changes_of(Some(&state), &neither), vec![]);
    }

    #[test]
    fn memberships_follow_the_state_before_the_event() {
        let state = state(&["bob"]);
        let again = event("bob", MemberJoined { member: "bob".parse().unwrap() });
        assert_eq!(changes_of(Some(&state), &again), vec![], "bob is a member already");
        let renamed = event("ann", MemberRenamed { to: "anna".parse().unwrap() });
        let expected = vec![stands("ann", Standing::Left), stands("anna", Standing::Owner)];
        assert_eq!(changes_of(Some(&state), &renamed), expected);
        assert_eq!(changes_of(None, &renamed), vec![], "nothing exists yet");
    }

    #[test]
    fn messages_and_reactions_carry_who_and_when() {
        let state = state(&[]);
        let at = Timestamp::from_millis(7);
        let (text, emoji): (schemas::MessageText, schemas::Emoji) =
            ("hi".parse().unwrap(), "👍".parse().unwrap());
        let (ann, message_id) = (state.creator.clone(), "m".parse::<schemas::EventId>().unwrap());
        let posted = MessagePosted { text: text.clone(), style: Style::Action, reply_to: None };
        let expected = Change::Posted { author: ann.clone(), text, style: Style::Action, reply_to: None, at };
        assert_eq!(changes_of(Some(&state), &event("ann", posted)), vec![expected]);
        let redacted = MessageRedacted { message_id: message_id.clone() };
        let expected = Change::Redacted { message_id: message_id.clone(), by: ann.clone(), at };
        assert_eq!(changes_of(Some(&state), &event("ann", redacted)), vec![expected]);
        let removed = ReactionRemoved { message_id: message_id.clone(), emoji: emoji.clone() };
        let expected = Change::Reacted { message_id, emoji, user: ann, present: false };
        assert_eq!(changes_of(Some(&state), &event("ann", removed)), vec![expected]);
    }
}
