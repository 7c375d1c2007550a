//! What happened under an id before: the window of the fold, then the history.
//!
//! The window knows what is of late, the history what it has projected. In between lies what left the window while the history
//! lags; a lookup waits until nothing lies there, so that "not found" means "never happened". What it costs when nothing
//! lags: a share in one read of the history. How far the history has come is asked once in a while for everybody ([`Horizon`]), and
//! the ids of commands that are at work at the same time are looked up together ([`Lookups`]).
//!
//! In a conversation that is written often and is not long even that is spared: the node learns all ids that were used so far and asks
//! no more whether a new one is new ([`Tracked::learn_used`]).

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use kernel::{
    command::CommandError,
    conversation::{ConversationState, MessageFacts, Refusal, Repeats, Seen},
    history::{self, Extent, Found, History, HistoryError},
    mirror::{Mirror, Tracked, USED_IDS_READ_MAX},
};
use parking_lot::Mutex;
use schemas::{ConversationId, EventId, Partition, Position, Timestamp, UserId};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

use crate::{
    append::unavailable,
    limits::{HORIZON_MAX, IMPORT_PREPARE_MAX},
    lookups::Lookups,
};

const POSTED: &str = "MessagePosted";

/// Looks ids up.
#[derive(Debug)]
pub(crate) struct Recall {
    /// By partition.
    views: Vec<View>,
    lookups: Lookups,
}

/// What is known of how far the history has come in a partition.
#[derive(Debug, Default)]
struct View {
    horizon: Mutex<Option<Horizon>>,
    /// One asks, the others wait for the answer.
    asking: AsyncMutex<()>,
}

/// How far the history had come when it was asked. It does not go back, so what it had then it has now; but it is not relied on for
/// longer than [`HORIZON_MAX`], for the sake of an operator who wipes the history under running nodes.
#[derive(Debug, Clone, Copy)]
struct Horizon {
    asked: Instant,
    /// It has all before it.
    position: Position,
    /// Records from there on were recorded at or after this, for times of a partition never fall. Once it is known it need not be read from
    /// the log again until the window has moved past it.
    recorded_at: Option<Timestamp>,
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
        Self { views: (0..partitions).map(|_| View::default()).collect(), lookups: Lookups::default() }
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
            Some(Err(_)) if self.is_unused(mirror, tracked, id).await? => Ok(None),
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

    /// Which of these ids valid events have. As [`Recall::event`] of each, at one moment for all of them.
    ///
    /// # Errors
    /// The log or the history does not answer.
    pub(crate) async fn events(
        &self,
        mirror: &Mirror,
        tracked: &Tracked,
        ids: BTreeSet<EventId>,
    ) -> Result<HashMap<EventId, Known>, CommandError> {
        self.learn(mirror, tracked, ids.len()).await?;
        let (mut known, mut beyond) = (HashMap::new(), Vec::new());
        let sight = tracked.look(|state| {
            let repeats = &state?.repeats;
            for id in ids {
                match repeats.find(&id).map(Known::from) {
                    Some(seen) => drop(known.insert(id, seen)),
                    None => beyond.push(id),
                }
            }
            Some(Sight::of(repeats))
        });
        beyond.retain(|id| !tracked.has_never_used(id));
        if let Some(sight) = sight
            && !beyond.is_empty()
        {
            self.wait_until_nothing_lacks(mirror, tracked.partition(), &sight).await?;
            let found =
                mirror.history().find_all(tracked.conversation(), &beyond).await.map_err(unavailable)?;
            let found =
                beyond.into_iter().zip(found).filter_map(|(id, found)| Some((id, Known::from(found?))));
            known.extend(found);
        }
        Ok(known)
    }

    /// Whether it is known without a look at the history that the id is new. Now and then it is time to learn the ids first.
    async fn is_unused(
        &self,
        mirror: &Mirror,
        tracked: &Tracked,
        id: &EventId,
    ) -> Result<bool, CommandError> {
        if tracked.has_never_used(id) {
            return Ok(true);
        }
        self.learn(mirror, tracked, 1).await?;
        Ok(tracked.has_never_used(id))
    }

    /// Learns which ids the conversation has used, if the history was asked often enough for that, with so many that it is to be asked for.
    async fn learn(&self, mirror: &Mirror, tracked: &Tracked, asking: usize) -> Result<(), CommandError> {
        let Some(learning) = tracked.learn_used(asking) else { return Ok(()) };
        // Not before: what has left the window by now is in the history, or was in the window when learning began.
        let sight = tracked.look(|state| state.map(|state| Sight::of(&state.repeats)));
        let Some(sight) = sight else {
            // Nothing ever counted here.
            learning.end(Some(&[]));
            return Ok(());
        };
        self.wait_until_nothing_lacks(mirror, tracked.partition(), &sight).await?;
        let ids = ids_of(&**mirror.history(), tracked.conversation()).await.map_err(unavailable)?;
        learning.end(ids.as_deref());
        Ok(())
    }

