//! The least that delivering takes: one ready frame, one `write` for each session, on one thread, and nothing else.
//!
//! No protocol, no token, nothing kept, nothing parsed. It is driven as a server is: a line that comes from whoever
//! publishes is a message, and goes to all who are in its conversation.
//!
//! Invariant: a delivery is exactly one `write` of a whole frame.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread,
};

use anyhow::{Context, ensure};
use mio::{
    Events, Interest, Poll, Token, Waker,
    net::{TcpListener, TcpStream},
};

use super::{
    Cores, Dialect, Step, Until,
    frame::{pushes, text_frame},
};
use crate::cpu;

/// What is read at once.
const READ_LEN: usize = 64 * 1_024;
/// Connections that are looked at together.
const EVENTS_LEN: usize = 1_024;
const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
/// The answer to whoever comes in.
const WELCOME: &str = "welcome";
/// Head of a frame of more than 125 bytes.
const HEAD_LEN: usize = 4;

/// See the module. Its thread ends with it.
#[derive(Debug)]
pub struct Floor {
    /// Where it listens.
    pub address: SocketAddr,
    /// The processor time of its thread.
    pub clock: cpu::Clock,
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<thread::JoinHandle<()>>,
}

/// How one speaks to it.
#[derive(Debug, Clone, Copy)]
pub struct Lines;

impl Floor {
    /// Starts its thread, on the server's processor; each frame has `frame_len` bytes, its head included (at least 130).
    ///
    /// # Errors
    /// The system does not give what is needed.
    pub fn start(frame_len: usize, cores: Option<Cores>) -> anyhow::Result<Self> {
        let begins = "{\"push\":";
        let payload = format!("{begins:x<len$}", len = frame_len.saturating_sub(HEAD_LEN));
        let frame = text_frame(payload.as_bytes())?;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = sync_channel(1);
        let stopped = Arc::clone(&stop);
        let work = move || {
            // Whoever started this waits for it.
            let _ = tell.send(cpu::Clock::of_this_thread());
            let mut served = Served {
                poll,
                listener,
                frame,
                connections: Vec::new(),
                conversations: HashMap::new(),
                sessions: Vec::new(),
            };
            if let Err(error) = served.run(&stopped) {
                tracing::error!(%error, "the floor failed");
            }
        };
        let spawn = || thread::Builder::new().name("bench-floor".to_owned()).spawn(work);
        let thread = match cores {
            Some(cores) => cores.beside_the_load(spawn)?,
            None => spawn(),
        };
        let thread = Some(thread.context("cannot start a thread")?);
        let clock = told.recv().context("the floor's thread is gone")?;
        Ok(Self { address, clock, stop, waker, thread })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take()
            && self.waker.wake().is_ok()
        {
            // It says itself what went wrong.
            let _ = thread.join();
        }
    }
}

impl Dialect for Lines {
    fn joining(&self, _: u64, conversation: &str) -> anyhow::Result<Vec<Step>> {
        Ok(coming("get", conversation))
    }

    fn publishing(&self, _: u64, conversation: &str) -> anyhow::Result<Option<Vec<Step>>> {
        Ok(Some(coming("publish", conversation)))
    }

    fn publish(&self, _: u64, _: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        Ok(format!("{text}\n").into_bytes())
    }

    fn deliveries(&self, payload: &[u8]) -> u64 {
        pushes(payload).count() as u64
    }
}

fn coming(what: &str, conversation: &str) -> Vec<Step> {
    let says = format!("{what} {conversation}\n").into_bytes();
    vec![Step { says, until: Until::Begins(WELCOME.to_owned()) }]
}

struct Served {
    poll: Poll,
    listener: TcpListener,
    frame: Vec<u8>,
    connections: Vec<Option<Connection>>,
    conversations: HashMap<String, usize>,
    /// Of each conversation, by their place among the connections.
    sessions: Vec<Vec<usize>>,
}

struct Connection {
    stream: TcpStream,
    is: Is,
}

enum Is {
    /// Nobody yet; what came of its line.
    New(Vec<u8>),
    /// A session.
    Getting,
    /// It publishes to a conversation.
    Publishing(usize),
}

