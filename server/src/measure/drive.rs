//! A load on one thread that costs little: connections that come in, publish, and count what is delivered.
//!
//! ```text
//!   publish --> server --> every session of the conversation: cut the frames, count, and parse nothing
//!      ^                                   |
//!      +------- all have it ---------------+    (or when the next message is due)
//! ```
//!
//! - `socket`: one connection;
//! - `coming_in`: how they come in;
//! - `unread`: a run in which nobody reads;
//! - `counted`: which messages are at all sessions.
//!
//! With a processor to itself the load never sleeps: on one machine whoever is woken costs the one who writes to it more than the write
//! does, and the clients of a server are on other machines.
//!
//! Invariant: a delivery counts when its bytes have been read here, and a run ends when every message is at every
//! session; a message too many or too few is an error.

use std::{
    fmt, io,
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use mio::{Events, Poll};

use super::{Dialect, Schedule};
use counted::Counted;
use socket::Socket;

mod coming_in;
mod counted;
mod socket;
mod unread;

/// Bytes of a text.
const TEXT_LEN: usize = 200;
/// Longer than any frame.
const BUFFER_LEN: usize = 1 << 20;
/// Connections that are looked at together.
const EVENTS_LEN: usize = 1_024;
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// Bytes that the system is asked to keep for a connection that is not read; `None`: as many as it likes.
    room: Option<usize>,
    /// Has a processor to itself.
    alone: bool,
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    sockets: Vec<Socket>,
    conversations: Vec<Conversation<'a>>,
    came: Totals,
    /// When somebody came in, or a message was published or delivered.
    moved: Instant,
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
        Ok(Self {
            dialect,
            address,
            room: None,
            alone: false,
            poll,
            events: Events::with_capacity(EVENTS_LEN),
            buffer: vec![0; BUFFER_LEN],
            sockets: Vec::new(),
            conversations: conversations.iter().map(conversation).collect(),
            came: Totals::default(),
            moved: Instant::now(),
            done: Vec::new(),
            due: None,
            latencies: Vec::new(),
        })
    }

    /// The same on a processor of its own, if it is.
    #[must_use]
    pub fn alone(self, alone: bool) -> Self {
        Self { alone, ..self }
    }

    /// Publishes for so long, and waits until all have all of it.
    ///
    /// # Errors
    /// A connection ended, a message was refused, or nothing comes any more.
    pub fn run(&mut self, pace: Pace, time: Duration) -> anyhow::Result<Ran> {
        let (before, start) = (self.came, Instant::now());
        self.moved = start;
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
            self.wait(PATIENCE)?;
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
        let mut published = 0;
        while published < total || self.in_flight() {
            let next = if published < total { schedule.due_in(published) } else { PATIENCE };
            self.wait(next)?;
            while published < total && schedule.due_in(published).is_zero() {
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
        self.moved = Instant::now();
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

    /// Reads what is there; sleeps until something is, or for so long, unless it never sleeps.
    fn wait(&mut self, time: Duration) -> anyhow::Result<()> {
        if self.alone {
            self.look(Duration::ZERO)?;
            // What the system has to do on this processor, for the server's disk for one, need not wait for its turn.
            thread::yield_now();
        } else {
            self.look(time)?;
        }
        // Pings come all the time.
        ensure!(
            self.moved.elapsed() < PATIENCE,
            "nothing came for {} s, and something should",
            PATIENCE.as_secs()
        );
        Ok(())
    }

    /// The same, but nothing need come.
    fn look(&mut self, time: Duration) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(time)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        let now = Instant::now();
        let conversations = self.conversations.len() as u64;
        for event in &self.events {
            let Some(socket) = self.sockets.get_mut(event.token().0) else { continue };
            if event.is_writable() {
                socket.flush()?;
            }
            let had = socket.came;
            let came = socket.read(self.dialect, &mut self.buffer)?;
            if came.joined || came.deliveries > 0 {
                self.moved = now;
            }
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
        Ok(())
    }
}

/// A text of 200 bytes, unlike the others.
pub fn text(number: u64) -> String {
    let text = format!("message {number} ");
    format!("{text:x<TEXT_LEN$}")
}
