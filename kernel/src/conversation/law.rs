//! The rules themselves, each asked in one place, by [`decide`](super::decide()) before and by the fold after.

use schemas::{EventBody, UserId, Visibility, caps, event::Role};

use super::{ConversationState, Standing};

/// Why something may not be done. [`Refusal::code`] is stable; programs rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// Nothing is known under this name.
    #[error("there is no such conversation; create it first")]
    UnknownConversation,
    /// The name is taken.
    #[error("a conversation with this id exists already")]
    ConversationExists,
    /// A private conversation, and the person is no member.
    #[error("you are not a member of this private conversation; ask a moderator to add you")]
    NotAMember,
    /// The person was removed.
    #[error("you were removed from this conversation; ask a moderator to add you again")]
    Removed,
    /// The role is too low.
    #[error("your role in this conversation does not allow it")]
    RoleTooLow,
    /// The person that the command is about is no member.
    #[error("that person is not a member of this conversation")]
    NoSuchMember,
    /// Others would be left without an owner.
    #[error("you are the last owner; make somebody else owner first")]
    LastOwner,
    /// The conversation is closed.
    #[error("the conversation is archived; an owner can open it again")]
    Archived,
    /// No message with this id.
    #[error("there is no such message in this conversation")]
    UnknownMessage,
    /// It is somebody else's.
    #[error("only its author may edit a message")]
    NotTheAuthor,
    /// It was withdrawn.
    #[error("the message was redacted")]
    Redacted,
    /// The id was used by somebody else, or for something else.
    #[error("this id is taken by another event of the conversation; choose a fresh one")]
    IdTaken,
    /// Too many people.
    #[error("the conversation has as many people as it may have ({})", caps::STANDINGS_MAX)]
    Full,
    /// A change that changes nothing was asked for.
    #[error("name a title or whether it is archived; nothing else can be changed")]
    NothingToChange,
}

impl Refusal {
    /// The stable name of the refusal.
    pub const fn code(self) -> &'static str {
        match self {
            Self::UnknownConversation => "unknown_conversation",
            Self::ConversationExists => "conversation_exists",
            Self::NotAMember => "not_a_member",
            Self::Removed => "removed",
            Self::RoleTooLow => "role_too_low",
            Self::NoSuchMember => "no_such_member",
            Self::LastOwner => "last_owner",
            Self::Archived => "archived",
            Self::UnknownMessage => "unknown_message",
            Self::NotTheAuthor => "not_the_author",
            Self::Redacted => "redacted",
            Self::IdTaken => "id_taken",
            Self::Full => "full",
            Self::NothingToChange => "nothing_to_change",
        }
    }

    /// Whether a newer state could lead to another answer. Authorship and requests that ask for nothing do
    /// not change with time.
    pub const fn could_be_stale(self) -> bool {
        !matches!(self, Self::NotTheAuthor | Self::NothingToChange)
    }
}

/// What the rules must know of the message that an edit, a redaction or a reaction is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageFacts {
    /// Who wrote it; `None`: it is too long ago for the fold to know. Ingest looked it up before.
    pub author: Option<UserId>,
    /// Whether it was withdrawn.
    pub redacted: bool,
}

type Verdict = Result<(), Refusal>;

