//! A shard: one thread with its sessions, their subscriptions, and nothing shared with other threads but its
//! mailboxes. No locks, and no wake-up from another thread per delivery.
//!
//! - here: the mail, the subscriptions, and who is told of whom;
//! - `delivery`: what was folded, to the subscriptions;
//! - `inboxes`: what is new, to those who have their inbox open;
//! - `wheel`: the sessions, their pings and their ends.

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
    identity::Tokens,
    mirror::{Folded, Mirror, MirrorError},
};
use schemas::{ConversationId, UserId};
use tokio::{
    sync::{mpsc, oneshot},
    task::{spawn_local, yield_now},
    time::{MissedTickBehavior, interval},
};

use crate::{
    connection,
    inbox::{Inboxes, News},
    meters::Meters,
    notice::Notice,
    presence::Presence,
    protocol::{Form, PerForm},
    session::Session,
    stream,
    subscription::{Subscription, Topic},
    switchover::Switchover,
};

mod delivery;
mod inboxes;
mod wheel;

use wheel::SLOTS;

/// Seconds between pings, as the clients are told.
pub(crate) const PING_INTERVAL_S: u32 = 25;

/// What a shard is told.
pub(crate) enum Mail {
    /// Somebody connected.
    Accept(Arrival),
    /// Somebody wants a stream.
    Stream(Box<stream::Ask>),
    /// Something about other sessions.
    Notice(Arc<Notice>),
    /// What is new for some people.
    News(Arc<[(UserId, News)]>),
    /// Close every session, spread over this time, then answer.
    Drain(Duration, oneshot::Sender<()>),
}

/// A connection whose handshake is done.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: std::net::TcpStream,
    /// What was read of it already.
    pub(crate) ahead: bytes::Bytes,
    /// What was agreed on.
    pub(crate) form: Form,
}

/// What all shards share.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) mirror: Arc<Mirror>,
    pub(crate) sink: SharedSink,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) inboxes: Arc<Inboxes>,
}

/// See the module.
pub(crate) struct Shard {
    pub(crate) around: Surroundings,
    topics: RefCell<HashMap<ConversationId, Rc<Topic>>>,
    /// Sessions with an open inbox, by person.
    inboxes: RefCell<HashMap<UserId, Vec<Weak<Session>>>>,
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
            inboxes: RefCell::default(),
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
            Mail::Accept(arrival) => {
                spawn_local(connection::run(Rc::clone(self), arrival));
            }
            Mail::Stream(ask) => {
                spawn_local(stream::run(Rc::clone(self), *ask));
            }
            Mail::Notice(notice) => self.notify(&notice),
            Mail::News(news) => self.tell_news(&news),
            Mail::Drain(window, done) => {
                spawn_local(Rc::clone(self).drain(window, done));
            }
        }
    }

    /// The conversation as a topic of this shard, brought into use.
    pub(crate) async fn topic(&self, conversation: &ConversationId) -> Result<Rc<Topic>, MirrorError> {
        if let Some(topic) = self.topics.borrow().get(conversation) {
            return Ok(Rc::clone(topic));
        }
        let tracked = self.around.mirror.track(conversation).await?;
        // Another session may have come first while this one waited; it is the topic only once somebody subscribes.
        let known = self.topics.borrow().get(conversation).cloned();
        Ok(known.unwrap_or_else(|| {
            Rc::new(Topic::new(conversation.clone(), self.around.mirror.epoch(), tracked))
        }))
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
        if let Some(here) = session.here() {
            self.around.presence.enter(conversation, here);
        }
    }

    /// Ends a subscription, if there is one.
    pub(crate) fn unsubscribe(&self, session: &Session, conversation: &ConversationId) {
        let Some(subscription) = session.forget(conversation) else { return };
        subscription.end();
        self.meters.subscriptions.decrement(1);
        if subscription.topic().remove(&subscription) {
            self.topics.borrow_mut().remove(conversation);
        }
        if subscription.is_announced()
            && let Some(here) = session.here()
        {
            self.around.presence.leave(conversation, here);
        }
    }

    /// Ends all subscriptions of a session, its inbox among them.
    pub(crate) fn unsubscribe_all(&self, session: &Session) {
        for conversation in session.conversations() {
            self.unsubscribe(session, &conversation);
        }
        self.close_inbox(session);
    }

    /// Tells those who want to know it and have room for it.
    fn notify(&self, notice: &Notice) {
        let topic = self.topics.borrow().get(&notice.conversation).cloned();
        let Some(topic) = topic.filter(|topic| topic.may_want(notice.what)) else { return };
        let frames = PerForm::default();
        let mut flush = Vec::new();
        topic.for_each(|subscription| {
            let Some(session) = subscription.session() else { return };
            if !subscription.wants(notice.what) || notice.is_about(session.client()) {
                return;
            }
            let frames = frames.get(session.form(), || notice.frames(session.form()));
            // A subscription that is catching up has other worries, and notices may be left out.
            if session.has_room_for(frames.len()) {
                session.push(frames.clone());
                flush.push(session);
            }
        });
        for session in flush {
            session.flush();
        }
    }
}