    async fn in_history(
        &self,
        mirror: &Mirror,
        tracked: &Tracked,
        id: &EventId,
        sight: Sight,
    ) -> Result<Option<Known>, CommandError> {
        self.wait_until_nothing_lacks(mirror, tracked.partition(), &sight).await?;
        // Asked after its progress: it sees at least everything below what it told.
        let found = self.lookups.find(mirror.history(), tracked.conversation(), id).await;
        Ok(found.map_err(unavailable)?.map(Known::from))
    }

    /// Resolves when the history has everything that lies before the sight of the state.
    async fn wait_until_nothing_lacks(
        &self,
        mirror: &Mirror,
        partition: Partition,
        sight: &Sight,
    ) -> Result<(), CommandError> {
        let Some(view) = self.views.get(usize::try_from(partition.0).unwrap_or(usize::MAX)) else {
            return Ok(());
        };
        let deadline = Instant::now() + IMPORT_PREPARE_MAX;
        while !view.reaches(sight) {
            let asking = view.asking.lock().await;
            if view.reaches(sight) {
                break;
            }
            let lacking = view.look(mirror, partition, sight).await?;
            drop(asking);
            let Some(lacking) = lacking else { break };
            let history = &**mirror.history();
            let reached = history::reach(history, partition, lacking, &mirror.epoch(), deadline).await;
            reached.map_err(unavailable)?;
        }
        Ok(())
    }
}

impl View {
    /// Whether it is known of late that the history has all that lies before the sight.
    fn reaches(&self, sight: &Sight) -> bool {
        let horizon = *self.horizon.lock();
        horizon.is_some_and(|horizon| horizon.asked.elapsed() < HORIZON_MAX && horizon.reaches(sight))
    }

    /// Asks how far the history is. Gives what it must reach before a look at it can prove anything; `None` if it has everything that lies
    /// before the sight.
    async fn look(
        &self,
        mirror: &Mirror,
        partition: Partition,
        sight: &Sight,
    ) -> Result<Option<Position>, CommandError> {
        let asked = Instant::now();
        let place = history::place(&**mirror.history(), partition, &mirror.epoch()).await;
        let position = place.map_err(unavailable)?;
        let noted = self.horizon.lock().filter(|noted| position >= noted.position);
        let horizon = Horizon { asked, position, recorded_at: noted.and_then(|noted| noted.recorded_at) };
        if horizon.reaches(sight) {
            *self.horizon.lock() = Some(horizon);
            return Ok(None);
        }
        let lacking = mirror.log().read(partition, position, sight.up_to, 1).await.map_err(unavailable)?;
        let Some(first) = lacking.first() else { return Ok(None) };
        let horizon = Horizon { recorded_at: Some(first.recorded_at), ..horizon };
        *self.horizon.lock() = Some(horizon);
        Ok((!horizon.reaches(sight)).then_some(first.offset.position()))
    }
}

impl Horizon {
    /// Whether all that lies before the sight is in the history, as far as it is known.
    fn reaches(&self, sight: &Sight) -> bool {
        self.position >= sight.up_to || self.recorded_at.is_some_and(|at| at >= sight.since)
    }
}

impl Sight {
    fn of(repeats: &Repeats) -> Self {
        Self { since: repeats.since(), up_to: repeats.up_to() }
    }
}

/// The ids of all valid events that the history has of a conversation; `None` if there are more than are worth it.
async fn ids_of(
    history: &dyn History,
    conversation: &ConversationId,
) -> Result<Option<Vec<EventId>>, HistoryError> {
    let (mut ids, mut extent, mut read) = (Vec::new(), Extent::ALL, 0);
    loop {
        let events = history.events(conversation, extent).await?;
        read += events.len();
        if read > USED_IDS_READ_MAX {
            return Ok(None);
        }
        let Some(last) = events.last() else { return Ok(Some(ids)) };
        extent.after = last.offset.position();
        let more = events.len() == extent.limit();
        ids.extend(events.iter().filter(|stored| !stored.void).map(|stored| stored.event.event_id.clone()));
        if !more {
            return Ok(Some(ids));
        }
    }
}

/// What the window shows, or how far it goes. `None`: nothing ever counted in this conversation, so there is
/// nothing to look for.
fn see<T>(tracked: &Tracked, ask: impl FnOnce(&Repeats) -> Option<T>) -> Option<Result<T, Sight>> {
    let look = |state: &ConversationState| ask(&state.repeats).ok_or_else(|| Sight::of(&state.repeats));
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
