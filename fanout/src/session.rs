//! One connected client: who it is, what it is subscribed to, what waits to be written to it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io::{self, IoSlice},
    rc::Rc,
};

use bytes::Bytes;
use kernel::identity::Identity;
use schemas::{ConversationId, SessionId, Timestamp, signal};
use tokio::{
    net::TcpStream,
    sync::{Notify, Semaphore, SemaphorePermit},
    time::Instant,
};

use crate::{
    inbox::Opened,
    outbox::{Limits, Outbox, Wire},
    protocol::{Disconnect, Form, Outcome, Reply},
    subscription::Subscription,
    typing::Pace,
};

mod pings;

impl Wire for Rc<TcpStream> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            // The system need not look for more of them.
            [one] => TcpStream::try_write(self, one),
            _ => self.try_write_vectored(slices),
        }
    }
}

/// What the session's `connect` led to.
#[derive(Debug, Clone)]
pub(crate) enum Standing {
    /// None came yet.
    New,
    /// It was refused; whatever else was sent with it is ignored.
    Rejected,
    /// The client is this person.
    Connected(Identity),
}

/// See the module. Lives on the thread of its shard.
pub(crate) struct Session {
    client: SessionId,
    form: Form,
    standing: RefCell<Standing>,
    subscriptions: RefCell<HashMap<ConversationId, Rc<Subscription>>>,
    outbox: RefCell<Outbox<Box<dyn Wire>>>,
    /// Nothing is written until the first reply is there.
    held: Cell<bool>,
    /// More replies follow at once.
    gathers: Cell<bool>,
    /// Something waits in the outbox that the socket did not take.
    blocked: Cell<bool>,
    became_blocked: Notify,
    /// The outbox has room for another page.
    drained: Notify,
    /// The one turn that its fills take.
    fills: Semaphore,
    over: Cell<Option<Disconnect>>,
    ended: Notify,
    awaiting_pong: Cell<bool>,
    /// What the client sends is read; in a stream there is nothing.
    listens: Cell<bool>,
    /// Bytes went out since the last ping.
    took_bytes: Cell<bool>,
    born: Timestamp,
    typing: RefCell<Pace>,
    inbox: RefCell<Option<Opened>>,
}

impl Session {
    pub(crate) fn new(
        client: SessionId,
        form: Form,
        wire: Box<dyn Wire>,
        limits: Limits,
        born: Timestamp,
    ) -> Rc<Self> {
        Rc::new(Self {
            client,
            form,
            standing: RefCell::new(Standing::New),
            subscriptions: RefCell::default(),
            outbox: RefCell::new(Outbox::new(wire, limits)),
            held: Cell::new(false),
            gathers: Cell::new(false),
            blocked: Cell::new(false),
            became_blocked: Notify::new(),
            drained: Notify::new(),
            fills: Semaphore::new(1),
            over: Cell::new(None),
            ended: Notify::new(),
            awaiting_pong: Cell::new(false),
            listens: Cell::new(form != Form::EventStream),
            took_bytes: Cell::new(false),
            born,
            typing: RefCell::default(),
            inbox: RefCell::default(),
        })
    }

    /// The name of the session, fresh for each connection.
    pub(crate) fn client(&self) -> &str {
        self.client.as_str()
    }

    /// How messages to it are written.
    pub(crate) fn form(&self) -> Form {
        self.form
    }

    pub(crate) fn born(&self) -> Timestamp {
        self.born
    }

    pub(crate) fn standing(&self) -> Standing {
        self.standing.borrow().clone()
    }

    pub(crate) fn set_standing(&self, standing: Standing) {
        *self.standing.borrow_mut() = standing;
    }

    pub(crate) fn identity(&self) -> Option<Identity> {
        match &*self.standing.borrow() {
            Standing::Connected(identity) => Some(identity.clone()),
            Standing::New | Standing::Rejected => None,
        }
    }

    /// How others are told of this session; `None`: it is nobody's yet.
    pub(crate) fn here(&self) -> Option<signal::Session> {
        Some(signal::Session { user: self.identity()?.user, client: self.client.clone() })
    }

    /// Whether others are to be told now that it types, or stopped; they are not if they were a moment ago.
    pub(crate) fn may_tell_of_typing(
        &self,
        conversation: &ConversationId,
        typing: bool,
        now: Instant,
    ) -> bool {
        self.typing.borrow_mut().passes(conversation, typing, now)
    }

    // === what is written ===

    /// Writes the answer to the command `id`.
    pub(crate) fn reply(&self, id: u32, outcome: Outcome) {
        self.send(self.form.reply(Reply::to(id, outcome)));
    }

    /// From now on whatever is to be written waits, up to the bounds of the outbox.
    pub(crate) fn hold(&self) {
        self.held.set(true);
    }

    /// From now on what is written waits, for more is to come in the same turn.
    pub(crate) fn gather(&self) {
        self.gathers.set(true);
    }

    /// Writes what was gathered, several frames in one write.
    pub(crate) fn write_gathered(&self) {
        self.gathers.set(false);
        if self.waiting_len() > 0 {
            self.flush();
        }
    }

    /// Drops what was held: it belongs to an answer that will not be given.
    pub(crate) fn drop_held(&self) {
        self.outbox.borrow_mut().clear();
    }

    /// Writes the answer to the command `id`, and then what was held.
    pub(crate) fn release(&self, id: u32, outcome: Outcome) {
        self.held.set(false);
        self.outbox.borrow_mut().push_next(self.form.reply(Reply::to(id, outcome)));
        self.flush();
        // A fill may have begun meanwhile and wait for room.
        self.tell_of_room();
    }

