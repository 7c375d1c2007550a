//! `subscribe`: where a client's position meets the log.

use std::{fmt, rc::Rc, time::Duration};

use kernel::{identity::SubscriptionGrant, metric};
use schemas::{ConversationId, Position};
use tokio::time::{Instant, timeout_at};

use super::{Asked, connect};
use crate::{
    feed::Page,
    protocol::{ErrorCode, REJECT_UNRECOVERED, SubscribeRequest, SubscribeResult},
    subscription::{Subscription, Topic},
    switchover::{Filled, Switchover},
};

/// Most subscriptions of one session.
const SUBSCRIPTIONS_LEN_MAX: usize = 1_000;
/// How long the first page may take before the reply goes out without it; clients wait 5 s.
const FIRST_PAGE_WAIT: Duration = Duration::from_secs(3);
/// How long this node may take to catch up with the log before it answers for what it knows.
const CATCH_UP_WAIT: Duration = Duration::from_secs(2);

/// Where a subscription begins.
enum Beginning {
    /// The client's position counts: it gets everything after it.
    Resume(Position),
    /// It gets what comes from now on.
    Now,
    /// Its position belongs to another log: it gets what comes from now on, and is told so.
    Lost,
}

/// A subscription of which the client does not know yet. Its reply has to be written before any event of the conversation,
/// so nothing is awaited until then, or what is written is held ([`Session::hold`]).
pub(crate) struct Subscribed(Rc<Subscription>);

impl Subscribed {
    /// The client is told: what it missed beyond the first page may follow, and others hear that it is here.
    pub(crate) fn begin(self, at: &Asked<'_>) {
        let Self(subscription) = self;
        if !subscription.is_live() {
            at.shard.fill(&subscription);
        }
        at.shard.announce(at.session, &subscription.topic().conversation);
    }
}

/// When a first page must be there to go out with a reply for which a client waits from now on.
pub(crate) fn first_page_by() -> Instant {
    Instant::now() + FIRST_PAGE_WAIT
}

/// Whether it asks for nothing that is not offered.
pub(super) fn check(request: &SubscribeRequest) -> Result<(), ErrorCode> {
    if request.r#type != 0 {
        return Err(ErrorCode::NOT_AVAILABLE);
    }
    if request.tf.is_empty() { Ok(()) } else { Err(ErrorCode::BAD_REQUEST) }
}

/// Subscribes, with leave to read if there is a grant; gives what the client is to be told. Without a `first_page` to wait for, it comes behind the reply, like the rest.
pub(crate) async fn subscribe(
    at: &Asked<'_>,
    channel: &str,
    request: &SubscribeRequest,
    grant: Option<SubscriptionGrant>,
    first_page: Option<Instant>,
) -> Result<(SubscribeResult, Subscribed), ErrorCode> {
    check(request)?;
    let conversation = channel.parse().map_err(|_| ErrorCode::BAD_REQUEST)?;
    let (conversation, topic) = read(at, conversation, grant.as_ref()).await?;
    // A second subscribe is a client that missed the first reply: it is done anew.
    at.shard.unsubscribe(at.session, &conversation);
    if at.session.subscriptions_len() >= SUBSCRIPTIONS_LEN_MAX {
        return Err(ErrorCode::LIMIT_EXCEEDED);
    }
    let beginning = beginning(at, request, &topic).await?;
    if matches!(beginning, Beginning::Lost) && request.flag & REJECT_UNRECOVERED != 0 {
        return Err(ErrorCode::UNRECOVERABLE_POSITION);
    }
    match beginning {
        Beginning::Resume(position) => {
            let resumed = resume(at, request, topic, grant, position, first_page).await?;
            metric::RESUMES.counter_of(["recovered"]).increment(1);
            Ok(resumed)
        }
        Beginning::Now | Beginning::Lost => {
            // The tail was asked for meanwhile, and somebody may have been removed.
            if !topic.may_be_read_under(grant.as_ref(), &at.identity) {
                return Err(denied(at, &topic));
            }
            if matches!(beginning, Beginning::Lost) {
                metric::RESUMES.counter_of(["lost"]).increment(1);
            }
            // What was folded in loading the conversation is offered to nobody: it lies before now.
            let place = at.shard.around.mirror.place(topic.tracked.partition());
            let now = place.max(topic.tracked.folded());
            let subscription =
                at.shard.subscribe(at.session, topic, request.join_leave, Switchover::live(now));
            let result = result(at, request, grant.as_ref(), now);
            subscription.set_grant(grant);
            Ok((result, Subscribed(subscription)))
        }
    }
}

/// The conversation as a topic, if this person may read it. What is refused could be a moment old, so this node
/// catches up with the log once before it refuses.
pub(super) async fn open(
    at: &Asked<'_>,
    conversation: ConversationId,
    grant: Option<&SubscriptionGrant>,
) -> Result<(ConversationId, Rc<Topic>), ErrorCode> {
    let topic = at.shard.topic(&conversation).await.map_err(|error| temporary(&error))?;
    if topic.tracked.look(|state| state.is_none()) || !topic.may_be_read_under(grant, &at.identity) {
        let deadline = Instant::now() + CATCH_UP_WAIT;
        let caught_up = at.shard.around.mirror.catch_up(topic.tracked.partition(), deadline).await;
        caught_up.map_err(|error| temporary(&error))?;
    }
    if topic.tracked.look(|state| state.is_none()) {
        return Err(ErrorCode::UNKNOWN_CHANNEL);
    }
    if !topic.may_be_read_under(grant, &at.identity) {
        return Err(denied(at, &topic));
    }
    Ok((conversation, topic))
}

