//! The register: which sessions are present in which conversation, at this node and at others. Pure; time is given.
//!
//! Own sessions are here until they leave. Those of other nodes are here for [`LIFE`] after they were last heard of, so that
//! a node that dies without a word takes its people along in time. Nothing is believed for longer, and nothing else is kept.
//!
//! What is remembered of other nodes is bounded: in a conversation, and at this node. Past a part of the latter, only
//! conversations in which somebody of this node is present get more.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    ops::Bound,
    time::Duration,
};

use schemas::{ConversationId, SessionId, UserId, caps::SIGNAL_SESSIONS_MAX, signal::Session};
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// How long a session of another node is present after it was last heard of: a second less than two heartbeats, so that who was heard
/// of just before the node died is gone within a minute of that too.
pub(crate) const LIFE: Duration = Duration::from_secs(59);
/// Own conversations are repeated in so many parts, one after the other.
pub(crate) const PARTS: usize = 30;
/// Most sessions that one answer lists: with the longest names it has less than 1 MiB, at which some clients close.
const LISTED_MAX: usize = 4_000;

/// How much is remembered of other nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Sessions in one conversation.
    pub(crate) in_conversation: usize,
    /// Sessions in all, beyond which only conversations with an own session get more.
    pub(crate) unattended: usize,
    /// Sessions in all.
    pub(crate) in_all: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_conversation: 10_000, unattended: 100_000, in_all: 500_000 }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Register {
    limits: Limits,
    conversations: HashMap<ConversationId, Present>,
    /// Conversations with own sessions, by the part in which they are repeated.
    parts: Vec<HashSet<ConversationId>>,
    /// When to look at a conversation for sessions that are not heard of any more.
    looks: BTreeSet<(Instant, ConversationId)>,
    own_len: usize,
    others_len: usize,
}

/// Those in one conversation.
#[derive(Debug, Default)]
struct Present {
    own: BTreeMap<SessionId, UserId>,
    others: BTreeMap<SessionId, Other>,
    /// Its place among the looks: not after the first of the others ends.
    look: Option<Instant>,
}

#[derive(Debug)]
struct Other {
    user: UserId,
    until: Instant,
}

/// What came of hearing of sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Those that were not here before.
    pub(crate) new: Vec<Session>,
    /// How many are not remembered, for want of room.
    pub(crate) turned_away: usize,
}

impl Register {
    pub(crate) fn new(limits: Limits) -> Self {
        let parts = (0..PARTS).map(|_| HashSet::new()).collect();
        let (conversations, looks) = (HashMap::new(), BTreeSet::new());
        Self { limits, conversations, parts, looks, own_len: 0, others_len: 0 }
    }

    /// An own session is here from now on.
    pub(crate) fn enter(&mut self, conversation: &ConversationId, session: Session) {
        let present = self.conversations.entry(conversation.clone()).or_default();
        if present.own.insert(session.client, session.user).is_none() {
            self.own_len += 1;
        }
        if let Some(part) = self.parts.get_mut(part_of(conversation)) {
            part.insert(conversation.clone());
        }
    }

    /// An own session is gone; says whether it was here.
    pub(crate) fn leave(&mut self, conversation: &ConversationId, client: &SessionId) -> bool {
        let Some(present) = self.conversations.get_mut(conversation) else { return false };
        let was_here = present.own.remove(client).is_some();
        self.own_len -= usize::from(was_here);
        if present.own.is_empty()
            && let Some(part) = self.parts.get_mut(part_of(conversation))
        {
            part.remove(conversation);
        }
        self.tidy(conversation);
        was_here
    }

    /// Sessions of another node are here, as of now.
    pub(crate) fn hear(
        &mut self,
        conversation: &ConversationId,
        sessions: &[Session],
        now: Instant,
    ) -> Heard {
        let (mut heard, until) = (Heard::default(), now + LIFE);
        let present = self.conversations.entry(conversation.clone()).or_default();
        let in_all = if present.own.is_empty() { self.limits.unattended } else { self.limits.in_all };
        for session in sessions {
            if let Some(other) = present.others.get_mut(&session.client) {
                other.until = until;
            } else if self.others_len < in_all && present.others.len() < self.limits.in_conversation {
                let Session { user, client } = session.clone();
                present.others.insert(client, Other { user, until });
                self.others_len += 1;
                heard.new.push(session.clone());
            } else {
                heard.turned_away += 1;
            }
        }
        if present.look.is_none() && !present.others.is_empty() {
            present.look = Some(until);
            self.looks.insert((until, conversation.clone()));
        }
        self.tidy(conversation);
        heard
    }