    /// Writes a frame, behind what waits.
    pub(crate) fn send(&self, frame: Bytes) {
        self.push(frame);
        self.flush();
    }

    /// Adds a frame without writing it yet; says whether nothing waited before, so that [`Session::flush`] is due.
    pub(crate) fn push(&self, frame: Bytes) -> bool {
        self.outbox.borrow_mut().push(frame)
    }

    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        self.outbox.borrow().has_room_for(len)
    }

    /// Writes what the socket takes. What it does not take is written by [`Session::unblocked`].
    pub(crate) fn flush(&self) {
        if !self.has_to_wait() {
            self.write();
        }
    }

    /// Writes a frame behind what waits, like [`Session::send`], but shares it only if it has to wait.
    pub(crate) fn deliver(&self, frame: &Bytes) {
        if self.has_to_wait() {
            self.push(frame.clone());
            return;
        }
        let written = self.outbox.borrow_mut().write(frame);
        self.wrote(&written);
    }

    fn has_to_wait(&self) -> bool {
        self.held.get() || self.gathers.get() || self.blocked.get() || self.over.get().is_some()
    }

    /// The socket may take more now.
    pub(crate) fn unblocked(&self) {
        self.took_bytes.set(true);
        self.write();
        self.tell_of_room();
    }

    fn tell_of_room(&self) {
        if self.takes_a_page() {
            self.drained.notify_waiters();
        }
    }

    fn write(&self) {
        let written = self.outbox.borrow_mut().flush();
        self.wrote(&written);
    }

    /// What came of writing: whether nothing waits any more.
    fn wrote(&self, written: &io::Result<bool>) {
        match written {
            Ok(empty) => {
                self.blocked.set(!empty);
                if !empty {
                    self.became_blocked.notify_one();
                }
            }
            Err(_) => self.end(Disconnect::WRITE_ERROR),
        }
    }

    /// Writes on although the session is over; says whether all is out.
    pub(crate) fn write_out(&self) -> io::Result<bool> {
        self.outbox.borrow_mut().flush()
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked.get()
    }

    /// Resolves when something waits that the socket did not take.
    pub(crate) async fn blocked(&self) {
        self.became_blocked.notified().await;
    }

    /// Whether so little waits that a page, or the reply to a command, may come.
    pub(crate) fn takes_a_page(&self) -> bool {
        self.outbox.borrow().is_low()
    }

    /// Bytes that wait to be written.
    pub(crate) fn waiting_len(&self) -> usize {
        self.outbox.borrow().len()
    }

    /// Resolves when the outbox has room for another page, or the session is over.
    pub(crate) async fn room_for_a_page(&self) {
        loop {
            let drained = self.drained.notified();
            if self.over.get().is_some() || self.takes_a_page() {
                return;
            }
            drained.await;
        }
    }

    /// Resolves when it is the turn of one of its fills and there is room for its page, or the session is over. Were all told of the
    /// room, each would read a page, and the first of them leave none for the others.
    pub(crate) async fn turn_to_fill(&self) -> Option<SemaphorePermit<'_>> {
        let turn = self.fills.acquire().await.ok();
        self.room_for_a_page().await;
        turn
    }

    // === how it ends ===

    /// Ends the session; the first reason counts.
    pub(crate) fn end(&self, why: Disconnect) {
        if self.over.get().is_none() {
            self.over.set(Some(why));
            self.ended.notify_waiters();
            self.drained.notify_waiters();
            self.fills.close();
        }
    }

    pub(crate) fn over(&self) -> Option<Disconnect> {
        self.over.get()
    }

    /// Resolves when the session is over.
    pub(crate) async fn ended(&self) -> Disconnect {
        loop {
            let ended = self.ended.notified();
            if let Some(why) = self.over.get() {
                return why;
            }
            ended.await;
        }
    }

    // === what it is subscribed to ===

    pub(crate) fn subscription(&self, conversation: &ConversationId) -> Option<Rc<Subscription>> {
        self.subscriptions.borrow().get(conversation).cloned()
    }

    pub(crate) fn subscriptions_len(&self) -> usize {
        self.subscriptions.borrow().len()
    }

    pub(crate) fn keep(&self, conversation: ConversationId, subscription: Rc<Subscription>) {
        self.subscriptions.borrow_mut().insert(conversation, subscription);
    }

    pub(crate) fn forget(&self, conversation: &ConversationId) -> Option<Rc<Subscription>> {
        self.subscriptions.borrow_mut().remove(conversation)
    }

    /// From now on its person's inbox is kept up to date for it, or is no more; gives what was before.
    pub(crate) fn set_inbox(&self, opened: Option<Opened>) -> Option<Opened> {
        self.inbox.replace(opened)
    }

    /// The subscriptions whose token ended before that moment.
    pub(crate) fn over_before(&self, moment: Timestamp) -> Vec<Rc<Subscription>> {
        let subscriptions = self.subscriptions.borrow();
        subscriptions.values().filter(|subscription| subscription.was_over(moment)).cloned().collect()
    }

    /// The subscriptions whose conversation its person may not read, as far as this node knows.
    pub(crate) fn forbidden(&self) -> Vec<Rc<Subscription>> {
        let subscriptions = self.subscriptions.borrow();
        subscriptions.values().filter(|subscription| !subscription.may_read()).cloned().collect()
    }

    /// Every conversation it is subscribed to.
    pub(crate) fn conversations(&self) -> Vec<ConversationId> {
        self.subscriptions.borrow().keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
