//! One connection of a load: it comes in step by step, and then counts what is delivered.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    vec,
};

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;

use crate::measure::{
    dialect::{Dialect, Step, Until},
    frame,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) stream: TcpStream,
    /// Which conversation it is about.
    pub(super) conversation: usize,
    /// Whether it is one of those that a message has to come to.
    pub(super) gets: bool,
    /// Messages that came.
    pub(super) came: u64,
    steps: vec::IntoIter<Step>,
    awaited: Option<Until>,
    /// The beginning of a frame that is not whole yet.
    rest: Vec<u8>,
    /// What the system did not take yet.
    unsent: Vec<u8>,
}

/// What a look at a connection brought.
#[derive(Debug, Default)]
pub(super) struct Came {
    pub(super) deliveries: u64,
    pub(super) bytes: u64,
    /// It is in.
    pub(super) joined: bool,
}

impl Socket {
    /// Connects. Nothing is said yet.
    pub(super) fn connect(
        address: SocketAddr,
        conversation: usize,
        gets: bool,
        steps: Vec<Step>,
    ) -> anyhow::Result<Self> {
        // On loopback this waits for nobody as long as there is room for connections that wait to be taken.
        let stream = std::net::TcpStream::connect(address).with_context(|| format!("no way to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream);
        let steps = steps.into_iter();
        let (rest, unsent) = (Vec::new(), Vec::new());
        Ok(Self { stream, conversation, gets, came: 0, steps, awaited: None, rest, unsent })
    }

    /// Says what comes next; gives whether that was all.
    pub(super) fn go_on(&mut self) -> io::Result<bool> {
        let Some(Step { says, until }) = self.steps.next() else {
            self.awaited = None;
            return Ok(true);
        };
        self.awaited = Some(until);
        self.send(&says)?;
        Ok(false)
    }

    /// Sends, as far as the system takes it; the rest follows with [`Self::flush`].
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsent.extend(bytes);
        self.flush()
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(len) => drop(self.unsent.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what is there, by way of a buffer that holds more than any frame.
    ///
    /// # Errors
    /// The connection ended, or the server said no.
    pub(super) fn read(&mut self, dialect: &dyn Dialect, buffer: &mut [u8]) -> anyhow::Result<Came> {
        let mut came = Came::default();
        loop {
            let (held, free) = buffer.split_at_mut_checked(self.rest.len()).unwrap_or_default();
            ensure!(!free.is_empty(), "a frame is longer than any should be");
            let len = match self.stream.read(free) {
                Ok(0) => bail!("the server closed a session"),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(came),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            // A read that brought less than it might have has emptied the socket.
            let is_empty = len < free.len();
            held.copy_from_slice(&self.rest);
            came.bytes += len as u64;
            let bytes = buffer.get(..self.rest.len() + len).unwrap_or_default();
            let taken = self.take(dialect, bytes, &mut came)?;
            self.rest.clear();
            self.rest.extend(bytes.get(taken..).unwrap_or_default());
            if is_empty {
                return Ok(came);
            }
        }
    }

    /// Takes what is whole; gives how many bytes that were.
    fn take(&mut self, dialect: &dyn Dialect, bytes: &[u8], came: &mut Came) -> anyhow::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = bytes.get(taken..).unwrap_or_default();
            if let Some(Until::Upgraded) = self.awaited {
                let Some(len) = frame::upgraded(rest)? else { return Ok(taken) };
                taken += len;
                came.joined |= self.go_on()?;
                continue;
            }
            let Some((opcode, payload, len)) = frame::first(rest) else { return Ok(taken) };
            taken += len;
            match opcode {
                frame::TEXT => self.payload(dialect, payload, came)?,
                frame::PING => self.send(&frame::masked(frame::PONG, payload)?)?,
                frame::PONG => {}
                frame::CLOSE => bail!("the server ended a session: {}", reason(payload)),
                _ => bail!("the server sent a frame of type {opcode}"),
            }
        }
    }

    fn payload(&mut self, dialect: &dyn Dialect, payload: &[u8], came: &mut Came) -> anyhow::Result<()> {
        let deliveries = dialect.deliveries(payload);
        came.deliveries += deliveries;
        self.came += deliveries;
        if let Some(pong) = dialect.pong(payload) {
            self.send(&frame::client_frame(pong)?)?;
        }
        ensure!(!dialect.is_refusal(payload), "the server refused: {}", String::from_utf8_lossy(payload));
        if let Some(Until::Begins(begins)) = &self.awaited
            && payload.starts_with(begins.as_bytes())
        {
            came.joined |= self.go_on()?;
        }
        Ok(())
    }
}

/// What stands in a close frame: a code and a text.
fn reason(payload: &[u8]) -> String {
    match payload.split_first_chunk() {
        Some((code, text)) => format!("{} {}", u16::from_be_bytes(*code), String::from_utf8_lossy(text)),
        None => "without a word".to_owned(),
    }
}
