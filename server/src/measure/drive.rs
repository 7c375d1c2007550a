//! A load on one thread that costs little: connections that come in, publish, and count what is delivered.
//!
//! ```text
//!   publish --> server --> every session of the conversation: cut the frames, count, and parse nothing
//!      ^                                   |
//!      +------- all have it ---------------+    (or when the next message is due)
//! ```
//!
//! - `socket`: one connection;
//! - `counted`: which messages are at all sessions.
//!
//! Invariant: a delivery counts when its bytes have been read here, and a run ends when every message is at every
//! session; a message too many or too few is an error.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use mio::{Events, Interest, Poll, Token, Waker};

use super::{Dialect, Schedule};
use counted::Counted;
use socket::Socket;

mod counted;
mod socket;

/// Bytes of a text.
const TEXT_LEN: usize = 200;
/// Longer than any frame.
const BUFFER_LEN: usize = 1 << 20;
/// Connections that are looked at together.
const EVENTS_LEN: usize = 1_024;
/// How many come in at a time.
const JOINING_MAX: u64 = 64;
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of the one who says that a message is due.
const DUE: Token = Token(usize::MAX);

/// When the next message is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// When fewer than so many are on their way; the same number in each conversation, at least one.
    InFlight(u32),
    /// So many a second over all conversations, whatever the server does.
    PerSecond(u32),
}

/// See the module. The connections end with it.
pub struct Drive<'a> {
    dialect: &'a dyn Dialect,
    address: SocketAddr,
    poll: Poll,
    /// Ends a wait when a message is due.
    waker: Arc<Waker>,
    events: Events,
    buffer: Vec<u8>,
    sockets: Vec<Socket>,
    conversations: Vec<Conversation<'a>>,
    came: Totals,
    /// The conversation of each message that has come to all and was not looked at yet.
    done: Vec<usize>,
    /// When messages of a run were due; `None`: no latencies are taken.
    due: Option<Schedule>,
    latencies: Vec<Duration>,
}

struct Conversation<'a> {
    name: &'a str,
    counted: Counted,
    /// The connections that publish to it, in turn.
    publishers: Vec<usize>,
    /// Messages that were there before the run.
    before: u64,
}

impl fmt::Debug for Drive<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drive")
            .field("address", &self.address)
            .field("came", &self.came)
            .finish_non_exhaustive()
    }
}

/// Up to now.
#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    joined: u64,
    deliveries: u64,
    /// Those that carried a delivery, and whatever came in the same read.
    bytes: u64,
}

/// What a run brought.
#[derive(Debug)]
pub struct Ran {
    /// Messages that came to sessions.
    pub deliveries: u64,
    /// What carried them, with the heads of the frames.
    pub bytes: u64,
    /// From the first message to the last delivery.
    pub took: Duration,
    /// From when each message was due to each of its deliveries; empty if none were due.
    pub latencies: Vec<Duration>,
}

