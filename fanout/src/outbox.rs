//! What waits to be written to one session.
//!
//! The outbox owns the writing side of the socket: replies, events, pings and the pongs of the WebSocket layer all go through it,
//! so none can fall inside a half-written other. It writes at once when nothing waits; what the
//! socket does not take is kept and goes out, several frames to a write, when the socket is writable again.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
};

use bytes::{Buf, Bytes};

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Most bytes that may wait before live delivery to a session stops and it catches up at its own pace.
    pub(crate) bytes_max: usize,
    /// A session that catches up is given its next page when no more bytes than this wait.
    pub(crate) bytes_low: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 512 * 1_024, bytes_low: 64 * 1_024 }
    }
}

/// Most frames in one write.
const SLICES_MAX: usize = 64;

/// Something that takes bytes as far as it can without waiting.
pub(crate) trait Wire {
    /// Writes some of `slices`; `WouldBlock` if it takes nothing now.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

impl<W: Wire + ?Sized> Wire for Box<W> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (**self).try_write(slices)
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Outbox<W> {
    wire: W,
    limits: Limits,
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// A part of the first frame is written.
    front_begun: bool,
}

impl<W: Wire> Outbox<W> {
    pub(crate) fn new(wire: W, limits: Limits) -> Self {
        Self { wire, limits, waiting: VecDeque::new(), bytes: 0, front_begun: false }
    }

    /// Whether so little waits that another page may come.
    pub(crate) fn is_low(&self) -> bool {
        self.bytes <= self.limits.bytes_low
    }

    /// Whether `len` more bytes may wait. An empty outbox takes any one frame.
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        self.bytes == 0 || self.bytes + len <= self.limits.bytes_max
    }

    /// Bytes that wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Adds a frame before what waits, but behind a frame of which a part is written.
    pub(crate) fn push_next(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        let at = usize::from(self.front_begun);
        self.waiting.insert(at, frame);
    }

    /// Drops what waits, but for the rest of a frame of which a part is written.
    pub(crate) fn clear(&mut self) {
        self.waiting.truncate(usize::from(self.front_begun));
        self.bytes = self.waiting.iter().map(Bytes::len).sum();
    }

    /// Adds a frame behind what waits; [`Outbox::flush`] writes it. Says whether nothing waited before.
    pub(crate) fn push(&mut self, frame: Bytes) -> bool {
        let first = self.bytes == 0;
        if !frame.is_empty() {
            self.bytes += frame.len();
            self.waiting.push_back(frame);
        }
        first
    }

