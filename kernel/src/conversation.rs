//! The law: what may happen in a conversation.
//!
//! One pure fold, [`ConversationState::evolve`], says for every event at its offset whether it counts, and what
//! follows from it. Everybody who consumes the topic runs the same fold over the same order and so comes to
//! the same answer, without talking to anybody: an event that breaks a rule *at its offset* is void for all.
//! Ingest asks the same law beforehand ([`decide`]), against a copy that may be a moment old.
//!
//! ```text
//!   command --decide(state)--> event --append--> record --evolve(state)--> counts, or is void
//! ```

use std::collections::BTreeMap;

use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Offset, Position, Timestamp, Title, UserId, Visibility,
    caps,
    event::{self, Role},
};
use serde::{Deserialize, Serialize};

mod decide;
mod law;
mod repeats;
#[cfg(test)]
mod tests;

pub use decide::{Decision, decide};
pub use law::{MessageFacts, Refusal};
pub use repeats::{Repeats, Seen};

/// How somebody stands towards a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Was removed, and may come back only by being added.
    Removed,
    /// Left by own will.
    Left,
    /// Member with the least rights.
    Member,
    /// Member who keeps order.
    Moderator,
    /// Member who owns it.
    Owner,
}

impl Standing {
    /// The role of a member; `None` for those who are none.
    pub fn role(self) -> Option<Role> {
        match self {
            Self::Removed | Self::Left => None,
            Self::Member => Some(Role::Member),
            Self::Moderator => Some(Role::Moderator),
            Self::Owner => Some(Role::Owner),
        }
    }
}

impl From<Role> for Standing {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Moderator => Self::Moderator,
            Role::Owner => Self::Owner,
        }
    }
}

/// What the fold knows of one conversation. It exists from its `ConversationCreated` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationState {
    /// Which conversation.
    pub conversation: ConversationId,
    /// What it is called; `None`: by its id.
    pub title: Option<Title>,
    /// Who may read and write it.
    pub visibility: Visibility,
    /// Closed for writing.
    pub archived: bool,
    /// Who made it.
    pub creator: UserId,
    /// When.
    pub created_at: Timestamp,
    /// Everybody who ever was a member or was removed. At most [`caps::STANDINGS_MAX`].
    pub standings: BTreeMap<UserId, Standing>,
    /// The ids of late, so that a repeated one is recognised.
    pub repeats: Repeats,
    /// The position after its last valid event other than a read marker: to have read is no activity.
    pub position: Position,
    /// When that event occurred.
    pub last_at: Timestamp,
}

/// An event at its place, as the fold takes it.
#[derive(Debug, Clone, Copy)]
pub struct Fact<'a> {
    /// What happened.
    pub event: &'a ChatEvent,
    /// Where it stands.
    pub offset: Offset,
    /// When the log took it.
    pub recorded_at: Timestamp,
}

/// Why an event does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    /// An event with this id came before.
    #[error("an event with the id {0} came before")]
    Repeated(EventId),
    /// It breaks a rule.
    #[error(transparent)]
    Against(#[from] Refusal),
}

impl ConversationState {
    /// The same without its repeats, which are as many as there were events of late: for a fold on trial that looks ids up elsewhere.
    #[must_use]
    pub fn without_repeats(&self) -> Self {
        Self {
            conversation: self.conversation.clone(),
            title: self.title.clone(),
            visibility: self.visibility,
            archived: self.archived,
            creator: self.creator.clone(),
            created_at: self.created_at,
            standings: self.standings.clone(),
            repeats: Repeats::default(),
            position: self.position,
            last_at: self.last_at,
        }
    }

    /// How `user` stands towards the conversation; `None`: not at all.
    pub fn standing(&self, user: &UserId) -> Option<Standing> {
        self.standings.get(user).copied()
    }

    /// The role of `user`; `None`: no member.
    pub fn role(&self, user: &UserId) -> Option<Role> {
        self.standing(user).and_then(Standing::role)
    }

    /// Members and their roles, by name.
    pub fn members(&self) -> impl Iterator<Item = (&UserId, Role)> {
        self.standings.iter().filter_map(|(user, standing)| Some((user, standing.role()?)))
    }

    /// Whether `user` may read: in an open conversation everybody who was not removed, in a private one members.
    pub fn may_read(&self, user: &UserId) -> bool {
        match self.visibility {
            Visibility::Open => self.may_be_granted(user),
            Visibility::Private => self.role(user).is_some(),
        }
    }

