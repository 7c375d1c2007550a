//! What happened under an id before: the window of the fold, then the history.
//!
//! The window knows what is of late, the history what it has projected. In between lies what left the window while the history
//! lags; a lookup waits until nothing lies there, so that "not found" means "never happened". What it costs when nothing
//! lags: two reads of the history.

use std::borrow::Cow;

use kernel::{
    command::CommandError,
    conversation::{ConversationState, MessageFacts, Refusal, Repeats, Seen},
    history::{self, Found},
    mirror::{Mirror, Tracked},
};
use parking_lot::Mutex;
use schemas::{EventId, Partition, Position, Timestamp, UserId};
use tokio::time::Instant;

use crate::{append::unavailable, limits::IMPORT_PREPARE_MAX};

const POSTED: &str = "MessagePosted";

/// Looks ids up.
#[derive(Debug)]
pub(crate) struct Recall {
    /// By partition; see [`Horizon`].
    horizons: Vec<Mutex<Option<Horizon>>>,
}

/// Records from `position` on were recorded at or after `recorded_at`, for times of a partition never fall. So it need not
/// be read from the log again until the window has moved past it.
#[derive(Debug, Clone, Copy)]
struct Horizon {
    position: Position,
    recorded_at: Timestamp,
}

/// An event that happened.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) position: Position,
    actor: UserId,
    type_name: Cow<'static, str>,
    redacted: bool,
}

/// How far a state sees: all valid events before `up_to` that were recorded at or after `since`.
struct Sight {
    since: Timestamp,
    up_to: Position,
}

impl Recall {
    pub(crate) fn new(partitions: u32) -> Self {
        Self { horizons: (0..partitions).map(|_| Mutex::default()).collect() }
    }

    /// The valid event with this id. The mirror must be fresh. Waits for the history as long as the longest
    /// preparation may take: bound it.
    ///
    /// # Errors
    /// The log or the history does not answer.
    pub(crate) async fn event(
        &self,
        mirror: &Mirror,
        tracked: &Tracked,
        id: &EventId,
    ) -> Result<Option<Known>, CommandError> {
        match see(tracked, |repeats| repeats.find(id).map(Known::from)) {
            None => Ok(None),
            Some(Ok(known)) => Ok(Some(known)),
            Some(Err(sight)) => self.in_history(mirror, tracked, id, sight).await,
        }
    }

    /// What is known of the message with this id; as [`Recall::event`].
    ///
    /// # Errors
    /// The log or the history does not answer.
    pub(crate) async fn message(
        &self,
        mirror: &Mirror,
        tracked: &Tracked,
        id: &EventId,
    ) -> Result<Option<MessageFacts>, CommandError> {
        match see(tracked, |repeats| repeats.message(id).cloned()) {
            None => Ok(None),
            Some(Ok(facts)) => Ok(Some(facts)),
            Some(Err(sight)) => {
                let known = self.in_history(mirror, tracked, id, sight).await?;
                Ok(known.filter(|known| known.type_name == POSTED).map(Known::into_facts))
            }
        }
    }

    async fn in_history(
        &self,
        mirror: &Mirror,
        tracked: &Tracked,
        id: &EventId,
        sight: Sight,
    ) -> Result<Option<Known>, CommandError> {
        let deadline = Instant::now() + IMPORT_PREPARE_MAX;
        while let Some(lacking) = self.lacking(mirror, tracked.partition(), &sight).await? {
            let (history, partition) = (&**mirror.history(), tracked.partition());
            let reached = history::reach(history, partition, lacking, &mirror.epoch(), deadline).await;
            reached.map_err(unavailable)?;
        }
        // Asked after its progress: it sees at least everything below what it told.
        let found = mirror.history().find(tracked.conversation(), id).await.map_err(unavailable)?;
        Ok(found.map(Known::from))
    }

    /// What the history must reach before a look at it can prove anything; `None` if it has everything that lies before
    /// the sight of the state.
    async fn lacking(
        &self,
        mirror: &Mirror,
        partition: Partition,
        sight: &Sight,
    ) -> Result<Option<Position>, CommandError> {
        let place = history::place(&**mirror.history(), partition, &mirror.epoch()).await;
        let position = place.map_err(unavailable)?;
        if position >= sight.up_to {
            return Ok(None);
        }
        let horizon = self.horizons.get(usize::try_from(partition.0).unwrap_or(usize::MAX));
        let noted = horizon.and_then(|horizon| *horizon.lock());
        if noted.is_some_and(|noted| position >= noted.position && noted.recorded_at >= sight.since) {
            return Ok(None);
        }
        let lacking = mirror.log().read(partition, position, sight.up_to, 1).await.map_err(unavailable)?;
        let Some(first) = lacking.first() else { return Ok(None) };
        let recorded_at = first.recorded_at;
        if let Some(horizon) = horizon {
            *horizon.lock() = Some(Horizon { position, recorded_at });
        }
        Ok((recorded_at < sight.since).then_some(first.offset.position()))
    }
}

/// What the window shows, or how far it goes. `None`: nothing ever counted in this conversation, so there is
/// nothing to look for.
fn see<T>(tracked: &Tracked, ask: impl FnOnce(&Repeats) -> Option<T>) -> Option<Result<T, Sight>> {
    let look = |state: &ConversationState| {
        ask(&state.repeats)
            .ok_or_else(|| Sight { since: state.repeats.since(), up_to: state.repeats.up_to() })
    };
    tracked.look(|state| state.map(look))
}

impl Known {
    /// Whether it is what `actor` asks for again, by the type of the event asked for.
    ///
    /// # Errors
    /// The id belongs to somebody else or to something else.
    pub(crate) fn is_again(&self, actor: &UserId, type_name: &str) -> Result<(), Refusal> {
        let same = self.actor == *actor && self.type_name == type_name;
        if same { Ok(()) } else { Err(Refusal::IdTaken) }
    }

    fn into_facts(self) -> MessageFacts {
        MessageFacts { author: Some(self.actor), redacted: self.redacted }
    }
}

impl From<&Seen> for Known {
    fn from(seen: &Seen) -> Self {
        Self {
            position: seen.offset.position(),
            actor: seen.actor.clone(),
            type_name: Cow::Borrowed(seen.type_name),
            // Not asked of an event of late: the window has the facts of its messages.
            redacted: false,
        }
    }
}

impl From<Found> for Known {
    fn from(found: Found) -> Self {
        let Found { offset, recorded_at: _, actor, type_name, redacted } = found;
        Self { position: offset.position(), actor, type_name: Cow::Owned(type_name), redacted }
    }
}
