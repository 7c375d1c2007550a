//! One command, from its turn to its answer.

use std::sync::Arc;

use kernel::{
    clock::Clock,
    command::{Accepted, Command, CommandError, Request},
    conversation::{ConversationState, Decision, MessageFacts, Refusal, decide},
    event_log::Place,
    mirror::{Mirror, Tracked},
    trace,
};
use schemas::{ChatEvent, ConversationId, EventId, Position, caps};
use tokio::time::{Instant, timeout};
use tracing::{Instrument, field::Empty};

use crate::{
    append::{Verdict, append, record_of, unavailable, unknown, verdict},
    fresh::Freshness,
    limits::{FOLD_MAX, PREPARE_MAX},
    recall::{Known, Recall},
    turns::Turns,
};

/// What commands and imports work with.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) fresh: Freshness,
    pub(crate) recall: Recall,
    pub(crate) commands: Turns<(ConversationId, EventId)>,
    pub(crate) imports: Turns<ConversationId>,
}

/// What is left to do.
enum Considered {
    /// Nothing: the same command was done before.
    Done(Accepted),
    /// Nothing: what it asks for is the case.
    Already(Accepted),
    /// To append this.
    Append(ChatEvent),
}

impl Worker {
    /// Does a command. Not to be dropped halfway: its turn ends with it.
    pub(crate) async fn perform(&self, request: &Request) -> Result<Accepted, CommandError> {
        check(&request.command)?;
        let key = (request.conversation.clone(), request.event_id.clone());
        let _turn = self.commands.take(key).await;
        let prepared = timeout(PREPARE_MAX, self.prepare(request)).await;
        let (tracked, considered) =
            prepared.map_err(|_| unavailable("this node or the history is too far behind the log"))??;
        match considered {
            Considered::Done(accepted) | Considered::Already(accepted) => Ok(accepted),
            Considered::Append(event) => self.write(request, &tracked, &event).await,
        }
    }

    async fn prepare(&self, request: &Request) -> Result<(Arc<Tracked>, Considered), CommandError> {
        let tracked = self.mirror.track(&request.conversation).await.map_err(unavailable)?;
        let partition = tracked.partition();
        self.fresh.ensure(&self.mirror, partition).await.map_err(unavailable)?;
        let considered = match self.consider(request, &tracked).await {
            // What this node has not seen yet may allow it.
            Err(CommandError::Refused(refusal)) if refusal.could_be_stale() => {
                self.consider_again(request, &tracked).await
            }
            // Or it may have ended what seems to be the case.
            Ok(Considered::Already(_)) => self.consider_again(request, &tracked).await,
            considered => considered,
        }?;
        Ok((tracked, considered))
    }

    /// Considers a command once this node is level with the log as it is now.
    async fn consider_again(&self, request: &Request, tracked: &Tracked) -> Result<Considered, CommandError> {
        self.fresh.renew(&self.mirror, tracked.partition()).await.map_err(unavailable)?;
        self.consider(request, tracked).await
    }

    async fn consider(&self, request: &Request, tracked: &Tracked) -> Result<Considered, CommandError> {
        let Request { event_id, command, .. } = request;
        if let Some(first) = self.recall.event(&self.mirror, tracked, event_id).await? {
            return Ok(Considered::Done(self.again(request, &first)?));
        }
        let target = match command.message_id() {
            Some(message) => self.recall.message(&self.mirror, tracked, message).await?,
            None => None,
        };
        tracked.look(|state| self.decide(request, state, target))
    }

    /// Decides at one moment. What came in since the lookup is in the window of `state`, so that is asked once more.
    fn decide(
        &self,
        request: &Request,
        state: Option<&ConversationState>,
        target: Option<MessageFacts>,
    ) -> Result<Considered, CommandError> {
        let Request { identity, conversation, event_id, command } = request;
        let repeats = state.map(|state| &state.repeats);
        if let Some(first) = repeats.and_then(|repeats| repeats.find(event_id)) {
            return Ok(Considered::Done(self.again(request, &first.into())?));
        }
        let message = command.message_id();
        let of_late = repeats.zip(message).and_then(|(repeats, message)| repeats.message(message).cloned());
        let target = of_late.or(target);
        let now = self.clock.now();
        let decision =
            decide(state, conversation, event_id, &identity.user, now, command.clone(), target.as_ref())?;
        // Only now: who may not write here does not learn which messages there are.
        if message.is_some() && target.is_none() {
            return Err(Refusal::UnknownMessage.into());
        }
        Ok(match decision {
            Decision::Append(event) => Considered::Append(event),
            Decision::Already(position) => Considered::Already(self.accepted(request, position, true)),
        })
    }

    async fn write(
        &self,
        request: &Request,
        tracked: &Tracked,
        event: &ChatEvent,
    ) -> Result<Accepted, CommandError> {
        let moment = Instant::now();
        let place = self.append(event).await?;
        let (position, deadline) = (place.offset.position(), Instant::now() + FOLD_MAX);
        self.mirror.reach(place.partition, position, deadline).await.map_err(unknown)?;
        self.fresh.note(place.partition, moment);
        match verdict(tracked, &event.event_id, place.offset) {
            Verdict::Counts => Ok(self.accepted(request, position, false)),
            Verdict::Repeats(first) => Ok(self.again(request, &first)?),
            Verdict::Against(refusal) => Err(refusal.into()),
            Verdict::Forgotten => Err(unknown("this node is too busy to tell")),
        }
    }

    /// Appends the event as part of the trace of its command.
    async fn append(&self, event: &ChatEvent) -> Result<Place, CommandError> {
        let span = tracing::info_span!(
            target: trace::TARGET, "append",
            otel.kind = "producer", partition = Empty, offset = Empty,
        );
        let mut record = record_of(self.mirror.codec(), event)?;
        record.headers.extend(trace::headers(&span));
        let places = append(self.mirror.log(), vec![record]).instrument(span.clone()).await?;
        let place = places.first().ok_or_else(|| unknown("the log did not say where the record stands"))?;
        span.record("partition", place.partition.0).record("offset", place.offset.get());
        Ok(*place)
    }

    fn again(&self, request: &Request, first: &Known) -> Result<Accepted, Refusal> {
        first.is_again(&request.identity.user, request.command.event_type())?;
        Ok(self.accepted(request, first.position, true))
    }

    fn accepted(&self, request: &Request, position: Position, duplicate: bool) -> Accepted {
        Accepted {
            position,
            epoch: self.mirror.epoch(),
            conversation: request.conversation.clone(),
            event_id: request.event_id.clone(),
            duplicate,
        }
    }
}

/// What the types do not say.
fn check(command: &Command) -> Result<(), CommandError> {
    match command {
        Command::CreateConversation { members, .. } if members.len() > caps::MEMBERS_AT_CREATION_MAX => {
            let (len, max) = (members.len(), caps::MEMBERS_AT_CREATION_MAX);
            Err(CommandError::Invalid(format!("{len} members are named, at most {max} are allowed")))
        }
        _ => Ok(()),
    }
}
