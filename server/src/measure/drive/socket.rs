//! One connection of a load: it comes in step by step, and then counts what is delivered.

use std::{
    io::{self, Read, Write},
    mem,
    net::SocketAddr,
    vec,
};

use anyhow::{Context, bail, ensure};
use mio::net::TcpStream;
use socket2::{Domain, SockRef, Type};

use crate::measure::{
    dialect::{Dialect, Step, Until},
    frame::{self, Frame},
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
    /// The beginning of a message that comes in several frames.
    message: Vec<u8>,
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
    /// Connects. Nothing is said yet. The system is asked for `room` to keep what is not read.
    pub(super) fn connect(
        address: SocketAddr,
        room: Option<usize>,
        conversation: usize,
        gets: bool,
        steps: Vec<Step>,
    ) -> anyhow::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if let Some(room) = room {
            // Before it connects: that is when the most is settled that may be on its way.
            socket.set_recv_buffer_size(room)?;
        }
        // On loopback this waits for nobody as long as there is room for connections that wait to be taken.
        socket.connect(&address.into()).with_context(|| format!("no way to {address}"))?;
        socket.set_tcp_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let stream = TcpStream::from_std(socket.into());
        let steps = steps.into_iter();
        let (rest, message, unsent) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { stream, conversation, gets, came: 0, steps, awaited: None, rest, message, unsent })
    }

    /// Bytes that came and were not read.
    pub(super) fn unread(&self) -> io::Result<u64> {
        Ok(rustix::io::ioctl_fionread(&self.stream)?)
    }

    /// Bytes that the system keeps for it, what it needs itself to keep them included.
    pub(super) fn room(&self) -> io::Result<usize> {
        SockRef::from(&self.stream).recv_buffer_size()
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
            let Some(Frame { opcode, is_last, payload, len }) = frame::first(rest) else { return Ok(taken) };
            taken += len;
            match opcode {
                frame::TEXT if is_last => self.payload(dialect, payload, came)?,
                frame::TEXT | frame::MORE => {
                    self.message.extend(payload);
                    if is_last {
                        let message = mem::take(&mut self.message);
                        self.payload(dialect, &message, came)?;
                    }
                }
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

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        time::{Duration, Instant},
    };

    use super::*;
    use crate::measure::dialect::Channels;

    /// A connection, and the other end of it.
    fn connected(steps: Vec<Step>) -> (Socket, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Socket::connect(listener.local_addr().unwrap(), None, 0, true, steps).unwrap();
        (socket, listener.accept().unwrap().0)
    }

    /// Reads until `enough` holds of all that came.
    fn read(socket: &mut Socket, buffer_len: usize, enough: impl Fn(&Came) -> bool) -> Came {
        let (mut all, mut buffer, since) = (Came::default(), vec![0; buffer_len], Instant::now());
        while !enough(&all) {
            assert!(since.elapsed() < Duration::from_secs(30), "nothing more comes: {all:?}");
            let came = socket.read(&Channels::open(), &mut buffer).unwrap();
            all.deliveries += came.deliveries;
            all.bytes += came.bytes;
            all.joined |= came.joined;
        }
        all
    }

    fn text(payload: &str) -> Vec<u8> {
        frame::text_frame(payload.as_bytes()).unwrap()
    }

    #[test]
    fn steps_are_said_one_after_the_other() {
        let until = Until::Begins("{\"id\":1,\"connect\":".to_owned());
        let steps = vec![
            Step { says: b"first".to_vec(), until: Until::Upgraded },
            Step { says: b"second".to_vec(), until },
        ];
        let (mut socket, mut server) = connected(steps);
        assert!(!socket.go_on().unwrap());
        let mut said = [0; 5];
        server.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"first");
        server.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").unwrap();
        read(&mut socket, 1_024, |came| came.bytes > 20);
        let mut said = [0; 6];
        server.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"second");
        // With the result comes what has been delivered meanwhile.
        server.write_all(&text("{\"id\":1,\"connect\":{}}")).unwrap();
        server.write_all(&text("{\"push\":1}")).unwrap();
        let came = read(&mut socket, 1_024, |came| came.joined && came.deliveries > 0);
        assert_eq!(came.deliveries, 1);
    }

    #[test]
    fn what_is_refused_or_closed_is_an_error() {
        let (mut socket, mut server) = connected(Vec::new());
        server.write_all(&text("{\"id\":3,\"error\":{\"code\":103}}")).unwrap();
        let since = Instant::now();
        let fail = |socket: &mut Socket| loop {
            assert!(since.elapsed() < Duration::from_secs(30), "nothing is wrong");
            if let Err(error) = socket.read(&Channels::open(), &mut [0; 1_024]) {
                break error.to_string();
            }
        };
        assert!(fail(&mut socket).contains("103"));
        let (mut socket, mut server) = connected(Vec::new());
        server.write_all(&[0x88, 5, 0x0b, 0xc4, b'b', b'y', b'e']).unwrap();
        assert!(fail(&mut socket).contains("3012 bye"));
        let (mut socket, _) = connected(Vec::new());
        assert!(fail(&mut socket).contains("closed"));
    }

    #[test]
    fn messages_are_counted_however_they_are_cut() {
        let (mut socket, mut server) = connected(Vec::new());
        // One message in three frames, a ping between them, and one more.
        let mut bytes = vec![0x01, 4];
        bytes.extend(b"{\"pu");
        bytes.extend([0x00, 4]);
        bytes.extend(b"sh\":");
        bytes.extend([0x89, 0, 0x80, 14]);
        bytes.extend(b"1}\n{\"push\":2}\n");
        bytes.extend(text("{\"push\":3}"));
        for byte in &bytes {
            server.write_all(&[*byte]).unwrap();
        }
        let came = read(&mut socket, 32, |came| came.deliveries == 3);
        assert_eq!((came.bytes, socket.came), (bytes.len() as u64, 3));
        let mut pong = [0; 6];
        server.read_exact(&mut pong).unwrap();
        assert_eq!(pong, [0x8a, 0x80, 0, 0, 0, 0]);
    }
}
