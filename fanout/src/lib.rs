//! Fanout: events reach sessions.
//!
//! A connection comes in through [`routes()`] and belongs to a shard from then on: one thread with its own sessions. The shard gets
//! each event once, already judged by the kernel's mirror, encodes it once, and writes the same bytes to every
//! session that is subscribed. How a session gets from where it stopped to live delivery is the switchover.
//!
//! Reading path: `switchover` (the heart, pure), `subscription`, `shard`, `session` and `outbox`, `connection`, `handle`,
//! `protocol`; `stream` for who has no WebSocket; beside it, who is here and who types: `presence`, `notice`, `typing`; and what is new
//! elsewhere: `inbox`.
//!
//! Invariants: no durable state here; a session's memory is bounded; nothing blocks the thread of a shard; the only
//! way to the log is the kernel's `CommandSink`.

mod connection;
mod feed;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handle;
mod inbox;
mod meters;
mod notice;
mod outbox;
mod presence;
mod protocol;
mod rpc;
mod session;
mod shard;
#[cfg(test)]
mod sim;
mod stream;
mod subscription;
pub mod switchover;
#[cfg(test)]
mod tests;
mod threads;
mod typing;
mod upgrade;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header};
use kernel::{
    clock::Clock,
    command::SharedSink,
    crash,
    identity::{Identity, Tokens},
    mirror::Mirror,
    signals::SharedSignals,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::AbortHandle,
    time::timeout,
};
use warp::{Filter, filters::BoxedFilter, reply::Response};

pub use protocol::{Disconnect, ErrorCode, Unsubscribe};
pub use threads::Threads;

use inbox::Inboxes;
use presence::Presence;
use protocol::SubscribeRequest;
use shard::{Arrival, Mail, Surroundings};
use stream::Ask;

/// Most letters that wait in the mailbox of a shard.
const MAIL_LEN_MAX: usize = 4_096;
/// How long beyond the window a shard may take to close its sessions.
const DRAIN_PATIENCE: Duration = Duration::from_secs(5);

/// How fanout is set up.
#[derive(Debug)]
pub struct Settings {
    /// Those that deliver, a shard on each.
    pub threads: Threads,
    /// Origins (`https://chat.example`) whose pages may open the WebSocket, besides pages that this server itself served.
    pub allowed_origins: Vec<String>,
    /// Most streams of server-sent events at a time: fewer than the connections that are let in, since each keeps one.
    pub streams_max: usize,
}

/// See the module. Shared as `Arc<Fanout>`.
pub struct Fanout {
    shards: Arc<Vec<mpsc::Sender<Mail>>>,
    next: std::sync::atomic::AtomicUsize,
    allowed_origins: Vec<String>,
    /// A place for each stream.
    streams: Arc<Semaphore>,
    presence: Arc<Presence>,
    /// The tasks beside the shards.
    tasks: Vec<AbortHandle>,
    /// Dropped with this value, and so ended, if they were not [before](Fanout::end).
    threads: Mutex<Option<Threads>>,
}

/// The routes of fanout: the door for sessions, and the streams; `identity` says who asks for one.
pub fn routes(fanout: Arc<Fanout>, identity: BoxedFilter<(Identity,)>) -> BoxedFilter<(Response,)> {
    upgrade::route(Arc::clone(&fanout)).or(stream::route(fanout, identity)).unify().boxed()
}

impl fmt::Debug for Fanout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fanout").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

impl Drop for Fanout {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Starts a task without which nothing goes on.
fn beside(name: &'static str, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
    let task = tokio::spawn(task);
    let handle = task.abort_handle();
    tokio::spawn(crash::watch(name, task));
    handle
}

impl Fanout {
    /// Starts the shards, and what tells them of the sessions of other nodes. They run until the value is dropped. Must be
    /// called on a runtime.
    pub fn start(
        mirror: &Arc<Mirror>,
        sink: SharedSink,
        tokens: Arc<Tokens>,
        clock: Arc<dyn Clock>,
        signals: SharedSignals,
        settings: Settings,
    ) -> Arc<Self> {
        let Settings { mut threads, allowed_origins, streams_max } = settings;
        let streams = Arc::new(Semaphore::new(streams_max));
        let (shards, mails) = (0..threads.len()).map(|_| mpsc::channel(MAIL_LEN_MAX)).unzip();
        let shards: Arc<Vec<_>> = Arc::new(shards);
        let heard = signals.watch();
        let presence = Arc::new(Presence::new(signals, Arc::clone(&shards)));
        let inboxes = Inboxes::new(Arc::clone(mirror), Arc::clone(&shards));
        let tasks = vec![
            beside("presence", presence::attend(Arc::clone(&presence), heard)),
            beside("inboxes", inbox::attend(Arc::clone(&inboxes))),
        ];
        let mirror = Arc::clone(mirror);
        let around = Surroundings { mirror, sink, tokens, clock, presence: Arc::clone(&presence), inboxes };
        threads.begin(&around, mails);
        let (next, threads) = (0.into(), Mutex::new(Some(threads)));
        Arc::new(Self { shards, next, allowed_origins, streams, presence, tasks, threads })
    }

    /// Takes a connection.
    async fn accept(&self, arrival: Arrival) {
        self.tell(Mail::Accept(arrival)).await;
    }

    /// Gives a newcomer to the shard whose turn it is.
    async fn tell(&self, mail: Mail) {
        let turn = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if let Some(shard) = self.shards.get(turn % self.shards.len()) {
            // A closed mailbox means that the node stops; the client comes back elsewhere.
            let _ = shard.send(mail).await;
        }
    }

    /// Begins a stream: its body, piece by piece.
    ///
    /// # Errors
    /// As a `subscribe` over a session; [`ErrorCode::INTERNAL`] when the node stops.
    async fn stream(
        &self,
        identity: Identity,
        request: SubscribeRequest,
    ) -> Result<mpsc::Receiver<Bytes>, ErrorCode> {
        let (answer, told) = oneshot::channel();
        self.tell(Mail::Stream(Box::new(Ask { identity, request, answer }))).await;
        told.await.unwrap_or(Err(ErrorCode::INTERNAL))
    }

    /// Tells every session to come back elsewhere, spread over `window`, and waits until all are closed.
    pub async fn drain(&self, window: Duration) {
        let mut drained = Vec::new();
        for shard in self.shards.iter() {
            let (done, answer) = oneshot::channel();
            if shard.send(Mail::Drain(window, done)).await.is_ok() {
                drained.push(answer);
            }
        }
        for answer in drained {
            // A shard that is gone has no sessions, and one that does not answer is not waited for.
            let _ = timeout(window + DRAIN_PATIENCE, answer).await;
        }
        // The other nodes know at once who went.
        self.presence.flush().await;
    }

    /// Ends the shards, with the sessions that are left, and waits until they have let go of log and history. Nobody can connect any
    /// more.
    pub async fn end(&self) {
        let threads = self.threads.lock().take();
        if let Some(threads) = threads {
            threads.end().await;
        }
    }

    /// Whether the page behind a request may connect: one that this server served (same host), one of an allowed
    /// origin, or no page at all. Browsers always say; other clients do not.
    fn allows_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let own = origin.split_once("://").map(|(_, authority)| authority);
        (own.is_some() && own == host) || self.allowed_origins.iter().any(|allowed| allowed == origin)
    }
}
