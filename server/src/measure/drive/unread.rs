//! A run in which no session reads: the system keeps what comes, and while the server delivers the load needs hardly any
//! processor time.
//!
//! ```text
//!   all messages --> server --> what the system keeps for each session: look at its length, now and then
//!                                            |
//!                                   nothing more comes: read and count
//! ```
//!
//! Invariant: from the first message to the last byte nothing is read from a session; then all is, and counted as
//! in any run.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{Drive, PATIENCE, Ran};

/// Bytes that the system is asked to keep for each connection; it may allow less.
const ROOM: usize = 1 << 20;
/// What keeping a message takes at most: its bytes, and what the system needs for what came in one piece.
const ROOM_OF_A_MESSAGE: usize = 2 * 1_024;
/// Between two looks at the first session, and between two when that one has all. A thread that wakes all the time keeps its processor
/// from taking work of the other.
const PAUSE: Duration = Duration::from_millis(10);
const LAST_PAUSE: Duration = Duration::from_millis(1);
/// How long nothing comes when nothing more will.
const QUIET: Duration = Duration::from_millis(50);
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

    /// Publishes so many messages to each conversation, one after the other and at once, and reads when all are there. A message is
    /// at least `len` bytes. What it [took](Ran::took) ends when the last byte came, give or take a millisecond.
    ///
    /// # Errors
    /// A connection ended, a message was refused, or not every message came once.
    pub fn run_unread(&mut self, messages: u64, len: u64) -> anyhow::Result<Ran> {
        let (before, start) = (self.came, Instant::now());
        for _ in 0..messages {
            (0..self.conversations.len()).try_for_each(|index| self.publish(index))?;
        }
        let end = self.wait_unread(messages * len)?;
        self.read_all()?;
        ensure!(!self.in_flight(), "not every message came to every session");
        Ok(Ran {
            deliveries: self.came.deliveries - before.deliveries,
            bytes: self.came.bytes - before.bytes,
            took: end - start,
            latencies: Vec::new(),
        })
    }

    /// Waits until so many bytes are at every session, and then until nothing more comes: how many there will be is not known
    /// exactly, since messages may come several to a frame. Gives when the last came.
    fn wait_unread(&mut self, bytes: u64) -> anyhow::Result<Instant> {
        let mut there = 0;
        // One after the other, so that this costs a look for each session and not for each session at each time.
        while let Some(socket) = self.sockets.get(there) {
            if !socket.gets || socket.unread()? >= bytes {
                there += 1;
                continue;
            }
            ensure!(self.moved.elapsed() < PATIENCE, "not every message came to every session");
            self.look(if there == 0 { PAUSE } else { LAST_PAUSE })?;
        }
        let (mut seen, mut end) = (self.unread()?, Instant::now());
        while end.elapsed() < QUIET {
            self.look(LAST_PAUSE)?;
            let unread = self.unread()?;
            if unread.iter().zip(&seen).any(|(now, before)| now - before >= MESSAGE_LEN_MIN) {
                (seen, end) = (unread, Instant::now());
            }
        }
        Ok(end)
    }

    /// What is there for each session.
    fn unread(&self) -> anyhow::Result<Vec<u64>> {
        let sessions = self.sockets.iter().filter(|socket| socket.gets);
        sessions.map(|socket| Ok(socket.unread()?)).collect()
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
        let conversations = ["tea".to_owned(), "rum".to_owned()];
        let mut drive = Drive::new(&Lines, floor.address, &conversations).unwrap().with_room();
        drive.join(6, |_| {}).unwrap();
        drive.bring_publishers(2).unwrap();
        drive.run(Pace::InFlight(2), Duration::from_millis(1)).unwrap();
        assert!(drive.leave_unread().unwrap() > 20);
        for _ in 0..2 {
            let ran = drive.run_unread(20, FRAME_LEN as u64).unwrap();
            assert_eq!((ran.deliveries, ran.bytes), (120, 120 * FRAME_LEN as u64));
        }
    }
}
