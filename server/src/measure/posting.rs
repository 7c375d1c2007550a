//! Posts as fast as a server takes them: connections on one thread, each with so many messages on their way.
//!
//! ```text
//!   post, post, … --> server --> answers: cut them and count, and post as many again
//! ```
//!
//! - `door`: how one comes in, posts, and cuts an answer, over HTTP or over a session.
//!
//! Invariant: a message counts when its answer has been read here and says that it is accepted; any other answer is
//! an error. When time is over nothing more is posted, and all answers are waited for.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use mio::{Events, Interest, Poll, Token, net::TcpStream};

use super::text;
use door::Cut;

mod door;

pub use door::{Door, OverHttp, OverSession};

/// Longer than any answers that come at once.
const BUFFER_LEN: usize = 256 * 1_024;
/// Connections that are looked at together.
const EVENTS_LEN: usize = 1_024;
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module. The connections end with it.
#[derive(Debug)]
pub struct Posting<'a> {
    door: &'a dyn Door,
    conversations: &'a [String],
    poll: Poll,
    connections: Vec<Connection>,
    /// Over all connections.
    posted: u64,
    answered: u64,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// Messages that it posted.
    posted: u64,
    /// The beginning of an answer that is not whole yet.
    rest: Vec<u8>,
}

/// What a run brought.
#[derive(Debug, Clone, Copy)]
pub struct Posted {
    /// Messages that were accepted.
    pub messages: u64,
    /// From the first message to the last answer.
    pub took: Duration,
}

impl<'a> Posting<'a> {
    /// Lets so many connections come in. Each posts to all conversations in turn.
    ///
    /// # Errors
    /// The server refuses.
    pub fn begin(
        door: &'a dyn Door,
        address: SocketAddr,
        conversations: &'a [String],
        connections: u32,
    ) -> anyhow::Result<Self> {
        let poll = Poll::new().context("no way to wait for connections")?;
        let mut posting = Self { door, conversations, poll, connections: Vec::new(), posted: 0, answered: 0 };
        for number in 0..connections {
            let mut stream = std::net::TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            door.come_in(&mut stream, u64::from(number))?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let token = Token(posting.connections.len());
            posting.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            posting.connections.push(Connection { stream, posted: 0, rest: Vec::new() });
        }
        Ok(posting)
    }

    /// Keeps so many messages of each connection on their way, for so long, and waits for all answers.
    ///
    /// # Errors
    /// A connection ended, a message was not accepted, or nothing comes any more.
    pub fn run(&mut self, in_flight: u32, time: Duration) -> anyhow::Result<Posted> {
        let (before, start) = (self.answered, Instant::now());
        for index in 0..self.connections.len() {
            (0..in_flight).try_for_each(|_| self.post(index))?;
        }
        let (mut events, mut buffer) = (Events::with_capacity(EVENTS_LEN), vec![0; BUFFER_LEN]);
        while self.answered < self.posted {
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            ensure!(!events.is_empty(), "nothing came for {} s, and something should", PATIENCE.as_secs());
            for event in &events {
                let index = event.token().0;
                let answers = self.read(index, &mut buffer)?;
                self.answered += answers;
                if start.elapsed() < time {
                    (0..answers).try_for_each(|_| self.post(index))?;
                }
            }
        }
        Ok(Posted { messages: self.answered - before, took: start.elapsed() })
    }

    fn post(&mut self, index: usize) -> anyhow::Result<()> {
        let connection = self.connections.get_mut(index).context("a connection")?;
        let turn = usize::try_from(self.posted % self.conversations.len() as u64)?;
        let conversation = self.conversations.get(turn).context("a conversation for each turn")?;
        // Numbers of all connections differ, and so do their messages.
        let bytes = self.door.post(connection.posted, self.posted, conversation, &text(self.posted))?;
        let len = connection.stream.write(&bytes).context("a connection does not take what is posted")?;
        ensure!(len == bytes.len(), "a connection took only a part of what is posted");
        connection.posted += 1;
        self.posted += 1;
        Ok(())
    }

    /// Reads what is there; gives how many answers that were.
    fn read(&mut self, index: usize, buffer: &mut [u8]) -> anyhow::Result<u64> {
        let connection = self.connections.get_mut(index).context("a connection")?;
        let mut answers = 0;
        loop {
            let len = match connection.stream.read(buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(answers),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            connection.rest.extend(buffer.get(..len).unwrap_or_default());
            let mut taken = 0;
            while let Some(Cut { len, accepted, says }) =
                self.door.cut(connection.rest.get(taken..).unwrap_or_default())?
            {
                taken += len;
                answers += u64::from(accepted);
                connection.stream.write_all(says)?;
            }
            connection.rest.drain(..taken);
            // A read that brought less than it might have has emptied the socket.
            if len < buffer.len() {
                return Ok(answers);
            }
        }
    }
}
