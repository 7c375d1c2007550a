//! A seeded simulation of fanout: real mirrors, real shards, real sessions; only the sockets are made up, and time and
//! chance belong to the seed.
//!
//! Two nodes follow one log. Events are appended (some void), the history lags and fails, a node's reader is held or
//! fails, nodes die and begin anew, sessions read slowly, stop reading, and come back to either node with the last
//! position they saw. After every step, what each client has seen must be a prefix of what it must see; after everything has
//! come to rest, all of it.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io::{self, IoSlice},
    rc::Rc,
    sync::Arc,
};

use kernel::{
    clock::ManualClock,
    command::{Accepted, CommandError, CommandSink, Request},
    event_log::{
        EventLog,
        faulty::{Fault, Faults, FaultyLog},
        memory::MemoryLog,
    },
    history::{
        Batch, Depth, Extent, Found, History, HistoryError, Listed, Message, Progress, SharedHistory,
        Snapshot, StoredEvent,
        faulty::{FaultyHistory, HistoryFaults},
        memory::MemoryHistory,
    },
    identity::{Identity, TokenKey, Tokens},
    mirror::{self, Mirror},
    signals::local::LocalSignals,
    testing::{World, created, event, posted},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use schemas::{ConversationId, EventId, Partition, Position, Timestamp, UserId, event::MemberRemoved};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, LocalSet, spawn_local},
    time::{Duration, sleep},
};

use crate::{
    handle,
    outbox::{Limits, Wire},
    presence::Presence,
    protocol::{Disconnect, Form},
    session::{Session, Standing},
    shard::{Mail, Shard, Surroundings},
};

const CONVERSATIONS: [&str; 2] = ["tea", "cake"];
const CLIENTS: usize = 4;
/// Small, so that outboxes overflow all the time.
const LIMITS: Limits = Limits { bytes_max: 3_000, bytes_low: 500 };

/// What may wait at the most: a full outbox, or a page and a reply with one.
const WAITING_MAX: usize = LIMITS.bytes_max + 100_000;
/// Small, so that who falls behind needs the history.
const RECENT: mirror::Limits = mirror::Limits { recent_len_max: 6, recent_bytes_max: 4_096 };

/// A socket whose other end reads when it is told to.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) room: Cell<usize>,
    pub(crate) bytes: RefCell<Vec<u8>>,
}

impl Wire for Rc<Pipe> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let room = self.room.get();
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(room).collect();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.set(room - bytes.len());
        self.bytes.borrow_mut().extend_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// A history whose answers take a moment, so that other things happen between two of them.
#[derive(Debug)]
struct Slow(SharedHistory);

/// How long an answer takes.
async fn a_moment() {
    sleep(Duration::from_millis(2)).await;
}

#[async_trait::async_trait]
impl History for Slow {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.0.apply(batch).await
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        let progress = self.0.progress(partition).await;
        a_moment().await;
        progress
    }

    async fn snapshot(
        &self,
        partition: Partition,
        id: &ConversationId,
        depth: Depth,
    ) -> Result<Snapshot, HistoryError> {
        a_moment().await;
        self.0.snapshot(partition, id, depth).await
    }

    async fn events(&self, id: &ConversationId, extent: Extent) -> Result<Vec<StoredEvent>, HistoryError> {
        a_moment().await;
        let events = self.0.events(id, extent).await;
        a_moment().await;
        events
    }

    async fn messages(&self, id: &ConversationId, extent: Extent) -> Result<Vec<Message>, HistoryError> {
        self.0.messages(id, extent).await
    }

    async fn find_all(
        &self,
        id: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        self.0.find_all(id, event_ids).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        self.0.conversations_of(user, after, limit).await
    }
}

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

#[derive(Debug)]
struct NoSink;

#[async_trait::async_trait]
impl CommandSink for NoSink {
    async fn execute(&self, _: Request) -> Result<Accepted, CommandError> {
        Err(CommandError::Invalid("nobody posts here".to_owned()))
    }
}

pub(crate) struct Node {
    pub(crate) shard: Rc<Shard>,
    log_faults: Faults,
    history_faults: HistoryFaults,
    running: JoinHandle<()>,
    /// Kept, since a shard whose mailbox is closed ends.
    _mail: mpsc::Sender<Mail>,
}

impl Node {
    pub(crate) async fn start(world: &World) -> Self {
        let log_faults = Faults::default();
        let log = Arc::new(FaultyLog::new(Arc::new(world.log.clone()), &log_faults));
        let (history, history_faults) = FaultyHistory::new(Arc::new(world.history.clone()));
        let history = Arc::new(Slow(Arc::new(history)));
        let mirror = Mirror::start_within(RECENT, log, history).await.unwrap();
        let (mail, mailbox) = mpsc::channel(1_024);
        let (watcher, folded) = mpsc::channel(64);
        mirror.watch(watcher);
        let signals = Arc::new(LocalSignals::alone(Arc::new(world.clock.clone())));
        let presence = Presence::new(signals, Arc::new(vec![mail.clone()]));
        let around = Surroundings {
            mirror,
            sink: Arc::new(NoSink),
            tokens: Arc::new(Tokens::from(TokenKey::new(&[7; 32]))),
            clock: Arc::new(world.clock.clone()),
            presence: Arc::new(presence),
        };
        let shard = Shard::new(around);
        let running = spawn_local(Rc::clone(&shard).run(mailbox, folded));
        Self { shard, log_faults, history_faults, running, _mail: mail }
    }
}

