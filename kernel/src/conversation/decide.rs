//! From a command to an event, or the reason why not.

use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Position, Timestamp, UserId,
    event::{
        ConversationChanged, ConversationCreated, MemberJoined, MemberLeft, MemberRemoved, MessageEdited,
        MessagePosted, MessageRedacted, ReactionAdded, ReactionRemoved, ReadMarkerMoved, RoleChanged,
    },
};

use super::{ConversationState, MessageFacts, Refusal, Standing, law};
use crate::command::Command;

/// What becomes of a command that is not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// This is to be appended.
    Append(ChatEvent),
    /// It is so already; the position is one at which it was.
    Already(Position),
}

/// Decides a command of `actor` against `state`, which may be a moment old.
///
/// Whether the id was used before is asked first, by the caller, who can look further back than the state.
/// `target`: what is known of the message that the command is about.
///
/// # Errors
/// The refusal; see [`Refusal::could_be_stale`].
pub fn decide(
    state: Option<&ConversationState>,
    conversation: &ConversationId,
    event_id: &EventId,
    actor: &UserId,
    now: Timestamp,
    command: Command,
    target: Option<&MessageFacts>,
) -> Result<Decision, Refusal> {
    if let Some(state) = state
        && is_so_already(state, actor, &command)
    {
        return Ok(Decision::Already(state.position));
    }
    let body = event_of(actor, command);
    law::check(state, actor, &body, target)?;
    Ok(Decision::Append(ChatEvent {
        event_id: event_id.clone(),
        conversation: conversation.clone(),
        actor: actor.clone(),
        occurred_at: now,
        body,
    }))
}

/// Commands that ask for what is the case are answered without an event.
fn is_so_already(state: &ConversationState, actor: &UserId, command: &Command) -> bool {
    match command {
        Command::Join => state.role(actor).is_some(),
        Command::Leave { .. } => state.standing(actor) == Some(Standing::Left),
        Command::AddMember { member } => state.role(member).is_some() && state.may_read(actor),
        Command::SetRole { member, role } => state.role(member) == Some(*role) && state.may_read(actor),
        _ => false,
    }
}

fn event_of(actor: &UserId, command: Command) -> EventBody {
    match command {
        Command::CreateConversation { title, visibility, members } => {
            ConversationCreated { title, visibility, members }.into()
        }
        Command::ChangeConversation { title, archived } => ConversationChanged { title, archived }.into(),
        Command::Join => MemberJoined { member: actor.clone() }.into(),
        Command::Leave { parting_words } => MemberLeft { parting_words }.into(),
        Command::AddMember { member } => MemberJoined { member }.into(),
        Command::RemoveMember { member } => MemberRemoved { member }.into(),
        Command::SetRole { member, role } => RoleChanged { member, role }.into(),
        Command::PostMessage { text, style, reply_to } => MessagePosted { text, style, reply_to }.into(),
        Command::EditMessage { message_id, text } => MessageEdited { message_id, text }.into(),
        Command::RedactMessage { message_id } => MessageRedacted { message_id }.into(),
        Command::AddReaction { message_id, emoji } => ReactionAdded { message_id, emoji }.into(),
        Command::RemoveReaction { message_id, emoji } => ReactionRemoved { message_id, emoji }.into(),
        Command::MoveReadMarker { up_to } => ReadMarkerMoved { up_to }.into(),
    }
}
