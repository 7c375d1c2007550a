//! Who is here: the sessions subscribed to each conversation, over all shards of this process and all nodes.
//!
//! ```text
//!   shard: enter, leave, typing ──► register ──► signals ──► other nodes
//!                                     │ ▲
//!             notices to all shards ◄─┘ └── hear ◄── signals of other nodes, in one task
//! ```
//!
//! - `register`: who is where, pure;
//! - `attend`: the task that hears the others, and repeats who is here.
//!
//! Invariants: what a client knows is what `presence` answered, and the joins and leaves since; of those it may miss some when it is
//! slow. Signals about who is here are published while the register is locked, so none is overtaken by one that it contradicts.
//! The lock is held for the length of one signal, or of one answer.

use std::{collections::BTreeMap, sync::Arc};

use kernel::{metric, signals::SharedSignals};
use metrics::Gauge;
use parking_lot::Mutex;
use schemas::{
    ConversationId, Signal, SignalBody,
    signal::{Asked, Came, Here, Session, Typing, Went},
};
use tokio::{sync::mpsc, time::Instant};

use crate::{
    notice::{Notice, What},
    protocol::ClientInfo,
    shard::Mail,
};

mod attend;
mod register;
#[cfg(test)]
mod tests;

pub(crate) use attend::attend;

use register::{Heard, Limits, Register};

/// See the module.
#[derive(Debug)]
pub(crate) struct Presence {
    register: Mutex<Register>,
    signals: SharedSignals,
    /// The mailboxes of all shards.
    shards: Arc<Vec<mpsc::Sender<Mail>>>,
    meters: Meters,
}

struct Meters {
    own: Gauge,
    others: Gauge,
}

impl Presence {
    pub(crate) fn new(signals: SharedSignals, shards: Arc<Vec<mpsc::Sender<Mail>>>) -> Self {
        let of = |whose| metric::PRESENCE.gauge_of([whose]);
        let meters = Meters { own: of("own"), others: of("others") };
        Self { register: Mutex::new(Register::new(Limits::default())), signals, shards, meters }
    }

    /// A session of this node is here from now on.
    pub(crate) fn enter(&self, conversation: &ConversationId, session: Session) {
        {
            let mut register = self.register.lock();
            register.enter(conversation, session.clone());
            let came = Came { conversation: conversation.clone(), session: session.clone() };
            self.signals.publish(SignalBody::Came(came));
        }
        self.tell(Notice::one(conversation, What::Came, session));
    }

    /// A session of this node is gone.
    pub(crate) fn leave(&self, conversation: &ConversationId, session: Session) {
        {
            let mut register = self.register.lock();
            if !register.leave(conversation, &session.client) {
                return;
            }
            let went = Went { conversation: conversation.clone(), session: session.clone() };
            self.signals.publish(SignalBody::Went(went));
        }
        self.tell(Notice::one(conversation, What::Went, session));
    }

    /// A session of this node begins to type, types on, or stops.
    pub(crate) fn typing(&self, conversation: &ConversationId, session: Session, typing: bool) {
        let told = Typing { conversation: conversation.clone(), session: session.clone(), typing };
        self.signals.publish(SignalBody::Typing(told));
        self.tell(Notice::one(conversation, What::Typing(typing), session));
    }

    /// The sessions that are here, by client id.
    pub(crate) fn list(&self, conversation: &ConversationId) -> BTreeMap<String, ClientInfo> {
        let sessions = self.register.lock().list(conversation);
        let by_client = |session: &Session| (session.client.as_str().to_owned(), ClientInfo::from(session));
        sessions.iter().map(by_client).collect()
    }

    /// How many sessions, and how many people, are here.
    pub(crate) fn count(&self, conversation: &ConversationId) -> (u32, u32) {
        let (sessions, users) = self.register.lock().count(conversation);
        let counted = |len| u32::try_from(len).unwrap_or(u32::MAX);
        (counted(sessions), counted(users))
    }

    /// Waits until the other nodes are told what there was to tell, if they can be reached.
    pub(crate) async fn flush(&self) {
        self.signals.flush().await;
    }

    /// This node has begun, and wants to know who is where.
    fn ask(&self) {
        self.signals.publish(SignalBody::Asked(Asked {}));
    }

    /// What another node tells.
    fn hear(&self, signal: &Signal) {
        match &signal.body {
            SignalBody::Came(Came { conversation, session }) => {
                self.hear_of(conversation, std::slice::from_ref(session));
            }
            SignalBody::Here(Here { conversation, sessions }) => self.hear_of(conversation, sessions),
            SignalBody::Went(Went { conversation, session }) => {
                let (known, attended) = {
                    let mut register = self.register.lock();
                    (register.forget(conversation, &session.client), register.is_attended(conversation))
                };
                if known && attended {
                    self.tell(Notice::one(conversation, What::Went, session.clone()));
                }
            }
            SignalBody::Typing(Typing { conversation, session, typing }) => {
                if self.register.lock().is_attended(conversation) {
                    self.tell(Notice::one(conversation, What::Typing(*typing), session.clone()));
                }
            }
            SignalBody::Asked(Asked {}) => {}
        }
    }

    fn hear_of(&self, conversation: &ConversationId, sessions: &[Session]) {
        let (Heard { new, turned_away }, attended) = {
            let mut register = self.register.lock();
            let heard = register.hear(conversation, sessions, Instant::now());
            (heard, register.is_attended(conversation))
        };
        if turned_away > 0 {
            tracing::debug!(conversation.id = %conversation, turned_away, "not all who are present are remembered");
        }
        if attended {
            self.tell(Notice { conversation: conversation.clone(), what: What::Came, sessions: new });
        }
    }

    /// Repeats who is here, in one part of the round.
    fn repeat(&self, part: usize) {
        let conversations = self.register.lock().part(part);
        for conversation in conversations {
            let mut last: Option<Session> = None;
            loop {
                let register = self.register.lock();
                let sessions = register.own(&conversation, last.as_ref().map(|last| &last.client));
                let Some(end) = sessions.last() else { break };
                last = Some(end.clone());
                self.signals.publish(SignalBody::Here(Here { conversation: conversation.clone(), sessions }));
            }
        }
        let (own, others) = self.register.lock().len();
        self.meters.own.set(number(own));
        self.meters.others.set(number(others));
    }

    fn next_look(&self) -> Option<Instant> {
        self.register.lock().next_look()
    }

    /// Forgets those of other nodes that were not heard of for too long.
    fn expire(&self) {
        let now = Instant::now();
        loop {
            let (conversation, gone, attended) = {
                let mut register = self.register.lock();
                let Some((conversation, gone)) = register.expire(now) else { return };
                let attended = register.is_attended(&conversation);
                (conversation, gone, attended)
            };
            if attended {
                self.tell(Notice { conversation, what: What::Went, sessions: gone });
            }
        }
    }

    fn tell(&self, notice: Notice) {
        for notice in notice.pieces().map(Arc::new) {
            for shard in self.shards.iter() {
                // Who is here is asked again when it matters; a full mailbox must not hold up this thread.
                if shard.try_send(Mail::Notice(Arc::clone(&notice))).is_err() {
                    tracing::debug!("a shard's mailbox is full; something was not told there");
                }
            }
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

#[expect(clippy::cast_precision_loss, reason = "sessions in memory are below 2^53")]
fn number(len: usize) -> f64 {
    len as f64
}