impl Served {
    fn run(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS_LEN);
        let mut buffer = vec![0; READ_LEN];
        while !stop.load(Ordering::Acquire) {
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.take_in()?,
                    STOP => {}
                    Token(index) => self.read(index, &mut buffer)?,
                }
            }
        }
        Ok(())
    }

    fn take_in(&mut self) -> anyhow::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let token = Token(self.connections.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE)?;
            self.connections.push(Some(Connection { stream, is: Is::New(Vec::new()) }));
        }
    }

    fn read(&mut self, index: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
            let len = match connection.stream.read(buffer) {
                Ok(len) if len > 0 => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Whoever is gone gets nothing more.
                _ => {
                    self.forget(index);
                    return Ok(());
                }
            };
            let bytes = buffer.get(..len).unwrap_or_default();
            match &mut connection.is {
                Is::New(line) => {
                    line.extend(bytes);
                    if let Some(line) = line.strip_suffix(b"\n") {
                        let line = String::from_utf8_lossy(line).into_owned();
                        self.welcome(index, &line)?;
                    }
                }
                Is::Getting => {}
                Is::Publishing(conversation) => {
                    let conversation = *conversation;
                    for _ in bytes.iter().filter(|byte| **byte == b'\n') {
                        self.deliver(conversation)?;
                    }
                }
            }
            // A read that brought less than it might have has emptied the socket.
            if len < buffer.len() {
                return Ok(());
            }
        }
    }

    fn forget(&mut self, index: usize) {
        if let Some(place) = self.connections.get_mut(index) {
            *place = None;
        }
        self.sessions.iter_mut().for_each(|sessions| sessions.retain(|other| *other != index));
    }

    fn welcome(&mut self, index: usize, line: &str) -> anyhow::Result<()> {
        let (what, conversation) = line.split_once(' ').context("neither get nor publish")?;
        let fresh = self.sessions.len();
        let conversation = *self.conversations.entry(conversation.to_owned()).or_insert(fresh);
        if conversation == fresh {
            self.sessions.push(Vec::new());
        }
        let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
        connection.is = match self.sessions.get_mut(conversation).filter(|_| what == "get") {
            Some(sessions) => {
                sessions.push(index);
                Is::Getting
            }
            None => Is::Publishing(conversation),
        };
        Ok(connection.stream.write_all(&text_frame(WELCOME.as_bytes())?)?)
    }

    fn deliver(&mut self, conversation: usize) -> anyhow::Result<()> {
        for session in self.sessions.get(conversation).into_iter().flatten() {
            let Some(Some(connection)) = self.connections.get_mut(*session) else { continue };
            // The load reads at once, so there is always room for a frame.
            let len =
                connection.stream.write(&self.frame).context("a session does not take what is written")?;
            ensure!(len == self.frame.len(), "a session took only a part of a frame");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;
    use crate::measure::{Drive, Pace};

    #[test]
    fn every_message_is_one_frame_of_its_length_for_each_session() {
        let floor = Floor::start(300, None).unwrap();
        let conversations = ["tea".to_owned(), "rum".to_owned()];
        let mut drive = Drive::new(&Lines, floor.address, &conversations).unwrap();
        drive.join(6, |_| {}).unwrap();
        drive.bring_publishers(2).unwrap();
        let ran = drive.run(Pace::InFlight(4), Duration::from_millis(50)).unwrap();
        assert!(ran.deliveries >= 12 && ran.deliveries.is_multiple_of(3), "{ran:?}");
        assert_eq!(ran.bytes, 300 * ran.deliveries);
        assert!(ran.latencies.is_empty());
        // Two messages: one for each of three sessions of each conversation.
        for _ in 0..2 {
            let ran = drive.run(Pace::PerSecond(100), Duration::from_millis(20)).unwrap();
            assert_eq!((ran.deliveries, ran.latencies.len()), (6, 6));
        }
    }

    #[test]
    fn it_ends_when_it_is_dropped() {
        let floor = Floor::start(300, None).unwrap();
        let (ended, end) = mpsc::channel();
        thread::spawn(move || {
            drop(floor);
            ended.send(()).unwrap();
        });
        end.recv_timeout(Duration::from_secs(30)).unwrap();
    }
}
