//! A shard: one thread with its sessions, their subscriptions, and nothing shared with other threads but its
//! mailboxes. No locks, and no wake-up from another thread per delivery.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use kernel::{
    clock::Clock,
    command::SharedSink,
    identity::{Identity, TokenKey},
    mirror::{Folded, LiveEvent, Mirror, MirrorError},
};
use schemas::{ConversationId, EventBody};
use tokio::{
    sync::{mpsc, oneshot},
    task::{spawn_local, yield_now},
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use crate::{
    connection,
    meters::{Meters, Watch},
    presence::Presence,
    protocol::{
        Disconnect, Unsubscribe,
        reply::{self, ClientInfo},
    },
    session::{Session, Standing},
    subscription::{Delivered, Fill, Stretch, Subscription, Topic},
    switchover::Switchover,
};

#[cfg(test)]
mod tests;

/// Seconds between pings, and how long the answer may take. The clients are told the first.
pub(crate) const PING_INTERVAL_S: u32 = 25;
const PONG_WAIT_S: usize = 8;
/// How long a connection may stay without `connect`, in milliseconds.
const STALE_AFTER_MS: i64 = 25_000;
/// How long past its end a token may be refreshed, in milliseconds.
const EXPIRED_GRACE_MS: i64 = 25_000;
/// Beats between two sums of what waits in the outboxes.
const OUTBOX_BEATS: usize = 5;
const SLOTS: usize = PING_INTERVAL_S as usize;

/// What a shard is told.
pub(crate) enum Mail {
    /// A connection whose WebSocket handshake is done, and what it sent right behind.
    Accept(std::net::TcpStream, bytes::Bytes),
    /// Somebody came to a conversation, or went.
    Signal(Arc<Signal>),
    /// Close every session, spread over this time, then answer.
    Drain(Duration, oneshot::Sender<()>),
}

/// Somebody came or went.
#[derive(Debug)]
pub(crate) struct Signal {
    pub(crate) conversation: ConversationId,
    pub(crate) join: bool,
    pub(crate) info: ClientInfo,
}

/// What all shards share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) sink: SharedSink,
    pub(crate) key: Arc<TokenKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) presence: Arc<Presence>,
    /// The mailboxes of all shards, this one among them.
    pub(crate) shards: Arc<Vec<mpsc::Sender<Mail>>>,
}

/// See the module.
pub(crate) struct Shard {
    pub(crate) around: Surroundings,
    topics: RefCell<HashMap<ConversationId, Rc<Topic>>>,
    /// Sessions by the second of the ping interval in which they are pinged.
    wheel: RefCell<Vec<Vec<Weak<Session>>>>,
    next_slot: Cell<usize>,
    /// Beats so far; one a second.
    beats: Cell<usize>,
    sessions_len: Cell<usize>,
    /// The node stops: who comes now is sent away at once.
    draining: Cell<bool>,
    pub(crate) meters: Meters,
}

impl Shard {
    pub(crate) fn new(around: Surroundings) -> Rc<Self> {
        Rc::new(Self {
            around,
            topics: RefCell::default(),
            wheel: RefCell::new((0..SLOTS).map(|_| Vec::new()).collect()),
            next_slot: Cell::new(0),
            beats: Cell::new(0),
            sessions_len: Cell::new(0),
            draining: Cell::new(false),
            meters: Meters::new(),
        })
    }

