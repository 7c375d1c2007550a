//! How connections come in: some at a time, each step by step.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use mio::{Interest, Token};

use super::{Drive, PATIENCE, socket::Socket};

/// How many come in at a time.
const JOINING_MAX: u64 = 64;

impl Drive<'_> {
    /// Lets so many sessions come in, in turn to each conversation. `told` hears now and then how many are in. Gives how
    /// long that took.
    ///
    /// # Errors
    /// The server refuses.
    pub fn join(&mut self, sessions: u64, mut told: impl FnMut(u64)) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let conversations = self.conversations.len() as u64;
        self.come_in(sessions, JOINING_MAX, &mut told, |drive, number| {
            let index = usize::try_from(number % conversations)?;
            let conversation = drive.conversations.get_mut(index).context("a conversation for each turn")?;
            conversation.counted.another_session();
            let steps = drive.dialect.joining(number, conversation.name)?;
            Socket::connect(drive.address, drive.room, index, true, steps)
        })?;
        Ok(begun.elapsed())
    }

    /// Lets so many sessions of the first conversation come in at the same moment, and reads until each has got what it missed: so many
    /// events, with the answer or behind it. Gives how long that took.
    ///
    /// # Errors
    /// The server refuses, or more comes to somebody than was missed.
    pub fn come_back(&mut self, sessions: u64, events: u64) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.come_in(
            sessions,
            sessions,
            |_| {},
            |drive, number| {
                let conversation = drive.conversations.first().context("a conversation to come back to")?;
                let steps = drive.dialect.joining(number, conversation.name)?;
                // What is missed was published before this run, so it is not counted with what is published in it.
                Socket::connect(drive.address, drive.room, 0, false, steps)
            },
        )?;
        while self.sockets.iter().any(|socket| socket.came < events) {
            self.wait(PATIENCE)?;
        }
        let took = begun.elapsed();
        let more = self.sockets.iter().find(|socket| socket.came > events);
        if let Some(socket) = more {
            bail!("{} events came to a session that missed {events}", socket.came);
        }
        Ok(took)
    }

    /// Lets those come in who publish: so many to each conversation. Where whoever publishes is told of it too, sessions
    /// that are in do so.
    ///
    /// # Errors
    /// The server refuses.
    pub fn bring_publishers(&mut self, each: u32) -> anyhow::Result<()> {
        let mut wanted = Vec::new();
        for (index, conversation) in self.conversations.iter().enumerate() {
            for _ in 0..each {
                match self.dialect.publishing(wanted.len() as u64, conversation.name)? {
                    Some(steps) => wanted.push((index, steps)),
                    None => return self.sessions_publish(each),
                }
            }
        }
        let first = self.sockets.len();
        let (count, mut wanted) = (wanted.len() as u64, wanted.into_iter());
        self.come_in(
            count,
            JOINING_MAX,
            |_| {},
            |drive, _| {
                let (index, steps) = wanted.next().context("as many as are wanted")?;
                Socket::connect(drive.address, drive.room, index, false, steps)
            },
        )?;
        for (number, socket) in self.sockets.iter().enumerate().skip(first) {
            if let Some(conversation) = self.conversations.get_mut(socket.conversation) {
                conversation.publishers.push(number);
            }
        }
        Ok(())
    }

    fn sessions_publish(&mut self, each: u32) -> anyhow::Result<()> {
        let each = usize::try_from(each)?;
        for (number, socket) in self.sockets.iter().enumerate() {
            let Some(conversation) = self.conversations.get_mut(socket.conversation) else { continue };
            if conversation.publishers.len() < each {
                conversation.publishers.push(number);
            }
        }
        Ok(())
    }

    fn come_in(
        &mut self,
        count: u64,
        together_max: u64,
        mut told: impl FnMut(u64),
        mut next: impl FnMut(&mut Self, u64) -> anyhow::Result<Socket>,
    ) -> anyhow::Result<()> {
        let before = self.came.joined;
        let mut begun = 0;
        self.moved = Instant::now();
        while self.came.joined < before + count {
            while begun < count && begun - (self.came.joined - before) < together_max {
                let mut socket = next(self, begun)?;
                let token = Token(self.sockets.len());
                let both = Interest::READABLE | Interest::WRITABLE;
                self.poll.registry().register(&mut socket.stream, token, both)?;
                self.came.joined += u64::from(socket.go_on()?);
                self.sockets.push(socket);
                begun += 1;
            }
            self.wait(PATIENCE)?;
            told(self.came.joined - before);
        }
        Ok(())
    }
}
