//! A seeded simulation of fanout: real mirrors, real shards, real sessions; only the sockets are made up, and time and
//! chance belong to the seed.
//!
//! Two nodes follow one log. Events are appended (some void), the history lags and fails, a node's reader is held or
//! fails, nodes die and begin anew, sessions read slowly, stop reading, and come back to either node with the last
//! position they saw. After every step, what each client has seen must be a prefix of what it must see; after everything has
//! come to rest, all of it.
//!
//! - here: the run, and what must hold;
//! - `node`: what it runs on;
//! - `client`: what each client saw.

mod client;
mod node;

use std::{collections::BTreeMap, rc::Rc};

use kernel::{
    clock::ManualClock,
    event_log::{EventLog, faulty::Fault, memory::MemoryLog},
    history::memory::MemoryHistory,
    identity::Identity,
    testing::{World, created, event, posted},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use schemas::{ConversationId, Partition, Position, Timestamp, event::MemberRemoved};
use serde_json::json;
use tokio::{
    task::{LocalSet, spawn_local},
    time::{Duration, sleep},
};

use crate::{
    handle,
    outbox::Limits,
    protocol::Form,
    session::{Session, Standing},
};

pub(crate) use node::{Node, Pipe, Slow};

use client::{Client, Connection, Seen};
use node::token_key;

const CONVERSATIONS: [&str; 2] = ["tea", "cake"];
const CLIENTS: usize = 4;
/// Small, so that outboxes overflow all the time.
const LIMITS: Limits = Limits { bytes_max: 3_000, bytes_low: 500 };
/// What may wait at the most: a full outbox, or a page and a reply with one.
const WAITING_MAX: usize = LIMITS.bytes_max + 100_000;

/// Brings the history forward, a little at a time, while everything else happens.
async fn project(log: MemoryLog, history: MemoryHistory, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let mut world = World { log, history, clock, states: BTreeMap::new() };
    loop {
        world.project(Partition(rng.random_range(0..2)), rng.random_range(1..20)).await;
        sleep(Duration::from_millis(rng.random_range(1..20))).await;
    }
}

struct Simulation {
    rng: StdRng,
    world: World,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    events: usize,
    trace: Vec<String>,
}

impl Simulation {
    async fn new(seed: u64) -> Self {
        let world = World::new(2);
        for name in CONVERSATIONS {
            world.append(&created(name)).await;
        }
        spawn_local(project(world.log.clone(), world.history.clone(), seed));
        let nodes = vec![Node::start(&world).await, Node::start(&world).await];
        let clients = (0..CLIENTS).map(|_| Client::new()).collect();
        Self { rng: StdRng::seed_from_u64(seed), world, nodes, clients, events: 0, trace: Vec::new() }
    }

    async fn step(&mut self) {
        match self.rng.random_range(0..100) {
            0..35 => self.append().await,
            35..60 => sleep(Duration::from_millis(self.rng.random_range(0..5))).await,
            60..82 => {
                let (client, room) = (self.rng.random_range(0..CLIENTS), self.rng.random_range(1..6_000));
                self.drain(client, room);
            }
            82..90 => self.connect().await,
            90..92 => {
                let client = self.rng.random_range(0..CLIENTS);
                self.clients[client].disconnect(&self.nodes);
            }
            92..94 => {
                let node = self.rng.random_range(0..2);
                self.crash(node).await;
            }
            94..97 => {
                let faults = &self.nodes[self.rng.random_range(0..2)].log_faults;
                match self.rng.random_range(0..3) {
                    0 => faults.on(Fault::ReaderHeld),
                    1 => faults.next(Fault::ReaderFails, 1),
                    _ => faults.next(Fault::ReadFails, 2),
                }
            }
            97..98 => self.nodes[self.rng.random_range(0..2)].history_faults.fail_reads(true),
            _ => self.mend(),
        }
    }

    fn mend(&self) {
        for node in &self.nodes {
            node.log_faults.all_off();
            node.history_faults.fail_reads(false);
        }
    }

    /// An event: a message, one that repeats an id, or one of somebody who was removed.
    async fn append(&mut self) {
        let conversation = CONVERSATIONS.choose(&mut self.rng).unwrap();
        self.events += 1;
        let id = format!("m-{}", self.events - usize::from(self.rng.random_bool(0.1)));
        let event = match self.rng.random_range(0..20) {
            0 => event(conversation, &id, "ann", MemberRemoved { member: "bob".parse().unwrap() }),
            1..4 => posted(conversation, &id, "bob"),
            _ => posted(conversation, &id, "ann"),
        };
        self.world.append(&event).await;
        self.world.clock.advance(self.rng.random_range(0..3_000));
    }

    /// The other end reads so many bytes.
    fn drain(&mut self, client: usize, room: usize) {
        if let Some(Connection { session, pipe, .. }) = &self.clients[client].connection {
            pipe.room.set(room);
            session.unblocked();
        }
        self.clients[client].read(&self.nodes);
    }

    /// A client (re)connects to a node and resumes both conversations from its positions.
    async fn connect(&mut self) {
        let (client, node) = (self.rng.random_range(0..CLIENTS), self.rng.random_range(0..2));
        self.clients[client].disconnect(&self.nodes);
        let pipe = Rc::new(Pipe::default());
        pipe.room.set(self.rng.random_range(0..20_000));
        let shard = Rc::clone(&self.nodes[node].shard);
        let connections = self.clients[client].connections;
        let name = format!("client-{client}-{connections}").parse().unwrap();
        let wire = Box::new(Rc::clone(&pipe));
        let session = Session::new(name, Form::Json, wire, LIMITS, Timestamp::from_millis(0));
        shard.admit(&session);
        self.clients[client].connections += 1;
        let connection = Connection { node, session: Rc::clone(&session), pipe, rest: Vec::new() };
        self.clients[client].connection = Some(connection);
        let wanted: Vec<_> = CONVERSATIONS.iter().map(|name| (*name, self.wanted(client, name))).collect();
        let user = format!("reader-{client}").parse().unwrap();
        let commands = if self.rng.random_bool(0.5) {
            let token = token_key().mint(&user, false, Timestamp::from_millis(0), None).unwrap();
            let subs: serde_json::Map<_, _> =
                wanted.into_iter().map(|(name, wanted)| (name.to_owned(), wanted)).collect();
            vec![json!({"id": 1, "connect": {"token": token, "subs": subs}})]
        } else {
            session.set_standing(Standing::Connected(Identity { user, admin: false, expires_at: None }));
            let subscribe = |(id, (name, mut wanted)): (u32, (&str, serde_json::Value))| {
                wanted["channel"] = name.into();
                json!({"id": id, "subscribe": wanted})
            };
            (1..).zip(wanted).map(subscribe).collect()
        };
        for command in commands {
            let [command] = Form::Json.commands(command.to_string().as_bytes()).unwrap().try_into().unwrap();
            handle::command(&shard, &session, command.id, command.method()).await.unwrap();
        }
        self.clients[client].read(&self.nodes);
    }

    /// From where a client asks for a conversation: its position, or the beginning, or from now on.
    fn wanted(&mut self, client: usize, conversation: &str) -> serde_json::Value {
        match self.clients[client].position(conversation) {
            Some(offset) => json!({"recover": true, "offset": offset, "epoch": self.world.log.epoch()}),
            None if self.rng.random_bool(0.5) => json!({"recover": true, "offset": 0, "epoch": ""}),
            None => json!({}),
        }
    }

    /// A node dies with everything that it had in memory, and begins anew.
    async fn crash(&mut self, node: usize) {
        for client in &mut self.clients {
            if client.connection.as_ref().is_some_and(|connection| connection.node == node) {
                client.read(&self.nodes);
                client.disconnect(&self.nodes);
            }
        }
        self.nodes[node].running.abort();
        self.nodes[node] = Node::start(&self.world).await;
    }

    async fn expected(&self, conversation: &str) -> Vec<u64> {
        let conversation: ConversationId = conversation.parse().unwrap();
        let partition = kernel::event_log::partition_of(&conversation, 2);
        let (_, valid) = self.world.truth(&conversation, partition).await;
        valid.into_iter().map(Position::get).collect()
    }

    async fn check(&mut self, complete: bool) {
        for conversation in CONVERSATIONS {
            let expected = self.expected(conversation).await;
            for (number, client) in self.clients.iter().enumerate() {
                let Seen { base, offsets: seen } = &client.seen[conversation];
                let expected = &expected[expected.partition_point(|offset| Some(*offset) <= *base)..];
                let prefix = &expected[..seen.len().min(expected.len())];
                assert_eq!(seen, prefix, "client {number} in {conversation}");
                assert!(
                    !complete || seen.len() == expected.len(),
                    "client {number} misses the end of {conversation}"
                );
                let waiting =
                    client.connection.as_ref().map_or(0, |connection| connection.session.waiting_len());
                // The outbox takes one frame whatever its length, and a page for each conversation when it is low.
                assert!(waiting <= WAITING_MAX, "client {number}: {waiting} bytes wait");
                self.trace.push(format!("{number} {conversation} {}", seen.len()));
            }
        }
    }

    /// Everything works again, everybody is connected and reads.
    async fn settle(&mut self) {
        self.mend();
        for _ in 0..400 {
            while self.clients.iter().any(|client| client.connection.is_none()) {
                self.connect().await;
            }
            for client in 0..CLIENTS {
                self.drain(client, 1 << 20);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Runs one seed; gives the trace of what was seen when.
fn run(seed: u64, steps: usize) -> Vec<String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut simulation = Simulation::new(seed).await;
        for _ in 0..steps {
            simulation.step().await;
            simulation.check(false).await;
        }
        simulation.settle().await;
        simulation.check(true).await;
        simulation.trace
    })
}

#[test]
fn every_client_sees_every_valid_event_once_in_order_whatever_dies() {
    let seeds: u64 = std::env::var("TIDINGS_SIM_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(25);
    for seed in 0..seeds {
        println!("seed {seed}");
        run(seed, 400);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    assert_eq!(run(7, 300), run(7, 300));
}
