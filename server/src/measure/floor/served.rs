//! The floor's thread: it takes connections in, and writes.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, ensure};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

use super::{LISTENER, STOP, WELCOME};
use crate::measure::frame::text_frame;

/// Bytes that are written at once to whoever comes back, give or take a frame.
const PIECE_LEN: usize = 128 * 1_024;
/// What is read at once.
const READ_LEN: usize = 64 * 1_024;
/// Connections that are looked at together.
const EVENTS_LEN: usize = 1_024;

/// See the module.
pub(super) struct Served {
    poll: Poll,
    listener: TcpListener,
    frame: Vec<u8>,
    /// Whole frames, to be written again and again.
    piece: Vec<u8>,
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
    /// It gets many frames; so many bytes are written, of so many.
    Again { written: u64, all: u64 },
}

impl Served {
    /// Nobody is there yet.
    pub(super) fn new(poll: Poll, listener: TcpListener, frame: Vec<u8>) -> Self {
        let piece = frame.repeat((PIECE_LEN / frame.len().max(1)).max(1));
        let (connections, conversations, sessions) = (Vec::new(), HashMap::new(), Vec::new());
        Self { poll, listener, frame, piece, connections, conversations, sessions }
    }

    /// Works until it is told to stop, and woken.
    pub(super) fn run(&mut self, stop: &AtomicBool) -> anyhow::Result<()> {
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
                    Token(index) => {
                        if event.is_writable() {
                            self.go_on(index);
                        }
                        self.read(index, &mut buffer)?;
                    }
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
                Is::Getting | Is::Again { .. } => {}
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
        if what == "again" {
            return self.begin_again(index, conversation);
        }
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

    /// Somebody gets as many frames as the line says.
    fn begin_again(&mut self, index: usize, line: &str) -> anyhow::Result<()> {
        let frames: u64 =
            line.split(' ').next().unwrap_or_default().parse().context("no number of frames")?;
        let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
        connection.is = Is::Again { written: 0, all: frames * self.frame.len() as u64 };
        let both = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().reregister(&mut connection.stream, Token(index), both)?;
        self.go_on(index);
        Ok(())
    }

    /// Writes what the socket takes of what comes again.
    fn go_on(&mut self, index: usize) {
        let Some(Some(Connection { stream, is: Is::Again { written, all } })) =
            self.connections.get_mut(index)
        else {
            return;
        };
        while written < all {
            let from = usize::try_from(*written % self.piece.len() as u64).unwrap_or_default();
            let left = usize::try_from(*all - *written).unwrap_or(usize::MAX);
            let rest = self.piece.get(from..).unwrap_or_default();
            match stream.write(rest.get(..left).unwrap_or(rest)) {
                Ok(len) if len > 0 => *written += len as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => return self.forget(index),
            }
        }
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
