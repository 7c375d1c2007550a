//! A run in which no session reads: the system keeps what comes, and while the server delivers the load needs hardly any
//! processor time.
//!
//! ```text
//!   a message --> server --> what the system keeps for each session: look at its length, now and then
//!      ^                                  |
//!      +---- there is one more -----------+---- there were enough: read and count
//! ```
//!
//! Invariant: from the first message to the last byte nothing is read from a session; then all is, and counted as
//! in any run.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{Drive, Ran, socket::Socket};

/// Bytes that the system is asked to keep for each connection; it may allow less.
const ROOM: usize = 1 << 20;
/// What keeping a message takes at most: its bytes, and what the system needs for what came in one piece.
const ROOM_OF_A_MESSAGE: usize = 2 * 1_024;
/// Between two looks.
const PAUSE: Duration = Duration::from_micros(50);
/// Sessions that are looked at: whoever came last is told last, and of several that came one after the other each may be told by another
/// thread.
const LAST: usize = 16;
/// More than a ping, and less than a message.
const MESSAGE_LEN_MIN: u64 = 100;

impl Drive<'_> {
    /// Asks the system to keep much for connections that come in from now on.
    #[must_use]
    pub fn with_room(mut self) -> Self {
        self.room = Some(ROOM);
        self
    }

    /// From now on what comes to a session stays where it is until [`Self::run_unread`] reads it. Gives how many messages there is
    /// room for.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn leave_unread(&mut self) -> anyhow::Result<u64> {
        let mut room = ROOM;
        for socket in self.sockets.iter_mut().filter(|socket| socket.gets) {
            self.poll.registry().deregister(&mut socket.stream)?;
            room = room.min(socket.room()?);
        }
        Ok((room / ROOM_OF_A_MESSAGE) as u64)
    }

    /// Publishes so many messages, each when the one before is at the sessions that came last, and reads when all are there. What it
    /// [took](Ran::took) ends with the last of them, give or take the tenth of a millisecond.
    ///
    /// # Errors
    /// A connection ended, a message was refused, or not every message came once.
    pub fn run_unread(&mut self, messages: u64) -> anyhow::Result<Ran> {
        let (before, start, mut seen) = (self.came, Instant::now(), self.unread_last()?);
        for turn in 0..messages {
            self.publish(usize::try_from(turn % self.conversations.len() as u64)?)?;
            loop {
                let unread = self.unread_last()?;
                if unread.iter().zip(&seen).all(|(now, before)| now - before >= MESSAGE_LEN_MIN) {
                    seen = unread;
                    break;
                }
                thread::park_timeout(PAUSE);
                self.wait(Duration::ZERO)?;
            }
        }
        let end = Instant::now();
        // Others may have it a moment later.
        while self.in_flight() {
            self.wait(PAUSE)?;
            self.read_all()?;
        }
        Ok(Ran {
            deliveries: self.came.deliveries - before.deliveries,
            bytes: self.came.bytes - before.bytes,
            took: end - start,
            latencies: Vec::new(),
        })
    }

    /// What is there for the sessions that came last.
    fn unread_last(&self) -> io::Result<Vec<u64>> {
        self.sockets.iter().filter(|socket| socket.gets).rev().take(LAST).map(Socket::unread).collect()
    }

    fn read_all(&mut self) -> anyhow::Result<()> {
        for socket in self.sockets.iter_mut().filter(|socket| socket.gets) {
            let had = socket.came;
            let came = socket.read(self.dialect, &mut self.buffer)?;
            let conversation = self.conversations.get_mut(socket.conversation);
            let conversation = conversation.context("a session's conversation")?;
            for turn in had..socket.came {
                conversation.counted.delivered(turn)?;
            }
            self.came.deliveries += came.deliveries;
            self.came.bytes += came.bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Floor, Lines, Pace};

    const FRAME_LEN: usize = 300;

    #[test]
    fn every_message_waits_at_every_session_until_it_is_read() {
        let floor = Floor::start(FRAME_LEN, None).unwrap();
        let conversations = ["tea".to_owned()];
        let mut drive = Drive::new(&Lines, floor.address, &conversations).unwrap().with_room();
        drive.join(6, |_| {}).unwrap();
        drive.bring_publishers(2).unwrap();
        drive.run(Pace::InFlight(2), Duration::from_millis(1)).unwrap();
        assert!(drive.leave_unread().unwrap() > 20);
        for _ in 0..2 {
            let ran = drive.run_unread(20).unwrap();
            assert_eq!((ran.deliveries, ran.bytes), (120, 120 * FRAME_LEN as u64));
        }
    }
}