impl<'a> Drive<'a> {
    /// A load that has no connections yet. `conversations` are there already, where a server wants that.
    ///
    /// # Errors
    /// The system does not give what is needed.
    pub fn new(
        dialect: &'a dyn Dialect,
        address: SocketAddr,
        conversations: &'a [String],
    ) -> anyhow::Result<Self> {
        let conversation = |name: &'a String| Conversation {
            name,
            counted: Counted::default(),
            publishers: Vec::new(),
            before: 0,
        };
        let poll = Poll::new().context("no way to wait for connections")?;
        let waker = Arc::new(Waker::new(poll.registry(), DUE)?);
        Ok(Self {
            dialect,
            address,
            poll,
            waker,
            events: Events::with_capacity(EVENTS_LEN),
            buffer: vec![0; BUFFER_LEN],
            sockets: Vec::new(),
            conversations: conversations.iter().map(conversation).collect(),
            came: Totals::default(),
            done: Vec::new(),
            due: None,
            latencies: Vec::new(),
        })
    }

    /// Lets so many sessions come in, in turn to each conversation. `told` hears now and then how many are in. Gives how
    /// long that took.
    ///
    /// # Errors
    /// The server refuses.
    pub fn join(&mut self, sessions: u64, mut told: impl FnMut(u64)) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let conversations = self.conversations.len() as u64;
        self.come_in(sessions, &mut told, |drive, number| {
            let index = usize::try_from(number % conversations)?;
            let conversation = drive.conversations.get_mut(index).context("a conversation for each turn")?;
            conversation.counted.another_session();
            let steps = drive.dialect.joining(number, conversation.name)?;
            Socket::connect(drive.address, index, true, steps)
        })?;
        Ok(begun.elapsed())
    }

    /// Lets those come in who publish: so many to each conversation. Where whoever publishes is told of it too, sessions
    /// that are in do so.
    ///
    /// # Errors
    /// The server refuses.
    pub fn bring_publishers(&mut self, each: u32) -> anyhow::Result<()> {
        let mut wanted = Vec::new();
        for (index, conversation) in self.conversations.iter().enumerate() {
            for _ in 0..each {
                match self.dialect.publishing(wanted.len() as u64, conversation.name)? {
                    Some(steps) => wanted.push((index, steps)),
                    None => return self.sessions_publish(each),
                }
            }
        }
        let first = self.sockets.len();
        let (count, mut wanted) = (wanted.len() as u64, wanted.into_iter());
        self.come_in(
            count,
            |_| {},
            |drive, _| {
                let (index, steps) = wanted.next().context("as many as are wanted")?;
                Socket::connect(drive.address, index, false, steps)
            },
        )?;
        for (number, socket) in self.sockets.iter().enumerate().skip(first) {
            if let Some(conversation) = self.conversations.get_mut(socket.conversation) {
                conversation.publishers.push(number);
            }
        }
        Ok(())
    }

    fn sessions_publish(&mut self, each: u32) -> anyhow::Result<()> {
        let each = usize::try_from(each)?;
        for (number, socket) in self.sockets.iter().enumerate() {
            let Some(conversation) = self.conversations.get_mut(socket.conversation) else { continue };
            if conversation.publishers.len() < each {
                conversation.publishers.push(number);
            }
        }
        Ok(())
    }

    fn come_in(
        &mut self,
        count: u64,
        mut told: impl FnMut(u64),
        mut next: impl FnMut(&mut Self, u64) -> anyhow::Result<Socket>,
    ) -> anyhow::Result<()> {
        let before = self.came.joined;
        let mut begun = 0;
        while self.came.joined < before + count {
            while begun < count && begun - (self.came.joined - before) < JOINING_MAX {
                let mut socket = next(self, begun)?;
                let token = Token(self.sockets.len());
                let both = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut socket.stream, token, both)?;
                self.came.joined += u64::from(socket.go_on()?);
                self.sockets.push(socket);
                begun += 1;
            }
            self.wait()?;
            told(self.came.joined - before);
        }
        Ok(())
    }

    /// Publishes for so long, and waits until all have all of it.
    ///
    /// # Errors
    /// A connection ended, a message was refused, or nothing comes any more.
    pub fn run(&mut self, pace: Pace, time: Duration) -> anyhow::Result<Ran> {
        let (before, start) = (self.came, Instant::now());
        match pace {
            Pace::InFlight(all) => self.keep_in_flight(all, start + time)?,
            Pace::PerSecond(rate) => self.keep_pace(rate, time)?,
        }
        Ok(Ran {
            deliveries: self.came.deliveries - before.deliveries,
            bytes: self.came.bytes - before.bytes,
            took: start.elapsed(),
            latencies: std::mem::take(&mut self.latencies),
        })
    }

    fn keep_in_flight(&mut self, all: u32, until: Instant) -> anyhow::Result<()> {
        let each = (u64::from(all) / self.conversations.len() as u64).max(1);
        for index in 0..self.conversations.len() {
            for _ in 0..each {
                self.publish(index)?;
            }
        }
        while self.in_flight() {
            self.wait()?;
            let mut done = std::mem::take(&mut self.done);
            for index in done.drain(..) {
                if Instant::now() < until {
                    self.publish(index)?;
                }
            }
            self.done = done;
        }
        Ok(())
    }

    fn keep_pace(&mut self, rate: u32, time: Duration) -> anyhow::Result<()> {
        let interval = Duration::from_secs(1) / rate;
        let schedule = Schedule { start: Instant::now() + interval, interval };
        let total = u64::try_from(time.as_nanos() / interval.as_nanos())?.max(1);
        let conversations = self.conversations.len() as u64;
        for conversation in &mut self.conversations {
            conversation.before = conversation.counted.published();
        }
        self.due = Some(schedule);
        let keeper = TimeKeeper::start(schedule, total, Arc::clone(&self.waker))?;
        let mut published = 0;
        while published < total || self.in_flight() {
            self.wait()?;
            while published < keeper.due() {
                self.publish(usize::try_from(published % conversations)?)?;
                published += 1;
            }
            self.done.clear();
        }
        self.due = None;
        Ok(())
    }

    fn in_flight(&self) -> bool {
        self.conversations.iter().any(|conversation| conversation.counted.in_flight() > 0)
    }

    fn publish(&mut self, index: usize) -> anyhow::Result<()> {
        let conversation = self.conversations.get_mut(index).context("a conversation for each turn")?;
        let number = conversation.counted.published();
        let publisher = usize::try_from(number)?.checked_rem(conversation.publishers.len());
        let publisher = publisher.and_then(|turn| conversation.publishers.get(turn));
        let publisher = publisher.and_then(|publisher| self.sockets.get_mut(*publisher));
        let frame = self.dialect.publish(number, conversation.name, &text(number))?;
        conversation.counted.publish();
        Ok(publisher.context("nobody publishes to a conversation")?.send(&frame)?)
    }

    /// Does nothing for so long but answer to pings.
    ///
    /// # Errors
    /// A connection ended.
    pub fn stay(&mut self, time: Duration) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            self.look(left)?;
        }
    }

    /// Waits until something can be read, and reads it.
    fn wait(&mut self) -> anyhow::Result<()> {
        let came = self.look(PATIENCE)?;
        ensure!(came, "nothing came for {} s, and something should", PATIENCE.as_secs());
        Ok(())
    }

    /// The same, but not for ever; gives whether something came.
    fn look(&mut self, time: Duration) -> anyhow::Result<bool> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(true),
            polled => polled?,
        }
        let conversations = self.conversations.len() as u64;
        for event in &self.events {
            let Some(socket) = self.sockets.get_mut(event.token().0) else { continue };
            if event.is_writable() {
                socket.flush()?;
            }
            let had = socket.came;
            let came = socket.read(self.dialect, &mut self.buffer)?;
            self.came.joined += u64::from(came.joined);
            if !socket.gets || came.deliveries == 0 {
                continue;
            }
            self.came.deliveries += came.deliveries;
            self.came.bytes += came.bytes;
            let index = socket.conversation;
            let conversation = self.conversations.get_mut(index).context("a session's conversation")?;
            let due = self.due.map(|schedule| (schedule, Instant::now()));
            for turn in had..had + came.deliveries {
                let done = conversation.counted.delivered(turn)?;
                self.done.extend((0..done).map(|_| index));
                if let Some((schedule, now)) = due {
                    let number = (turn - conversation.before) * conversations + index as u64;
                    self.latencies.push(now.saturating_duration_since(schedule.due_at(number)));
                }
            }
        }
        Ok(!self.events.is_empty())
    }
}

/// A text of its length, unlike the others.
fn text(number: u64) -> String {
    let text = format!("message {number} ");
    format!("{text:x<TEXT_LEN$}")
}

/// A thread that says when messages are due: to wait for connections is too coarse a clock. It ends when this is dropped.
struct TimeKeeper {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    due: AtomicU64,
    over: AtomicBool,
}

impl TimeKeeper {
    /// Wakes somebody whenever one of `total` messages is due.
    fn start(schedule: Schedule, total: u64, waker: Arc<Waker>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared { due: AtomicU64::new(0), over: AtomicBool::new(false) });
        let told = Arc::clone(&shared);
        let keep = move || {
            for number in 0..total {
                schedule.wait(number, || told.over.load(Ordering::Relaxed));
                told.due.store(number + 1, Ordering::Release);
                if told.over.load(Ordering::Relaxed) || waker.wake().is_err() {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("bench-time".to_owned()).spawn(keep);
        Ok(Self { shared, thread: Some(thread.context("cannot start a thread")?) })
    }

    /// How many messages are due.
    fn due(&self) -> u64 {
        self.shared.due.load(Ordering::Acquire)
    }
}

impl Drop for TimeKeeper {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}
