//! Pings and the ends of sessions, beat by beat.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use kernel::{
    clock::Clock,
    command::{Accepted, CommandError, CommandSink, Request},
    identity::SubscriptionGrant,
    testing::{World, created},
};
use schemas::{ConversationId, Position};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::{LocalSet, spawn_local},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::*;
use crate::{
    connection::PIPELINE_LEN_MAX,
    outbox::Limits,
    protocol::Form,
    shard::Arrival,
    sim::{Node, Pipe},
    switchover::Switchover,
};

/// Where commands take until they may go on.
#[derive(Debug)]
struct Held {
    asked: Notify,
    go: Semaphore,
}

#[async_trait::async_trait]
impl CommandSink for Held {
    async fn execute(&self, _: Request) -> Result<Accepted, CommandError> {
        self.asked.notify_one();
        let _go = self.go.acquire().await.unwrap();
        Err(CommandError::Invalid("nobody posts here".to_owned()))
    }
}

struct Room {
    world: World,
    node: Node,
    held: Arc<Held>,
}

impl Room {
    async fn new() -> Self {
        let world = World::new(1);
        let held = Arc::new(Held { asked: Notify::new(), go: Semaphore::new(0) });
        let sink = Arc::clone(&held);
        let node = Node::with_sink(&world, sink).await;
        Self { world, node, held }
    }

    /// A connection of ann's, and its session.
    async fn connection(&self) -> (WebSocketStream<TcpStream>, Rc<Session>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let socket = listener.accept().await.unwrap().0.into_std().unwrap();
        let arrival = Arrival { socket, ahead: bytes::Bytes::new(), form: Form::Json };
        spawn_local(connection::run(Rc::clone(&self.node.shard), arrival));
        let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let (tokens, now) = (&self.node.shard.around.tokens, self.world.clock.now());
        let token = tokens.local().mint(&"ann".parse().unwrap(), false, now, None).unwrap();
        client.send(Message::text(json!({"id": 1, "connect": {"token": token}}).to_string())).await.unwrap();
        client.next().await.unwrap().unwrap();
        let sessions = self.node.shard.wheel.borrow();
        let session = sessions.iter().flatten().filter_map(Weak::upgrade).find(|one| one.over().is_none());
        (client, session.unwrap())
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
async fn no_answer_is_due_while_so_many_commands_wait_that_nothing_is_read() {
    with_room(async |room| {
        for (waiting, over) in [(PIPELINE_LEN_MAX - 1, Some(Disconnect::NO_PONG)), (PIPELINE_LEN_MAX, None)] {
            let (mut client, session) = room.connection().await;
            let post = json!({"method": "message.post", "data": {"conversation": "tea", "text": "hi"}});
            let commands = (2..).map(|id| json!({"id": id, "rpc": post}).to_string()).take(waiting + 1);
            client.send(Message::text(commands.collect::<Vec<_>>().join("\n"))).await.unwrap();
            room.held.asked.notified().await;
            room.pass(2 * SLOTS, || {});
            assert_eq!(session.over(), over, "{waiting} commands wait");
            if over.is_none() {
                room.held.go.add_permits(1);
                let mut answered = 0;
                while answered <= waiting {
                    let frame = client.next().await.unwrap().unwrap().into_text().unwrap();
                    answered += frame.matches("\"error\"").count();
                }
                room.pass(2 * SLOTS, || {});
                assert_eq!(session.over(), Some(Disconnect::NO_PONG), "it is read again");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_lay_unread_is_no_answer_that_is_overdue() {
    with_room(async |room| {
        let (session, pipe) = room.session(ann(None));
        session.listen(false);
        while pings(&pipe) == 0 {
            room.pass(1, || {});
        }
        session.listen(true);
        room.pass(SLOTS, || {});
        assert_eq!((pings(&pipe), session.over()), (2, None));
        // Nothing new: it was said before.
        session.listen(true);
        room.pass(PONG_WAIT_S - 1, || {});
        assert_eq!(session.over(), None);
        room.pass(1, || {});
        assert_eq!(session.over(), Some(Disconnect::NO_PONG), "the next ping is to be answered");
    })
    .await;
}

#[tokio::test]
async fn who_takes_nothing_is_ended_whether_anything_is_read_or_not() {
    with_room(async |room| {
        for listens in [true, false] {
            let (session, pipe) = room.session(ann(None));
            session.listen(listens);
            pipe.room.set(0);
            session.send(bytes::Bytes::from_static(b"event"));
            room.pass(2 * SLOTS, || {});
            assert_eq!(session.over(), Some(Disconnect::NO_PONG), "{listens}");
        }
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
