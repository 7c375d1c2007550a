//! A session's subscription to a conversation: the switchover with its surroundings.

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use kernel::{
    conversation::ConversationState,
    identity::{Identity, SubscriptionGrant},
    mirror::{LiveEvent, Mirror, MirrorError, Tracked},
};
use schemas::{ConversationId, Epoch, Position, Timestamp, UserId};
use tokio::time::sleep;

use crate::{
    feed::{self, PAGE_LEN_MAX},
    notice::What,
    protocol::{Channel, Form, PerForm},
    session::Session,
    switchover::{Filled, Offer, Switchover},
};

/// How often a page is tried before the client is told to subscribe again, and the pause in between.
const PAGE_TRIES_MAX: usize = 20;
const PAGE_RETRY_PAUSE: Duration = Duration::from_millis(250);

/// A conversation that sessions of this shard are subscribed to.
pub(crate) struct Topic {
    pub(crate) conversation: ConversationId,
    /// The epoch of the log, as the positions of its events belong to it.
    epoch: Epoch,
    pub(crate) tracked: Arc<Tracked>,
    subscribers: RefCell<Vec<Rc<Subscription>>>,
    /// How many of them want to be told who comes and goes: mostly none.
    join_leave_len: Cell<usize>,
}

/// See the module.
pub(crate) struct Subscription {
    session: Weak<Session>,
    topic: Rc<Topic>,
    /// The client wants to be told who comes and goes.
    join_leave: bool,
    switchover: RefCell<Switchover>,
    /// What its token allows; `None`: it was begun without one.
    grant: RefCell<Option<SubscriptionGrant>>,
    ended: Cell<bool>,
    /// A fill is under way; there is never a second.
    filling: Cell<bool>,
    /// The client knows that it is subscribed, and others that it is here.
    announced: Cell<bool>,
}

/// The events of one conversation in one folded stretch, with their frames, for all who are subscribed.
pub(crate) struct Stretch<'a> {
    pub(crate) events: &'a [&'a LiveEvent],
    pub(crate) positions: Vec<Position>,
    channel: Channel<'a>,
    frames: PerForm<Bytes>,
}

/// What came of handing a stretch to a subscription.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// So many events were written, as far as the socket takes them, or wait.
    Sent {
        /// How many.
        events: usize,
        /// They wait for a flush, together with what else comes for the session.
        flush: bool,
    },
    /// This is not the time for it, or nobody is there any more.
    Nothing,
    /// The outbox is full: a fill must be started.
    FellBehind,
}

/// How a fill ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// The subscription is live, or nobody wants it any more.
    Done,
    /// The history or the log did not answer for too long: the client must subscribe again.
    GivenUp,
    /// The client may not read the conversation any more.
    NotAllowed,
}

impl Topic {
    pub(crate) fn new(conversation: ConversationId, epoch: Epoch, tracked: Arc<Tracked>) -> Self {
        Self { conversation, epoch, tracked, subscribers: RefCell::default(), join_leave_len: Cell::new(0) }
    }

    fn channel(&self) -> Channel<'_> {
        Channel { name: &self.conversation, epoch: &self.epoch }
    }

    pub(crate) fn add(&self, subscription: Rc<Subscription>) {
        self.join_leave_len.update(|len| len + usize::from(subscription.join_leave));
        self.subscribers.borrow_mut().push(subscription);
    }

    /// Removes a subscription; says whether it was the last.
    pub(crate) fn remove(&self, subscription: &Rc<Subscription>) -> bool {
        let mut subscribers = self.subscribers.borrow_mut();
        if let Some(at) = subscribers.iter().position(|other| Rc::ptr_eq(other, subscription)) {
            subscribers.swap_remove(at);
            self.join_leave_len.update(|len| len - usize::from(subscription.join_leave));
        }
        subscribers.is_empty()
    }

    /// Whether somebody may want to be told of this: else nobody need be asked.
    pub(crate) fn may_want(&self, what: What) -> bool {
        match what {
            What::Came | What::Went => self.join_leave_len.get() > 0,
            What::Typing(_) => true,
        }
    }

    /// Whether the events may go to this person, who may have been given leave to read them, as far as this node knows.
    pub(crate) fn may_be_read_under(&self, grant: Option<&SubscriptionGrant>, identity: &Identity) -> bool {
        identity.admin || self.lets_in(grant, &identity.user)
    }

    /// The same, whatever scope there is.
    pub(crate) fn lets_in(&self, grant: Option<&SubscriptionGrant>, user: &UserId) -> bool {
        let may = |state: &ConversationState| {
            state.may_read(user) || (grant.is_some() && state.may_be_granted(user))
        };
        self.tracked.look(|state| state.is_some_and(may))
    }

    /// Whether this person was removed, as far as this node knows.
    pub(crate) fn has_removed(&self, user: &UserId) -> bool {
        self.tracked.look(|state| state.is_some_and(|state| !state.may_be_granted(user)))
    }

    /// Calls `each` for every subscription. It must not add or remove any.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&Rc<Subscription>)) {
        for subscription in self.subscribers.borrow().iter() {
            each(subscription);
        }
    }
}

impl<'a> Stretch<'a> {
    pub(crate) fn new(topic: &'a Topic, events: &'a [&'a LiveEvent]) -> Self {
        let positions = events.iter().map(|event| event.position).collect();
        Self { events, positions, channel: topic.channel(), frames: PerForm::default() }
    }

    /// The frames of all but the first `skip` events. Those of all are made once.
    fn frames(&self, form: Form, skip: usize) -> Cow<'_, Bytes> {
        let make = || form.publications(self.channel, self.events.iter().skip(skip).copied());
        if skip == 0 { Cow::Borrowed(self.frames.get(form, make)) } else { Cow::Owned(make()) }
    }
}

