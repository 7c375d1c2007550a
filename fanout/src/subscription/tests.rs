//! Many fills of a session that reads slowly.

use std::sync::atomic::Ordering;

use kernel::testing::{World, created, posted};
use schemas::Partition;
use tokio::task::LocalSet;

use super::*;
use crate::{
    outbox::Limits,
    protocol::Disconnect,
    session::Standing,
    sim::{Node, Pipe},
};

const CONVERSATIONS: usize = 20;
/// Events of each: one page of the history.
const EVENTS: usize = 30;
/// Any page fills the outbox.
const LIMITS: Limits = Limits { bytes_max: 3_000, bytes_low: 500 };

struct Filling {
    node: Node,
    session: Rc<Session>,
    pipe: Rc<Pipe>,
    subscriptions: Vec<Rc<Subscription>>,
}

impl Filling {
    /// A session that is behind in every conversation, and reads nothing yet.
    async fn new() -> Self {
        let mut world = World::new(1);
        let names: Vec<_> = (0..CONVERSATIONS).map(|number| format!("c{number}")).collect();
        for name in &names {
            world.append(&created(name)).await;
            for number in 1..EVENTS {
                world.append(&posted(name, &format!("m-{number}"), "ann")).await;
            }
        }
        world.project(Partition(0), CONVERSATIONS * EVENTS).await;
        let node = Node::start(&world).await;
        let pipe = Rc::new(Pipe::default());
        let (wire, born) = (Box::new(Rc::clone(&pipe)), Timestamp::from_millis(0));
        let session = Session::new("s".parse().unwrap(), Form::Json, wire, LIMITS, born);
        let identity = Identity { user: "ann".parse().unwrap(), admin: false, expires_at: None };
        session.set_standing(Standing::Connected(identity));
        let mut subscriptions = Vec::new();
        for name in &names {
            let topic = node.shard.topic(&name.parse().unwrap()).await.unwrap();
            let resuming = Switchover::resuming(Position::START);
            subscriptions.push(node.shard.subscribe(&session, topic, false, resuming));
        }
        for subscription in &subscriptions {
            node.shard.fill(subscription);
        }
        rest().await;
        Self { node, session, pipe, subscriptions }
    }

    /// The other end reads what waits for it.
    async fn read(&self) {
        self.pipe.room.set(self.session.waiting_len());
        self.session.unblocked();
        rest().await;
    }

    /// How many are live.
    fn live(&self) -> usize {
        self.subscriptions.iter().filter(|subscription| subscription.is_live()).count()
    }
}

/// Time is paused, so whatever can happen happens meanwhile.
async fn rest() {
    sleep(Duration::from_secs(1)).await;
}

#[tokio::test(start_paused = true)]
async fn each_page_is_read_once_however_many_fills_wait_for_room() {
    let test = async {
        let filling = Filling::new().await;
        let mut reads = 0;
        while filling.live() < CONVERSATIONS {
            assert!(reads < 3 * CONVERSATIONS, "{} are live after {reads} reads", filling.live());
            reads += 1;
            filling.read().await;
        }
        assert_eq!(filling.node.history.pages.load(Ordering::Relaxed), CONVERSATIONS);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_while_it_has_the_turn_passes_it_on() {
    let test = async {
        let filling = Filling::new().await;
        // The page of the first waits to be written, and the second has the turn.
        let Filling { node, session, subscriptions, .. } = &filling;
        node.shard.unsubscribe(session, &subscriptions[1].topic().conversation);
        for _ in 0..3 * CONVERSATIONS {
            filling.read().await;
        }
        assert_eq!(filling.live(), CONVERSATIONS - 1);
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test(start_paused = true)]
async fn no_fill_keeps_a_session_that_is_over() {
    let test = async {
        let Filling { node, session, subscriptions, .. } = Filling::new().await;
        assert!(Rc::strong_count(&session) > CONVERSATIONS / 2, "the fills wait");
        session.end(Disconnect::NORMAL);
        rest().await;
        assert_eq!(Rc::strong_count(&session), 1);
        drop((node, subscriptions));
    };
    LocalSet::new().run_until(test).await;
}