/// The same for somebody who is to be given what is in it. An admin leaves a line in the log, as in the store.
pub(super) async fn read(
    at: &Asked<'_>,
    conversation: ConversationId,
    grant: Option<&SubscriptionGrant>,
) -> Result<(ConversationId, Rc<Topic>), ErrorCode> {
    let (conversation, topic) = open(at, conversation, grant).await?;
    let user = &at.identity.user;
    if at.identity.admin && !topic.lets_in(grant, user) {
        tracing::info!(%user, %conversation, "an admin reads a conversation of others");
    }
    Ok((conversation, topic))
}

/// Why somebody may not read a conversation.
fn denied(at: &Asked<'_>, topic: &Topic) -> ErrorCode {
    if topic.has_removed(&at.identity.user) { ErrorCode::REMOVED } else { ErrorCode::PERMISSION_DENIED }
}

/// Log or history do not answer. It must be a temporary error: any other ends the subscription for good.
pub(super) fn temporary(error: &impl fmt::Display) -> ErrorCode {
    tracing::warn!(%error, "a client was told to try again");
    ErrorCode::INTERNAL
}

async fn beginning(
    at: &Asked<'_>,
    request: &SubscribeRequest,
    topic: &Topic,
) -> Result<Beginning, ErrorCode> {
    if !request.recover {
        return Ok(Beginning::Now);
    }
    let mirror = &at.shard.around.mirror;
    // No epoch: the client asks from a position that it was never given, the start at best.
    if !request.epoch.is_empty() && request.epoch != mirror.epoch().as_str() {
        return Ok(Beginning::Lost);
    }
    let (partition, offset) = (topic.tracked.partition(), Position::new(request.offset));
    if offset > mirror.place(partition) {
        // It came from a node that is further, or the log lost what the client has seen.
        let tail = mirror.log().tail(partition).await.map_err(|error| temporary(&error))?;
        if offset > tail {
            return Ok(Beginning::Lost);
        }
    }
    Ok(Beginning::Resume(offset))
}

/// Registers and reads the first page.
async fn resume(
    at: &Asked<'_>,
    request: &SubscribeRequest,
    topic: Rc<Topic>,
    grant: Option<SubscriptionGrant>,
    position: Position,
    first_page: Option<Instant>,
) -> Result<(SubscribeResult, Subscribed), ErrorCode> {
    let (shard, partition) = (at.shard, topic.tracked.partition());
    let switchover = Switchover::resuming(position);
    let subscription = shard.subscribe(at.session, topic, request.join_leave, switchover);
    subscription.set_grant(grant.clone());
    let conversation = &subscription.topic().conversation;
    loop {
        let place = shard.around.mirror.place(partition);
        let read = match first_page {
            Some(deadline) => timeout_at(deadline, subscription.page(&shard.around.mirror)).await.ok(),
            None => None,
        };
        // Without one the fill goes on, and the client need not wait for it.
        let page = read.unwrap_or(Ok(Page { events: Vec::new(), filled: Filled::UpTo(position) }));
        let page = page.map_err(|error| {
            shard.unsubscribe(at.session, conversation);
            temporary(&error)
        })?;
        if !is_current(at, &subscription) {
            // The session ended, or lost the right to read, while the page was read.
            shard.unsubscribe(at.session, conversation);
            return Err(denied(at, subscription.topic()));
        }
        subscription.filled(page.filled);
        let live = subscription.is_live();
        let in_time = first_page.is_some_and(|deadline| Instant::now() < deadline);
        if page.events.is_empty() && !live && in_time {
            continue;
        }
        // With publications the client's own offset is echoed: it moves on as it takes them one by one. Without any, and
        // with nothing missing, its cursor may jump to this node's place.
        let offset = if page.events.is_empty() && live { position.max(place) } else { position };
        let publications = page.events.iter().map(|event| (&**event).into()).collect();
        let result =
            SubscribeResult { recovered: true, publications, ..result(at, request, grant.as_ref(), offset) };
        return Ok((result, Subscribed(subscription)));
    }
}

fn is_current(at: &Asked<'_>, subscription: &Rc<Subscription>) -> bool {
    let current = at.session.subscription(&subscription.topic().conversation);
    current.is_some_and(|current| Rc::ptr_eq(&current, subscription)) && subscription.may_read()
}

fn result(
    at: &Asked<'_>,
    request: &SubscribeRequest,
    grant: Option<&SubscriptionGrant>,
    offset: Position,
) -> SubscribeResult {
    let ends_at = grant.and_then(|grant| grant.expires_at);
    let (expires, ttl) = connect::life(ends_at, at.shard.around.clock.now());
    SubscribeResult {
        expires,
        ttl,
        recoverable: true,
        positioned: true,
        epoch: at.shard.around.mirror.epoch().to_string(),
        offset: offset.get(),
        was_recovering: request.recover,
        ..SubscribeResult::default()
    }
}
