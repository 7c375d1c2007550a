//! The least that delivering takes: one ready frame, one `write` for each session, on one thread, and nothing else.
//!
//! No protocol, no token, nothing kept, nothing parsed. It is driven as a server is: a line that comes from whoever
//! publishes is a message, and goes to all who are in its conversation.
//!
//! A second kind of line asks for many frames again, as somebody does who comes back: they are written as fast as the socket takes
//! them.
//!
//! Invariant: a delivery is exactly one `write` of a whole frame; what comes again is written in pieces of whole frames,
//! many to a `write`.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::sync_channel,
    },
    thread,
};

use anyhow::Context;
use mio::{Interest, Poll, Token, Waker, net::TcpListener};
use socket2::{Domain, Socket, Type};

use super::{
    Cores, Dialect, Step, Until,
    frame::{pushes, text_frame},
};
use crate::cpu;
use served::Served;

mod served;

const LISTENER: Token = Token(usize::MAX);
const STOP: Token = Token(usize::MAX - 1);
/// The answer to whoever comes in.
const WELCOME: &str = "welcome";
/// How a frame begins, as that of a push does.
const BEGINS: &str = "{\"push\":";
/// How many connections may wait to be taken.
const WAITING_LEN_MAX: i32 = 4_096;
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
        let payload = format!("{BEGINS:x<len$}", len = frame_len.saturating_sub(HEAD_LEN));
        Self::start_with(payload.as_bytes(), cores)
    }

    /// The same with frames that carry this (at most 64 KiB).
    ///
    /// # Errors
    /// It is too long, or the system does not give what is needed.
    pub fn start_with(payload: &[u8], cores: Option<Cores>) -> anyhow::Result<Self> {
        let frame = text_frame(payload)?;
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), STOP)?;
        let mut listener = listen()?;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tell, told) = sync_channel(1);
        let stopped = Arc::clone(&stop);
        let work = move || {
            // Whoever started this waits for it.
            let _ = tell.send(cpu::Clock::of_this_thread());
            let mut served = Served::new(poll, listener, frame);
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

impl Lines {
    /// What somebody says to get so many frames at once.
    pub fn again(frames: u64, conversation: &str) -> Vec<u8> {
        format!("again {frames} {conversation}\n").into_bytes()
    }
}

/// How somebody speaks to it who wants so many frames at once.
#[derive(Debug, Clone, Copy)]
pub struct Again(pub u64);

impl Dialect for Again {
    fn joining(&self, _: u64, conversation: &str) -> anyhow::Result<Vec<Step>> {
        let Self(frames) = self;
        Ok(vec![Step { says: Lines::again(*frames, conversation), until: Until::Begins(BEGINS.to_owned()) }])
    }

    fn publishing(&self, number: u64, conversation: &str) -> anyhow::Result<Option<Vec<Step>>> {
        Lines.publishing(number, conversation)
    }

    fn publish(&self, number: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        Lines.publish(number, conversation, text)
    }

    fn deliveries(&self, payload: &[u8]) -> u64 {
        Lines.deliveries(payload)
    }
}

/// Listens at a free port. As many may come at once as at a server.
fn listen() -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(WAITING_LEN_MAX)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn coming(what: &str, conversation: &str) -> Vec<Step> {
    let says = format!("{what} {conversation}\n").into_bytes();
    vec![Step { says, until: Until::Begins(WELCOME.to_owned()) }]
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpStream,
        sync::mpsc,
        time::Duration,
    };

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
    fn whoever_comes_back_gets_all_frames_again_however_many() {
        let floor = Floor::start(300, None).unwrap();
        // The second is more than any socket takes at once.
        for frames in [3, 100_000] {
            let mut stream = TcpStream::connect(floor.address).unwrap();
            stream.write_all(&Lines::again(frames, "tea")).unwrap();
            let frame = text_frame(&[b"{\"push\":", &[b'x'; 288][..]].concat()).unwrap();
            let mut came = vec![0; frame.len()];
            for _ in 0..frames {
                stream.read_exact(&mut came).unwrap();
                assert_eq!(came, frame);
            }
            stream.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
            assert!(stream.read(&mut came).is_err(), "nothing more");
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
