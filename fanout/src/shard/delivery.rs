//! Delivery: what was folded, to the subscriptions of this thread.
//!
//! Invariant: each event goes to all who are live in one turn, and each session is written to once for a stretch: at once if only one
//! of its conversations can be in it, else when all are handed over. Who falls behind is taken out of it and caught up by a fill of its own.

use std::{collections::HashMap, rc::Rc};

use kernel::mirror::{Folded, LiveEvent};
use schemas::{ConversationId, EventBody};
use tokio::task::spawn_local;

use super::Shard;
use crate::{
    meters::Watch,
    protocol::{Disconnect, Form, Push, Unsubscribe},
    session::Session,
    subscription::{Delivered, Fill, Stretch, Subscription, Topic},
};

impl Shard {
    /// Hands the events of a stretch to all who are live, then writes once to each.
    pub(crate) fn deliver(self: &Rc<Self>, folded: &Folded) {
        let mut flush: Vec<Rc<Session>> = Vec::new();
        let mut watch = self.meters.watch();
        let watched = self.watched(folded);
        let alone = watched.len() == 1;
        for (topic, events) in watched {
            // Who is removed gets the removal as the last, not what stands behind it.
            for events in events.split_inclusive(|event| ends_standing(&event.event.body)) {
                let delivering = Watch::begin(events);
                let stretch = Stretch::new(&topic, events);
                let (mut sessions, mut handed) = (0, 0);
                topic.for_each(|subscription| match subscription.deliver(&stretch, alone) {
                    Delivered::Sent { events, flush: due } => {
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
    pub(crate) fn end_subscription(&self, subscription: &Rc<Subscription>, why: Unsubscribe) {
        let Some(session) = subscription.session() else { return };
        let conversation = &subscription.topic().conversation;
        let current = session.subscription(conversation);
        if current.is_some_and(|current| Rc::ptr_eq(&current, subscription)) {
            self.unsubscribe(&session, conversation);
            session.send(session.form().push(Push::unsubscribe(conversation.as_str(), why)));
            if session.form() == Form::EventStream {
                // It was all there is to it.
                session.end(Disconnect::NORMAL);
            }
        }
    }
}

/// After such an event somebody may not read any more.
fn ends_standing(body: &EventBody) -> bool {
    matches!(body, EventBody::MemberRemoved(_) | EventBody::MemberLeft(_) | EventBody::MemberRenamed(_))
}
