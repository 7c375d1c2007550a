//! What the simulation runs on: nodes whose log and history do as they are told, and sockets that are made up.

use std::{
    cell::{Cell, RefCell},
    io::{self, IoSlice},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use kernel::{
    command::{Accepted, CommandError, CommandSink, Request, SharedSink},
    event_log::faulty::{Faults, FaultyLog},
    history::{
        Batch, Depth, Extent, Found, History, HistoryError, Listed, Message, Post, Progress, SharedHistory,
        Snapshot, StoredEvent,
        faulty::{FaultyHistory, HistoryFaults},
    },
    identity::{TokenKey, Tokens},
    mirror::{self, Mirror},
    signals::local::LocalSignals,
    testing::World,
};
use schemas::{ConversationId, EventId, Partition, UserId};
use tokio::{
    sync::mpsc,
    task::{JoinHandle, spawn_local},
    time::{Duration, sleep},
};

use crate::{
    inbox::Inboxes,
    outbox::Wire,
    presence::Presence,
    shard::{Mail, Shard, Surroundings},
};

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
pub(crate) struct Slow {
    history: SharedHistory,
    /// How often it was asked for events.
    pub(crate) pages: AtomicUsize,
}

impl Slow {
    pub(crate) fn new(history: SharedHistory) -> Self {
        Self { history, pages: AtomicUsize::new(0) }
    }
}

/// How long an answer takes.
async fn a_moment() {
    sleep(Duration::from_millis(2)).await;
}

#[async_trait::async_trait]
impl History for Slow {
    async fn apply(&self, batch: Batch) -> Result<(), HistoryError> {
        self.history.apply(batch).await
    }

    async fn progress(&self, partition: Partition) -> Result<Option<Progress>, HistoryError> {
        let progress = self.history.progress(partition).await;
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
        self.history.snapshot(partition, id, depth).await
    }

    async fn events(&self, id: &ConversationId, extent: Extent) -> Result<Vec<StoredEvent>, HistoryError> {
        self.pages.fetch_add(1, Ordering::Relaxed);
        a_moment().await;
        let events = self.history.events(id, extent).await;
        a_moment().await;
        events
    }

    async fn messages(&self, id: &ConversationId, extent: Extent) -> Result<Vec<Message>, HistoryError> {
        self.history.messages(id, extent).await
    }

    async fn posts(&self, id: &ConversationId, extent: Extent) -> Result<Vec<Post>, HistoryError> {
        let posts = self.history.posts(id, extent).await;
        a_moment().await;
        posts
    }

    async fn find_all(
        &self,
        id: &ConversationId,
        event_ids: &[EventId],
    ) -> Result<Vec<Option<Found>>, HistoryError> {
        self.history.find_all(id, event_ids).await
    }

    async fn conversations_of(
        &self,
        user: &UserId,
        after: Option<&ConversationId>,
        limit: usize,
    ) -> Result<Vec<Listed>, HistoryError> {
        let listed = self.history.conversations_of(user, after, limit).await;
        a_moment().await;
        listed
    }

    async fn listed(&self, user: &UserId, id: &ConversationId) -> Result<Option<Listed>, HistoryError> {
        let listed = self.history.listed(user, id).await;
        a_moment().await;
        listed
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

/// The key whose tokens every node takes.
pub(super) fn token_key() -> TokenKey {
    TokenKey::new(&[7; 32])
}

pub(crate) struct Node {
    pub(crate) shard: Rc<Shard>,
    pub(crate) history: Arc<Slow>,
    pub(super) log_faults: Faults,
    pub(crate) history_faults: HistoryFaults,
    pub(super) running: JoinHandle<()>,
    /// Kept, since a shard whose mailbox is closed ends.
    _mail: mpsc::Sender<Mail>,
}

impl Node {
    pub(crate) async fn start(world: &World) -> Self {
        Self::with_sink(world, Arc::new(NoSink)).await
    }

    pub(crate) async fn with_sink(world: &World, sink: SharedSink) -> Self {
        let log_faults = Faults::default();
        let log = Arc::new(FaultyLog::new(Arc::new(world.log.clone()), &log_faults));
        let (history, history_faults) = FaultyHistory::new(Arc::new(world.history.clone()));
        let history = Arc::new(Slow::new(Arc::new(history)));
        let mirror = Mirror::start_within(RECENT, log, Arc::clone(&history) as _).await.unwrap();
        let (mail, mailbox) = mpsc::channel(1_024);
        let (watcher, folded) = mpsc::channel(64);
        mirror.watch(watcher);
        let signals = Arc::new(LocalSignals::alone(Arc::new(world.clock.clone())));
        let shards = Arc::new(vec![mail.clone()]);
        let presence = Presence::new(signals, Arc::clone(&shards));
        let inboxes = Inboxes::new(Arc::clone(&mirror), shards);
        let around = Surroundings {
            mirror,
            sink,
            tokens: Arc::new(Tokens::from(token_key())),
            clock: Arc::new(world.clock.clone()),
            presence: Arc::new(presence),
            inboxes,
        };
        let shard = Shard::new(around);
        let running = spawn_local(Rc::clone(&shard).run(mailbox, folded));
        Self { shard, history, log_faults, history_faults, running, _mail: mail }
    }
}