    /// Whether `user` may write.
    ///
    /// # Errors
    /// Why not.
    pub fn may_write(&self, user: &UserId) -> Result<(), Refusal> {
        law::may_write(self, user)
    }

    /// Whether `user` may read on the word of somebody outside: everybody who was not removed, which no word undoes.
    pub fn may_be_granted(&self, user: &UserId) -> bool {
        self.standing(user) != Some(Standing::Removed)
    }

    /// Folds one event. On `Err` the event is void and the state is as it was.
    ///
    /// # Errors
    /// Why the event does not count.
    pub fn evolve(state: &mut Option<Self>, fact: Fact<'_>) -> Result<(), Void> {
        let ChatEvent { event_id, actor, .. } = fact.event;
        if let Some(known) = state
            && known.repeats.find(event_id).is_some()
        {
            return Err(Void::Repeated(event_id.clone()));
        }
        let target = match (&*state, fact.event.body.message_id()) {
            (Some(known), Some(message)) => known.repeats.message(message).cloned(),
            _ => None,
        };
        law::check(state.as_ref(), actor, &fact.event.body, target.as_ref())?;
        if let EventBody::ConversationCreated(created) = &fact.event.body {
            *state = Some(Self::created(fact, created));
        }
        if let Some(state) = state {
            state.apply(fact);
        }
        Ok(())
    }

    fn created(fact: Fact<'_>, created: &event::ConversationCreated) -> Self {
        let ChatEvent { conversation, actor, occurred_at, .. } = fact.event;
        let members = created.members.iter().map(|member| (member.clone(), Standing::Member));
        let mut standings: BTreeMap<_, _> = members.collect();
        standings.insert(actor.clone(), Standing::Owner);
        Self {
            conversation: conversation.clone(),
            title: created.title.clone(),
            visibility: created.visibility,
            archived: false,
            creator: actor.clone(),
            created_at: *occurred_at,
            standings,
            repeats: Repeats::default(),
            position: Position::START,
            last_at: *occurred_at,
        }
    }

    /// What follows from an event that counts.
    fn apply(&mut self, fact: Fact<'_>) {
        let ChatEvent { actor, body, .. } = fact.event;
        for (user, standing) in self.standings_after(actor, body) {
            self.standings.insert(user, standing);
        }
        if let EventBody::ConversationChanged(changed) = body {
            if let Some(title) = &changed.title {
                self.title = Some(title.clone());
            }
            self.archived = changed.archived.unwrap_or(self.archived);
        }
        self.repeats.note(fact);
        if is_activity(body) {
            self.position = fact.offset.position();
            self.last_at = fact.event.occurred_at;
        }
    }

    /// Who stands differently once `body`, an act of `actor` that counts, has happened. The one place that knows;
    /// the fold and the projection both ask it, before the event is applied.
    pub fn standings_after(&self, actor: &UserId, body: &EventBody) -> Vec<(UserId, Standing)> {
        match body {
            EventBody::MemberJoined(joined) if self.role(&joined.member).is_none() => {
                vec![(joined.member.clone(), Standing::Member)]
            }
            // Who was no member (an imported conversation may begin in the middle) leaves no trace.
            EventBody::MemberLeft(_) if self.role(actor).is_some() => vec![(actor.clone(), Standing::Left)],
            EventBody::MemberRemoved(removed) => vec![(removed.member.clone(), Standing::Removed)],
            EventBody::RoleChanged(changed) => vec![(changed.member.clone(), changed.role.into())],
            EventBody::MemberRenamed(renamed) => match self.standing(actor) {
                Some(standing) if standing.role().is_some() && renamed.to != *actor => {
                    let kept = self.standing(&renamed.to).map_or(standing, |there| there.max(standing));
                    vec![(actor.clone(), Standing::Left), (renamed.to.clone(), kept)]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Owners, who must never run out while others remain.
    fn owners(&self) -> usize {
        self.standings.values().filter(|standing| **standing == Standing::Owner).count()
    }

    /// Whether one more person may stand towards the conversation.
    fn has_room_for(&self, user: &UserId) -> bool {
        self.standings.contains_key(user) || self.standings.len() < caps::STANDINGS_MAX
    }
}

/// Whether a valid event moves the conversation's last position and time. Read markers do not: in a busy conversation everybody
/// moves one all the time, and nothing has happened in it.
pub fn is_activity(body: &EventBody) -> bool {
    !matches!(body, EventBody::ReadMarkerMoved(_))
}