    /// Runs until the mailboxes are closed.
    pub(crate) async fn run(
        self: Rc<Self>,
        mut mail: mpsc::Receiver<Mail>,
        mut folded: mpsc::Receiver<Arc<Folded>>,
    ) {
        let mut beat = interval(Duration::from_secs(1));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => self.beat(),
                stretch = folded.recv() => match stretch {
                    Some(stretch) => self.deliver(&stretch),
                    None => return,
                },
                letter = mail.recv() => match letter {
                    Some(letter) => self.take(letter),
                    None => return,
                },
            }
            // However much is to be delivered, the mail has its turn too.
            if let Ok(letter) = mail.try_recv() {
                self.take(letter);
            }
            // The sessions of this thread have their turn between two stretches.
            yield_now().await;
        }
    }

    fn take(self: &Rc<Self>, letter: Mail) {
        match letter {
            Mail::Accept(socket, ahead) => {
                spawn_local(connection::run(Rc::clone(self), socket, ahead));
            }
            Mail::Signal(signal) => self.signal(&signal),
            Mail::Drain(window, done) => {
                spawn_local(Rc::clone(self).drain(window, done));
            }
        }
    }

    // === delivery ===

    /// Hands the events of a stretch to all who are live, then writes once to each.
    pub(crate) fn deliver(self: &Rc<Self>, folded: &Folded) {
        let mut flush: Vec<Rc<Session>> = Vec::new();
        let mut watch = self.meters.watch();
        for (topic, events) in self.watched(folded) {
            // Who is removed gets the removal as the last, not what stands behind it.
            for events in events.split_inclusive(|event| ends_standing(&event.event.body)) {
                let delivering = Watch::begin(events);
                let stretch = Stretch::new(&topic.conversation, events);
                let (mut sessions, mut handed) = (0, 0);
                topic.for_each(|subscription| match subscription.deliver(&stretch) {
                    Delivered::Queued { events, flush: due } => {
                        sessions += 1;
                        handed += events;
                        flush.extend(due.then(|| subscription.session()).flatten());
                    }
                    Delivered::Nothing => {}
                    Delivered::FellBehind => {
                        self.meters.overflows.increment(1);
                        self.fill(subscription);
                    }
                });
                watch.end(events, delivering, sessions, handed);
                if events.last().is_some_and(|event| ends_standing(&event.event.body)) {
                    self.expel(&topic);
                }
            }
        }
        for session in flush {
            session.flush();
        }
        watch.written(self.around.clock.now());
    }

    /// The conversations of a stretch that somebody here is subscribed to, each with its events.
    fn watched<'a>(&self, folded: &'a Folded) -> Vec<(Rc<Topic>, Vec<&'a LiveEvent>)> {
        let topics = self.topics.borrow();
        let mut places: HashMap<&ConversationId, usize> = HashMap::new();
        let mut watched: Vec<(Rc<Topic>, Vec<&LiveEvent>)> = Vec::new();
        for event in &folded.events {
            let Some(topic) = topics.get(&event.event.conversation) else { continue };
            let place = *places.entry(&event.event.conversation).or_insert_with(|| {
                watched.push((Rc::clone(topic), Vec::new()));
                watched.len() - 1
            });
            if let Some((_, events)) = watched.get_mut(place) {
                events.push(event);
            }
        }
        watched
    }

    /// Starts the fill of a subscription that is not live.
    pub(crate) fn fill(self: &Rc<Self>, subscription: &Rc<Subscription>) {
        if !subscription.begin_fill() {
            return;
        }
        let (shard, subscription) = (Rc::clone(self), Rc::clone(subscription));
        spawn_local(async move {
            match subscription.catch_up(&shard.around.mirror).await {
                Fill::Done => {}
                Fill::GivenUp => shard.end_subscription(&subscription, Unsubscribe::INSUFFICIENT_STATE),
                Fill::NotAllowed => shard.end_subscription(&subscription, Unsubscribe::NOT_ALLOWED),
            }
        });
    }

    /// Ends the subscriptions of those who may not read any more.
    fn expel(&self, topic: &Rc<Topic>) {
        let mut expelled = Vec::new();
        topic.for_each(|subscription| {
            if !subscription.may_read() {
                expelled.push(Rc::clone(subscription));
            }
        });
        for subscription in expelled {
            self.end_subscription(&subscription, Unsubscribe::NOT_ALLOWED);
        }
    }

    /// Ends one subscription and tells the client. The state is gone before the push is written, since the client
    /// may subscribe again at once.
    fn end_subscription(&self, subscription: &Rc<Subscription>, why: Unsubscribe) {
        let Some(session) = subscription.session() else { return };
        let conversation = &subscription.topic().conversation;
        let current = session.subscription(conversation);
        if current.is_some_and(|current| Rc::ptr_eq(&current, subscription)) {
            self.unsubscribe(&session, conversation);
            session.send(reply::unsubscribe(conversation.as_str(), why));
        }
    }

    // === subscriptions ===

    /// The conversation as a topic of this shard, brought into use.
    pub(crate) async fn topic(&self, conversation: &ConversationId) -> Result<Rc<Topic>, MirrorError> {
        if let Some(topic) = self.topics.borrow().get(conversation) {
            return Ok(Rc::clone(topic));
        }
        let tracked = self.around.mirror.track(conversation).await?;
        // Another session may have come first while this one waited; it is the topic only once somebody subscribes.
        let known = self.topics.borrow().get(conversation).cloned();
        Ok(known.unwrap_or_else(|| Rc::new(Topic::new(conversation.clone(), tracked))))
    }

    /// Registers a subscription: from here on it is offered what is folded.
    pub(crate) fn subscribe(
        &self,
        session: &Rc<Session>,
        topic: Rc<Topic>,
        join_leave: bool,
        switchover: Switchover,
    ) -> Rc<Subscription> {
        let conversation = topic.conversation.clone();
        let topic = Rc::clone(self.topics.borrow_mut().entry(conversation.clone()).or_insert(topic));
        let subscription = Subscription::new(session, Rc::clone(&topic), join_leave, switchover);
        topic.add(Rc::clone(&subscription));
        self.meters.subscriptions.increment(1);
        session.keep(conversation, Rc::clone(&subscription));
        subscription
    }

    /// Tells everybody that the session is here now.
    pub(crate) fn announce(&self, session: &Session, conversation: &ConversationId) {
        let Some(subscription) = session.subscription(conversation) else { return };
        subscription.announce();
        self.around.presence.enter(conversation, session.info());
        self.broadcast(conversation, true, session.info());
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn unsubscribe(&self, session: &Session, conversation: &ConversationId) {
        let Some(subscription) = session.forget(conversation) else { return };
        subscription.end();
        self.meters.subscriptions.decrement(1);
        if subscription.topic().remove(&subscription) {
            self.topics.borrow_mut().remove(conversation);
        }
        if subscription.is_announced() {
            self.around.presence.leave(conversation, session.client());
            self.broadcast(conversation, false, session.info());
        }
    }

    fn broadcast(&self, conversation: &ConversationId, join: bool, info: ClientInfo) {
        let signal = Arc::new(Signal { conversation: conversation.clone(), join, info });
        for shard in self.around.shards.iter() {
            // Who is here is asked again when it matters; a full mailbox must not hold up this thread.
            if shard.try_send(Mail::Signal(Arc::clone(&signal))).is_err() {
                tracing::debug!("a shard's mailbox is full; a join or leave was not announced there");
            }
        }
    }

    fn signal(&self, signal: &Signal) {
        let topic = self.topics.borrow().get(&signal.conversation).cloned();
        let Some(topic) = topic else { return };
        let frame = reply::signal(signal.conversation.as_str(), signal.join, &signal.info);
        let mut flush = Vec::new();
        topic.for_each(|subscription| {
            let Some(session) = subscription.session() else { return };
            let others = session.client() != signal.info.client;
            // A subscription that is catching up has other worries, and signals may be left out.
            if others && subscription.wants_signals() && session.has_room_for(frame.len()) {
                session.push(frame.clone());
                flush.push(session);
            }
        });
        for session in flush {
            session.flush();
        }
    }

    // === sessions ===

    /// A session begins.
    pub(crate) fn admit(&self, session: &Rc<Session>) {
        let slot = self.next_slot.get();
        // Spread over the interval, whatever rhythm they come in.
        self.next_slot.set((slot + 7) % SLOTS);
        if let Some(sessions) = self.wheel.borrow_mut().get_mut(slot) {
            sessions.push(Rc::downgrade(session));
        }
        self.sessions_len.set(self.sessions_len.get() + 1);
        self.meters.sessions.increment(1);
        if self.draining.get() {
            session.end(Disconnect::SHUTDOWN);
        }
    }

    /// A session is over.
    pub(crate) fn dismiss(&self, session: &Rc<Session>) {
        for conversation in session.conversations() {
            self.unsubscribe(session, &conversation);
        }
        self.sessions_len.set(self.sessions_len.get() - 1);
        self.meters.ended(session);
    }

    /// Once a second: pings those whose turn it is, and ends those that did not answer, did not connect, or whose token ended.
    fn beat(&self) {
        let now = self.around.clock.now();
        let turn = self.beats.get() % SLOTS;
        self.beats.set(self.beats.get() + 1);
        if self.beats.get().is_multiple_of(OUTBOX_BEATS) {
            let waiting = self
                .wheel
                .borrow()
                .iter()
                .flatten()
                .filter_map(Weak::upgrade)
                .map(|session| session.waiting_len())
                .sum();
            self.meters.outbox(waiting);
        }
        let due = (turn + SLOTS - PONG_WAIT_S) % SLOTS;
        self.each_in_slot(due, |session| {
            if session.owes_pong() {
                session.end(Disconnect::NO_PONG);
            }
        });
        self.each_in_slot(turn, |session| match session.standing() {
            Standing::Connected(Identity { expires_at, .. }) => {
                let over = |at: schemas::Timestamp| now.as_millis() > at.as_millis() + EXPIRED_GRACE_MS;
                if expires_at.is_some_and(over) {
                    session.end(Disconnect::EXPIRED);
                } else {
                    session.ping(reply::ping());
                }
            }
            Standing::New | Standing::Rejected => {
                if now.as_millis() - session.born().as_millis() > STALE_AFTER_MS {
                    session.end(Disconnect::STALE);
                }
            }
        });
    }

    fn each_in_slot(&self, slot: usize, each: impl Fn(&Session)) {
        let mut wheel = self.wheel.borrow_mut();
        let Some(sessions) = wheel.get_mut(slot) else { return };
        sessions.retain(|session| match session.upgrade() {
            Some(session) => {
                each(&session);
                true
            }
            None => false,
        });
    }

    /// Closes all sessions, one after another over the window, so that they do not all come back at once.
    async fn drain(self: Rc<Self>, window: Duration, done: oneshot::Sender<()>) {
        self.draining.set(true);
        let sessions: Vec<_> = self.wheel.borrow().iter().flatten().filter_map(Weak::upgrade).collect();
        let begun = Instant::now();
        let len = u32::try_from(sessions.len()).unwrap_or(u32::MAX).max(1);
        for (turn, session) in (0u32..).zip(sessions) {
            let due = window.mul_f64(f64::from(turn) / f64::from(len));
            if let Some(pause) = due.checked_sub(begun.elapsed()) {
                sleep(pause).await;
            }
            session.end(Disconnect::SHUTDOWN);
        }
        while self.sessions_len.get() > 0 && begun.elapsed() < window + connection::FAREWELL_WAIT {
            sleep(Duration::from_millis(10)).await;
        }
        // Who asked may have given up waiting.
        let _ = done.send(());
    }
}

/// After such an event somebody may not read any more.
fn ends_standing(body: &EventBody) -> bool {
    matches!(body, EventBody::MemberRemoved(_) | EventBody::MemberLeft(_) | EventBody::MemberRenamed(_))
}