impl Subscription {
    pub(crate) fn new(
        session: &Rc<Session>,
        topic: Rc<Topic>,
        join_leave: bool,
        switchover: Switchover,
    ) -> Rc<Self> {
        Rc::new(Self {
            session: Rc::downgrade(session),
            topic,
            join_leave,
            switchover: RefCell::new(switchover),
            grant: RefCell::default(),
            ended: Cell::new(false),
            filling: Cell::new(false),
            announced: Cell::new(false),
        })
    }

    pub(crate) fn topic(&self) -> &Rc<Topic> {
        &self.topic
    }

    pub(crate) fn session(&self) -> Option<Rc<Session>> {
        self.session.upgrade()
    }

    /// Whether the client is to be told of this: only once the reply to its `subscribe` is written.
    pub(crate) fn wants(&self, what: What) -> bool {
        let wanted = match what {
            What::Came | What::Went => self.join_leave,
            // Who catches up has not come to what is being answered.
            What::Typing(_) => self.is_live(),
        };
        wanted && self.announced.get()
    }

    pub(crate) fn announce(&self) {
        self.announced.set(true);
    }

    pub(crate) fn is_announced(&self) -> bool {
        self.announced.get()
    }

    /// Claims the fill; `false` if one is under way, which will go on to the end.
    pub(crate) fn begin_fill(&self) -> bool {
        !self.filling.replace(true)
    }

    /// Nothing is sent from now on; a fill that is under way stops.
    pub(crate) fn end(&self) {
        self.ended.set(true);
    }

    /// Whether the client may read the conversation, as far as this node knows.
    pub(crate) fn may_read(&self) -> bool {
        let identity = self.session().and_then(|session| session.identity());
        identity.is_some_and(|identity| self.topic.may_be_read_under(self.grant.borrow().as_ref(), &identity))
    }

    /// What its token allows.
    pub(crate) fn grant(&self) -> Option<SubscriptionGrant> {
        self.grant.borrow().clone()
    }

    /// From now on this is what its token allows.
    pub(crate) fn set_grant(&self, grant: Option<SubscriptionGrant>) {
        *self.grant.borrow_mut() = grant;
    }

    /// Whether its token ended before that moment.
    pub(crate) fn was_over(&self, moment: Timestamp) -> bool {
        let ends_at = self.grant.borrow().as_ref().and_then(|grant| grant.expires_at);
        ends_at.is_some_and(|end| end < moment)
    }

    /// Hands on what was folded, if this is the time for it. It is written at once if nothing else can come for the session in the same turn:
    /// `alone` if there is no other conversation in it.
    pub(crate) fn deliver(&self, stretch: &Stretch<'_>, alone: bool) -> Delivered {
        let Some(session) = self.session() else { return Delivered::Nothing };
        let mut switchover = self.switchover.borrow_mut();
        let before = switchover.sent();
        let Offer::Send { skip } = switchover.offer(&stretch.positions) else { return Delivered::Nothing };
        let frames = stretch.frames(session.form(), skip);
        if !session.has_room_for(frames.len()) {
            switchover.fell_behind(before);
            return Delivered::FellBehind;
        }
        let events = stretch.events.len().saturating_sub(skip);
        if alone || session.subscriptions_len() == 1 {
            session.deliver(&frames);
            return Delivered::Sent { events, flush: false };
        }
        Delivered::Sent { events, flush: session.push(frames.into_owned()) }
    }

    /// The next page of the fill, without marking it as sent.
    pub(crate) async fn page(&self, mirror: &Mirror) -> Result<feed::Page, MirrorError> {
        let switchover = self.switchover.borrow().clone();
        feed::page(mirror, &self.topic.tracked, &switchover, PAGE_LEN_MAX).await
    }

    /// The page is sent; say so before anything else is awaited.
    pub(crate) fn filled(&self, filled: Filled) {
        self.switchover.borrow_mut().filled(filled);
    }

    pub(crate) fn is_live(&self) -> bool {
        self.switchover.borrow().is_live()
    }

    /// Fills at the pace of the client until the subscription is live.
    pub(crate) async fn catch_up(&self, mirror: &Mirror) -> Fill {
        let fill = self.fill(mirror).await;
        self.filling.set(false);
        fill
    }

    async fn fill(&self, mirror: &Mirror) -> Fill {
        let mut tries = 0;
        while !self.is_live() {
            let Some(session) = self.session() else { return Fill::Done };
            let turn = session.turn_to_fill().await;
            if self.ended.get() || session.over().is_some() {
                return Fill::Done;
            }
            match self.page(mirror).await {
                _ if self.ended.get() => return Fill::Done,
                // The page may hold what came after a removal.
                Ok(_) if !self.may_read() => return Fill::NotAllowed,
                // Something live came first; the page is read again when there is room.
                Ok(_) if !session.takes_a_page() => {}
                Ok(page) => {
                    tries = 0;
                    let events = page.events.iter().map(AsRef::as_ref);
                    session.push(session.form().publications(self.topic.channel(), events));
                    self.filled(page.filled);
                    session.flush();
                    // Nothing is awaited once it is live: from here on it may fall behind again, with a fill of its own.
                    if self.is_live() {
                        return Fill::Done;
                    }
                    drop(turn);
                    // A fast reader is given page after page: let the others of this thread have their turn.
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    tries += 1;
                    if tries >= PAGE_TRIES_MAX {
                        tracing::warn!(conversation.id = %self.topic.conversation, %error, "a fill was given up");
                        return Fill::GivenUp;
                    }
                    drop(turn);
                    drop(session);
                    sleep(PAGE_RETRY_PAUSE).await;
                }
            }
        }
        Fill::Done
    }
}

#[cfg(test)]
mod tests;