    /// Adds a frame and writes what the socket takes; says whether nothing waits any more. A frame that is taken whole, as nearly all are,
    /// is never kept.
    ///
    /// # Errors
    /// The socket is broken; the session is over.
    pub(crate) fn write(&mut self, frame: &Bytes) -> io::Result<bool> {
        let written = if self.bytes == 0 && !frame.is_empty() {
            match self.wire.try_write(&[IoSlice::new(frame)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                // As if it had not been tried: what waits is written by whoever knows when.
                Err(_) => 0,
            }
        } else {
            0
        };
        if written == frame.len() {
            return Ok(true);
        }
        self.push(frame.slice(written..));
        self.front_begun |= written > 0;
        self.flush()
    }

    /// Writes as much as the socket takes; says whether nothing waits any more.
    ///
    /// # Errors
    /// The socket is broken; the session is over.
    pub(crate) fn flush(&mut self) -> io::Result<bool> {
        while self.bytes > 0 {
            let frames = self.waiting.iter().take(SLICES_MAX);
            let written = if self.waiting.len() == 1 {
                // The common case costs no list.
                self.wire.try_write(&[IoSlice::new(self.waiting.front().map_or(&[], |frame| frame))])
            } else {
                self.wire.try_write(&frames.map(|frame| IoSlice::new(frame)).collect::<Vec<_>>())
            };
            match written {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        // An idle session costs nothing for what once waited.
        if self.waiting.capacity() > SLICES_MAX {
            self.waiting = VecDeque::new();
        }
        Ok(true)
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(front) = self.waiting.front_mut() {
            if front.len() > written {
                front.advance(written);
                self.front_begun |= written > 0;
                return;
            }
            self.front_begun = false;
            written -= front.len();
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// A socket with room for so many bytes.
    #[derive(Default)]
    struct Pipe {
        room: Cell<usize>,
        got: RefCell<Vec<u8>>,
        writes: Cell<usize>,
    }

    impl Wire for &Pipe {
        fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
            let taken = bytes.len().min(self.room.get());
            if taken == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.writes.set(self.writes.get() + 1);
            self.room.set(self.room.get() - taken);
            self.got.borrow_mut().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }
    }

    /// Of two frames the first is written in part.
    fn half_written(pipe: &Pipe) -> Outbox<&Pipe> {
        let mut outbox = Outbox::new(pipe, Limits::default());
        for frame in [&b"first"[..], b"second"] {
            outbox.push(Bytes::from_static(frame));
        }
        pipe.room.set(2);
        outbox.flush().unwrap();
        outbox
    }

    #[test]
    fn what_the_socket_does_not_take_goes_out_later_in_order_and_together() {
        let pipe = Pipe::default();
        let mut outbox = Outbox::new(&pipe, Limits::default());
        pipe.room.set(3);
        assert!(outbox.push(Bytes::from_static(b"first")));
        assert!(!outbox.flush().unwrap());
        for frame in [&b"second"[..], b"third"] {
            assert!(!outbox.push(Bytes::from_static(frame)));
        }
        assert_eq!(outbox.bytes, 13);
        pipe.room.set(100);
        assert!(outbox.flush().unwrap());
        assert_eq!(pipe.got.borrow().as_slice(), b"firstsecondthird");
        assert_eq!(pipe.writes.get(), 2, "three frames went out in one write");
    }

    #[test]
    fn a_frame_that_is_taken_whole_is_not_kept_and_of_others_the_rest_waits_in_its_place() {
        let pipe = Pipe::default();
        let mut outbox = Outbox::new(&pipe, Limits::default());
        pipe.room.set(8);
        assert!(outbox.write(&Bytes::from_static(b"first")).unwrap());
        assert_eq!((outbox.bytes, outbox.waiting.capacity(), pipe.writes.get()), (0, 0, 1));
        assert!(!outbox.write(&Bytes::from_static(b"second")).unwrap());
        assert_eq!(outbox.bytes, 3);
        outbox.push_next(Bytes::from_static(b"ping"));
        pipe.room.set(0);
        assert!(!outbox.write(&Bytes::from_static(b"third")).unwrap());
        pipe.room.set(100);
        assert!(outbox.write(&Bytes::from_static(b"fourth")).unwrap());
        assert_eq!(pipe.got.borrow().as_slice(), b"firstsecondpingthirdfourth");
        assert!(outbox.write(&Bytes::new()).unwrap());
    }

    #[test]
    fn a_ping_overtakes_what_waits_but_never_falls_into_a_frame() {
        let pipe = Pipe::default();
        let mut outbox = half_written(&pipe);
        outbox.push_next(Bytes::from_static(b"PING"));
        pipe.room.set(3);
        outbox.flush().unwrap();
        outbox.push_next(Bytes::from_static(b"PONG"));
        pipe.room.set(100);
        assert!(outbox.flush().unwrap());
        assert_eq!(pipe.got.borrow().as_slice(), b"firstPONGPINGsecond");
    }

    #[test]
    fn what_is_dropped_is_not_written_but_no_frame_is_cut() {
        let pipe = Pipe::default();
        let mut outbox = half_written(&pipe);
        outbox.clear();
        assert_eq!(outbox.len(), 3);
        outbox.push(Bytes::from_static(b"third"));
        pipe.room.set(100);
        assert!(outbox.flush().unwrap());
        assert_eq!(pipe.got.borrow().as_slice(), b"firstthird");
        outbox.clear();
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn the_limit_holds_at_it_and_one_past() {
        let pipe = Pipe::default();
        let mut outbox = Outbox::new(&pipe, Limits::default());
        let max = Limits::default().bytes_max;
        assert!(outbox.has_room_for(10 * max), "one frame always goes");
        outbox.push(Bytes::from(vec![0; max - 1]));
        assert!(outbox.has_room_for(1));
        assert!(!outbox.has_room_for(2));
    }

    #[test]
    fn every_byte_is_written_once_however_little_the_socket_takes() {
        let pipe = Pipe::default();
        let mut outbox = Outbox::new(&pipe, Limits::default());
        let expected: Vec<u8> = (0..200u8).collect();
        for chunk in expected.chunks(7) {
            outbox.push(Bytes::copy_from_slice(chunk));
        }
        for room in [1, 2, 3, 5, 7, 11, 13].into_iter().cycle() {
            pipe.room.set(room);
            if outbox.flush().unwrap() {
                break;
            }
        }
        assert_eq!(pipe.got.borrow().as_slice(), expected);
    }
}