    /// A session of another node is gone; says whether it was here.
    pub(crate) fn forget(&mut self, conversation: &ConversationId, client: &SessionId) -> bool {
        let Some(present) = self.conversations.get_mut(conversation) else { return false };
        let was_here = present.others.remove(client).is_some();
        self.others_len -= usize::from(was_here);
        self.tidy(conversation);
        was_here
    }

    /// When [`Register::expire`] has something to do next.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        self.looks.first().map(|(at, _)| *at)
    }

    /// Looks at one conversation that is due, and gives those who are gone there, perhaps nobody. `None`: none is due.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<(ConversationId, Vec<Session>)> {
        if self.next_look()? > now {
            return None;
        }
        let (_, conversation) = self.looks.pop_first()?;
        let mut gone = Vec::new();
        if let Some(present) = self.conversations.get_mut(&conversation) {
            present.others.retain(|client, other| {
                let here = other.until > now;
                if !here {
                    gone.push(Session { user: other.user.clone(), client: client.clone() });
                }
                here
            });
            present.look = present.others.values().map(|other| other.until).min();
            self.looks.extend(present.look.map(|at| (at, conversation.clone())));
        }
        self.others_len -= gone.len();
        self.tidy(&conversation);
        Some((conversation, gone))
    }

    /// Keeps nothing of a conversation in which nobody is.
    fn tidy(&mut self, conversation: &ConversationId) {
        let Some(present) = self.conversations.get_mut(conversation) else { return };
        if present.others.is_empty()
            && let Some(at) = present.look.take()
        {
            self.looks.remove(&(at, conversation.clone()));
        }
        if present.own.is_empty() && present.others.is_empty() {
            self.conversations.remove(conversation);
        }
    }

    /// Whether an own session is in the conversation.
    pub(crate) fn is_attended(&self, conversation: &ConversationId) -> bool {
        self.conversations.get(conversation).is_some_and(|present| !present.own.is_empty())
    }

    /// The conversations with own sessions whose turn it is in a part of the round.
    pub(crate) fn part(&self, number: usize) -> Vec<ConversationId> {
        self.parts.get(number % PARTS).into_iter().flatten().cloned().collect()
    }

    /// The next own sessions of a conversation, as many as a signal names.
    pub(crate) fn own(&self, conversation: &ConversationId, after: Option<&SessionId>) -> Vec<Session> {
        let Some(present) = self.conversations.get(conversation) else { return Vec::new() };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = present.own.range::<SessionId, _>((from, Bound::Unbounded));
        sessions.take(SIGNAL_SESSIONS_MAX).map(|(client, user)| session(client, user)).collect()
    }

    /// The sessions that are here, own ones first.
    pub(crate) fn list(&self, conversation: &ConversationId) -> Vec<Session> {
        let Some(present) = self.conversations.get(conversation) else { return Vec::new() };
        present.all().take(LISTED_MAX).map(|(client, user)| session(client, user)).collect()
    }

    /// How many sessions, and how many people, are here.
    pub(crate) fn count(&self, conversation: &ConversationId) -> (usize, usize) {
        let Some(present) = self.conversations.get(conversation) else { return (0, 0) };
        let users: HashSet<_> = present.all().map(|(_, user)| user).collect();
        (present.own.len() + present.others.len(), users.len())
    }

    /// How many own sessions, and how many of others, are present; each in each of its conversations.
    pub(crate) fn len(&self) -> (usize, usize) {
        (self.own_len, self.others_len)
    }
}

impl Present {
    fn all(&self) -> impl Iterator<Item = (&SessionId, &UserId)> {
        self.own.iter().chain(self.others.iter().map(|(client, other)| (client, &other.user)))
    }
}

fn session(client: &SessionId, user: &UserId) -> Session {
    Session { user: user.clone(), client: client.clone() }
}

/// In which part of a round a conversation is repeated: always the same, so that it is repeated once a round.
fn part_of(conversation: &ConversationId) -> usize {
    let mut hasher = DefaultHasher::new();
    conversation.hash(&mut hasher);
    usize::try_from(hasher.finish() % PARTS as u64).unwrap_or(0)
}