/// What a client has seen of a conversation.
#[derive(Debug, Default, Clone)]
struct Seen {
    /// Where it began; `None`: it never had a reply.
    base: Option<u64>,
    /// The positions of the events, as they came.
    offsets: Vec<u64>,
}

/// One client, with what it has seen of each conversation.
struct Client {
    seen: BTreeMap<&'static str, Seen>,
    connection: Option<Connection>,
    connections: usize,
}

struct Connection {
    node: usize,
    session: Rc<Session>,
    pipe: Rc<Pipe>,
    /// Bytes that are no whole frame yet.
    rest: Vec<u8>,
}

impl Client {
    fn new() -> Self {
        let seen = CONVERSATIONS.iter().map(|name| (*name, Seen::default())).collect();
        Self { seen, connection: None, connections: 0 }
    }

    /// Takes everything that arrived and notes the positions. A client that is told to try again comes back later.
    fn read(&mut self, nodes: &[Node]) {
        let Some(Connection { pipe, rest, .. }) = &mut self.connection else { return };
        let mut again = false;
        rest.append(&mut pipe.bytes.borrow_mut());
        while let Some((payload, len)) = frame(rest) {
            for line in payload.lines() {
                let message: serde_json::Value = serde_json::from_str(line).unwrap();
                again |= take(&mut self.seen, &message);
            }
            rest.drain(..len);
        }
        if again {
            self.disconnect(nodes);
        }
    }

    /// The position that it comes back with; `None`: it has none yet.
    fn position(&self, conversation: &str) -> Option<u64> {
        let seen = &self.seen[conversation];
        seen.offsets.last().copied().or(seen.base)
    }

    fn disconnect(&mut self, nodes: &[Node]) {
        if let Some(Connection { node, session, .. }) = self.connection.take() {
            session.end(Disconnect::NORMAL);
            nodes[node].shard.dismiss(&session);
        }
    }
}

/// Notes the positions in a message; says whether it tells the client to subscribe again.
fn take(seen: &mut BTreeMap<&'static str, Seen>, message: &serde_json::Value) -> bool {
    let name = |channel: &serde_json::Value| *CONVERSATIONS.iter().find(|name| channel == **name).unwrap();
    let push = &message["push"];
    if !push["pub"].is_null() {
        let offset = push["pub"]["offset"].as_u64().unwrap();
        seen.get_mut(name(&push["channel"])).unwrap().offsets.push(offset);
    }
    if let Some(offset) = message["subscribe"]["offset"].as_u64() {
        // The commands of a connection have the ids 1, 2, in the order of the conversations.
        let conversation = CONVERSATIONS[usize::try_from(message["id"].as_u64().unwrap()).unwrap() - 1];
        let seen = seen.get_mut(conversation).unwrap();
        let begins = message["subscribe"]["was_recovering"].is_null();
        seen.base = seen.base.or(Some(if begins { offset } else { 0 }));
    }
    for publication in message["subscribe"]["publications"].as_array().into_iter().flatten() {
        let conversation = name(&publication["data"]["conversation"]);
        seen.get_mut(conversation).unwrap().offsets.push(publication["offset"].as_u64().unwrap());
    }
    let (error, unsubscribe) = (&message["error"], &push["unsubscribe"]);
    assert!(error.is_null() || error["temporary"] == true, "{message}");
    assert!(unsubscribe.is_null() || unsubscribe["code"] == 2500, "{message}");
    !error.is_null() || !unsubscribe.is_null()
}

/// The payload of the first frame, and its length with the header.
fn frame(bytes: &[u8]) -> Option<(String, usize)> {
    let (len, header) = match *bytes {
        [_, 126, a, b, ..] => (usize::from(u16::from_be_bytes([a, b])), 4),
        [_, 127, ..] => {
            let len = bytes.get(2..10)?.try_into().unwrap();
            (usize::try_from(u64::from_be_bytes(len)).unwrap(), 10)
        }
        [_, len, ..] if len < 126 => (usize::from(len), 2),
        _ => return None,
    };
    let payload = bytes.get(header..header + len)?;
    Some((String::from_utf8(payload.to_vec()).unwrap(), header + len))
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
        let user = format!("reader-{client}").parse().unwrap();
        session.set_standing(Standing::Connected(Identity { user, admin: false, expires_at: None }));
        shard.admit(&session);
        self.clients[client].connections += 1;
        let connection = Connection { node, session: Rc::clone(&session), pipe, rest: Vec::new() };
        self.clients[client].connection = Some(connection);
        for (id, conversation) in (1..).zip(CONVERSATIONS) {
            let subscribe = match self.clients[client].position(conversation) {
                Some(offset) => {
                    serde_json::json!({"channel": conversation, "recover": true, "offset": offset,
                    "epoch": self.world.log.epoch()})
                }
                // From the beginning, or from now on.
                None if self.rng.random_bool(0.5) => {
                    serde_json::json!({"channel": conversation, "recover": true, "offset": 0, "epoch": ""})
                }
                None => serde_json::json!({"channel": conversation}),
            };
            let subscribe = serde_json::json!({"id": id, "subscribe": subscribe});
            let [command] =
                Form::Json.commands(subscribe.to_string().as_bytes()).unwrap().try_into().unwrap();
            handle::command(&shard, &session, command.id, command.method()).await.unwrap();
        }
        self.clients[client].read(&self.nodes);
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
