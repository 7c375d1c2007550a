//! Pings and the ends of sessions, beat by beat.

use kernel::{
    clock::Clock,
    identity::SubscriptionGrant,
    testing::{World, created},
};
use schemas::{ConversationId, Position};
use tokio::task::LocalSet;

use super::*;
use crate::{
    outbox::Limits,
    protocol::Form,
    sim::{Node, Pipe},
    switchover::Switchover,
};

struct Room {
    world: World,
    node: Node,
}

impl Room {
    async fn new() -> Self {
        let world = World::new(1);
        let node = Node::start(&world).await;
        Self { world, node }
    }

    fn session(&self, standing: Standing) -> (Rc<Session>, Rc<Pipe>) {
        let pipe = Rc::new(Pipe::default());
        pipe.room.set(1 << 20);
        let born = self.world.clock.now();
        let wire = Box::new(Rc::clone(&pipe));
        let session = Session::new("s".parse().unwrap(), Form::Json, wire, Limits::default(), born);
        session.set_standing(standing);
        self.node.shard.admit(&session);
        (session, pipe)
    }

    /// So many seconds pass.
    fn pass(&self, seconds: usize, mut each: impl FnMut()) {
        for _ in 0..seconds {
            self.world.clock.advance(1_000);
            self.node.shard.beat();
            each();
        }
    }
}

fn ann(expires_at: Option<Timestamp>) -> Standing {
    Standing::Connected(Identity { user: "ann".parse().unwrap(), admin: false, expires_at })
}

fn pings(pipe: &Pipe) -> usize {
    pipe.bytes.borrow().windows(4).filter(|bytes| *bytes == Form::Json.ping()).count()
}

async fn with_room(test: impl AsyncFnOnce(Room)) {
    LocalSet::new().run_until(async { test(Room::new().await).await }).await;
}

#[tokio::test]
async fn every_session_is_pinged_once_an_interval_and_stays_while_it_answers() {
    with_room(async |room| {
        let sessions: Vec<_> = (0..60).map(|_| room.session(ann(None))).collect();
        room.pass(3 * SLOTS, || sessions.iter().for_each(|(session, _)| session.ponged()));
        for (session, pipe) in &sessions {
            assert_eq!(pings(pipe), 3);
            assert_eq!(session.over(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_does_not_answer_is_ended_when_the_wait_is_over() {
    with_room(async |room| {
        let (session, pipe) = room.session(ann(None));
        while pings(&pipe) == 0 {
            room.pass(1, || {});
        }
        room.pass(PONG_WAIT_S - 1, || {});
        assert_eq!(session.over(), None);
        room.pass(1, || {});
        assert_eq!(session.over(), Some(Disconnect::NO_PONG));
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_never_connects_is_ended() {
    with_room(async |room| {
        let (session, pipe) = room.session(Standing::New);
        room.pass(24, || {});
        assert_eq!(session.over(), None);
        room.pass(2 * SLOTS, || {});
        assert_eq!(session.over(), Some(Disconnect::STALE));
        assert_eq!(pings(&pipe), 0);
    })
    .await;
}

#[tokio::test]
async fn a_token_that_ended_may_be_refreshed_for_a_while() {
    with_room(async |room| {
        let in_seconds =
            |s: i64| Some(Timestamp::from_millis(room.world.clock.now().as_millis() + s * 1_000));
        let (session, _pipe) = room.session(ann(in_seconds(1)));
        let (refreshed, _pipe) = room.session(ann(in_seconds(1)));
        let answer = || {
            session.ponged();
            refreshed.ponged();
        };
        room.pass(SLOTS, answer);
        assert_eq!(session.over(), None);
        refreshed.set_standing(ann(in_seconds(600)));
        room.pass(2 * SLOTS, answer);
        assert_eq!(session.over(), Some(Disconnect::EXPIRED));
        assert_eq!(refreshed.over(), None);
    })
    .await;
}

#[tokio::test]
async fn a_subscription_whose_token_ended_may_be_refreshed_for_a_while_and_then_begins_anew() {
    with_room(async |room| {
        let (tea, cake): (ConversationId, ConversationId) = ("tea".parse().unwrap(), "cake".parse().unwrap());
        let (session, pipe) = room.session(ann(None));
        for (conversation, seconds) in [(&tea, 1), (&cake, 600)] {
            room.world.append(&created(conversation.as_str())).await;
            let shard = &room.node.shard;
            let topic = shard.topic(conversation).await.unwrap();
            let subscription = shard.subscribe(&session, topic, false, Switchover::live(Position::START));
            let expires_at = Timestamp::from_millis(room.world.clock.now().as_millis() + seconds * 1_000);
            let grant =
                SubscriptionGrant { conversation: conversation.clone(), expires_at: Some(expires_at) };
            subscription.set_grant(Some(grant));
        }
        let unsubscribed = || {
            let sent = pipe.bytes.borrow();
            let sent = String::from_utf8_lossy(&sent);
            assert!(!sent.contains("cake"), "{sent}");
            sent.contains(r#""channel":"tea","unsubscribe":{"code":2501,"reason":"subscription expired"}"#)
        };
        room.pass(SLOTS, || session.ponged());
        assert!(session.subscription(&tea).is_some() && !unsubscribed());
        room.pass(2 * SLOTS, || {
            session.ponged();
            // Whoever is told may subscribe again at once.
            assert_eq!(unsubscribed(), session.subscription(&tea).is_none());
        });
        assert!(unsubscribed());
        assert!(session.subscription(&cake).is_some());
        assert_eq!(session.over(), None);
    })
    .await;
}