fn ensure(holds: bool, otherwise: Refusal) -> Verdict {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Whether `actor` may do `body` in `state`. `target`: the message concerned, as far as it is known; what
/// is not known does not speak against the act.
pub(super) fn check(
    state: Option<&ConversationState>,
    actor: &UserId,
    body: &EventBody,
    target: Option<&MessageFacts>,
) -> Verdict {
    let Some(state) = state else {
        return ensure(matches!(body, EventBody::ConversationCreated(_)), Refusal::UnknownConversation);
    };
    let asking = Asking { state, actor };
    match body {
        EventBody::ConversationCreated(_) => Err(Refusal::ConversationExists),
        EventBody::ConversationChanged(change) => {
            ensure(change.title.is_some() || change.archived.is_some(), Refusal::NothingToChange)?;
            asking.role(if change.archived.is_some() { Role::Owner } else { Role::Moderator })
        }
        EventBody::MemberJoined(joined) => asking.join(&joined.member),
        EventBody::MemberLeft(_) => {
            // Parting words are words: who may not be here may not leave any.
            asking.reading()?;
            let others = state.members().any(|(member, _)| member != actor);
            asking.owner_remains_without(actor, others)
        }
        EventBody::MemberRemoved(removed) => asking.remove(&removed.member),
        EventBody::RoleChanged(changed) => {
            asking.writing()?;
            asking.role(Role::Owner)?;
            ensure(state.role(&changed.member).is_some(), Refusal::NoSuchMember)?;
            asking.owner_remains_without(&changed.member, changed.role != Role::Owner)
        }
        EventBody::MemberRenamed(renamed) => {
            asking.writing()?;
            // Another name is no way back for somebody who was removed.
            ensure(state.standing(&renamed.to) != Some(Standing::Removed), Refusal::Removed)?;
            ensure(state.has_room_for(&renamed.to), Refusal::Full)
        }
        EventBody::MessagePosted(_) => asking.writing(),
        EventBody::MessageEdited(_) => {
            asking.writing()?;
            let by_author = |facts: &MessageFacts| facts.author.as_ref().is_none_or(|author| author == actor);
            ensure(target.is_none_or(by_author), Refusal::NotTheAuthor)?;
            not_redacted(target)
        }
        EventBody::MessageRedacted(_) => {
            asking.writing()?;
            let own = |facts: &MessageFacts| facts.author.as_ref().is_none_or(|author| author == actor);
            if !target.is_none_or(own) {
                asking.role(Role::Moderator)?;
            }
            not_redacted(target)
        }
        EventBody::ReactionAdded(_) | EventBody::ReactionRemoved(_) => {
            asking.writing()?;
            not_redacted(target)
        }
        EventBody::ReadMarkerMoved(_) => asking.reading(),
    }
}

/// Whether `actor` may write.
pub(super) fn may_write(state: &ConversationState, actor: &UserId) -> Verdict {
    Asking { state, actor }.writing()
}

/// Somebody who asks whether something is allowed.
struct Asking<'a> {
    state: &'a ConversationState,
    actor: &'a UserId,
}

impl Asking<'_> {
    fn reading(&self) -> Verdict {
        let removed = self.state.standing(self.actor) == Some(Standing::Removed);
        ensure(!removed, Refusal::Removed)?;
        ensure(self.state.may_read(self.actor), Refusal::NotAMember)
    }

    fn writing(&self) -> Verdict {
        self.reading()?;
        ensure(!self.state.archived, Refusal::Archived)
    }

    fn role(&self, least: Role) -> Verdict {
        self.reading()?;
        ensure(self.state.role(self.actor).is_some_and(|role| role >= least), Refusal::RoleTooLow)
    }

    fn join(&self, member: &UserId) -> Verdict {
        let by_own_will = member == self.actor && self.state.visibility == Visibility::Open;
        if by_own_will {
            self.writing()?;
        } else {
            self.role(Role::Moderator)?;
            ensure(!self.state.archived, Refusal::Archived)?;
        }
        ensure(self.state.has_room_for(member), Refusal::Full)
    }

    /// Moderators remove members, owners remove everybody but themselves. In an open conversation one who never
    /// joined can be removed too, since everybody may write there.
    fn remove(&self, member: &UserId) -> Verdict {
        self.role(Role::Moderator)?;
        let standing = self.state.standing(member);
        let present = match self.state.visibility {
            Visibility::Open => standing != Some(Standing::Removed),
            Visibility::Private => self.state.role(member).is_some(),
        };
        ensure(present, Refusal::NoSuchMember)?;
        let (mine, theirs) = (self.state.role(self.actor), self.state.role(member));
        ensure(member != self.actor, Refusal::RoleTooLow)?;
        ensure(mine == Some(Role::Owner) || mine > theirs, Refusal::RoleTooLow)?;
        ensure(self.state.has_room_for(member), Refusal::Full)
    }

    /// Holds unless `user` is the only owner and stops being one (`ceases`).
    fn owner_remains_without(&self, user: &UserId, ceases: bool) -> Verdict {
        let last = self.state.role(user) == Some(Role::Owner) && self.state.owners() == 1;
        ensure(!(last && ceases), Refusal::LastOwner)
    }
}

/// A message that was withdrawn stays as it is.
fn not_redacted(target: Option<&MessageFacts>) -> Verdict {
    ensure(!target.is_some_and(|facts| facts.redacted), Refusal::Redacted)
}
