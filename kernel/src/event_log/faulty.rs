//! A log that fails in named ways, around any other; for tests and simulations.
//!
//! Nothing here is left to chance: a fault strikes when the test has switched it on ([`Faults::on`]) or as
//! often as the test has said ([`Faults::next`]), and the test can wait until it has struck
//! ([`Faults::struck`]). With no fault switched on it behaves as the log that it wraps.

use std::{collections::HashMap, fmt, sync::Arc};

use async_trait::async_trait;
use schemas::{Epoch, Partition, Position};
use tokio::sync::watch;

use super::{
    AppendError, Delivery, EventLog, EventReader, NewRecord, Place, ReadError, Readership, Record, SharedLog,
};

#[cfg(test)]
mod tests;

/// What can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// `append` fails as [`AppendError::Unavailable`], and nothing happens.
    AppendFails,
    /// `append` happens, but the answer is lost: [`AppendError::Unknown`].
    AnswerLost,
    /// `append` is held before it happens, until [`Faults::off`].
    AppendHeld,
    /// `append` answers [`AppendError::Unknown`] at once, and happens only after [`Faults::off`].
    AppendLate,
    /// `read` fails.
    ReadFails,
    /// `read` is held before it happens, until [`Faults::off`].
    ReadHeld,
    /// `tail` fails.
    TailFails,
    /// `open` fails.
    OpenFails,
    /// A reader's `next` fails, also one that waits already. What it would have delivered comes next.
    ReaderFails,
    /// A reader's `next` is held with what it was about to deliver, until [`Faults::off`].
    ReaderHeld,
    /// A reader's `commit` fails, and nothing happens.
    CommitFails,
}

/// Steers the faults of one or more logs. A clone steers the same ones.
#[derive(Debug, Clone, Default)]
pub struct Faults(watch::Sender<HashMap<Fault, State>>);

#[derive(Debug, Clone, Copy, Default)]
struct State {
    armed: Armed,
    struck: u64,
    released: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Armed {
    #[default]
    Off,
    On,
    /// So many times more, at least once.
    Next(u64),
}

impl Faults {
    /// The fault strikes from now on, every time.
    pub fn on(&self, fault: Fault) {
        self.change(fault, |state| state.armed = Armed::On);
    }

    /// The fault strikes the next `times` times, then no more.
    pub fn next(&self, fault: Fault, times: u64) {
        self.change(fault, |state| state.armed = if times == 0 { Armed::Off } else { Armed::Next(times) });
    }

    /// The fault does not strike any more, and what it holds goes on.
    pub fn off(&self, fault: Fault) {
        self.change(fault, |state| {
            state.armed = Armed::Off;
            state.released += 1;
        });
    }

    /// As [`Faults::off`], for every fault.
    pub fn all_off(&self) {
        let faults: Vec<_> = self.0.borrow().keys().copied().collect();
        for fault in faults {
            self.off(fault);
        }
    }

    /// How often the fault has struck so far.
    pub fn count(&self, fault: Fault) -> u64 {
        self.state(fault).struck
    }

    /// Waits until the fault has struck at least so often, counted from the beginning.
    pub async fn struck(&self, fault: Fault, times: u64) {
        self.until(fault, |state| state.struck >= times).await;
    }

    /// If the fault is to strike now: takes that for done and says which release ends it.
    fn strike(&self, fault: Fault) -> Option<Hold> {
        let mut hold = None;
        self.0.send_if_modified(|states| {
            let state = states.entry(fault).or_default();
            state.armed = match state.armed {
                Armed::Off => return false,
                Armed::On => Armed::On,
                Armed::Next(1) => Armed::Off,
                Armed::Next(times) => Armed::Next(times - 1),
            };
            state.struck += 1;
            hold = Some(Hold { fault, released: state.released });
            true
        });
        hold
    }

    async fn release_of(&self, hold: Hold) {
        self.until(hold.fault, |state| state.released > hold.released).await;
    }

    /// Waits until the fault is to strike.
    async fn armed(&self, fault: Fault) {
        self.until(fault, |state| state.armed != Armed::Off).await;
    }

    async fn until(&self, fault: Fault, mut is: impl FnMut(&State) -> bool) {
        let mut states = self.0.subscribe();
        // We hold a sender, so that the channel cannot close.
        let _ = states.wait_for(|states| is(&states.get(&fault).copied().unwrap_or_default())).await;
    }

    fn state(&self, fault: Fault) -> State {
        self.0.borrow().get(&fault).copied().unwrap_or_default()
    }

    fn change(&self, fault: Fault, change: impl FnOnce(&mut State)) {
        self.0.send_modify(|states| change(states.entry(fault).or_default()));
    }
}

/// Something is held by a fault.
#[derive(Debug, Clone, Copy)]
struct Hold {
    fault: Fault,
    /// How often the fault had been released before.
    released: u64,
}

/// The log that fails.
#[derive(Debug, Clone)]
pub struct FaultyLog {
    log: SharedLog,
    faults: Faults,
}

impl FaultyLog {
    /// Wraps `log`, to fail as `faults` say.
    pub fn new(log: SharedLog, faults: &Faults) -> Self {
        Self { log, faults: faults.clone() }
    }

    fn read_fault(&self, fault: Fault) -> Result<(), ReadError> {
        match self.faults.strike(fault) {
            Some(hold) => Err(ReadError::Unavailable { reason: hold.to_string() }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    fn epoch(&self) -> Epoch {
        self.log.epoch()
    }

    async fn append(&self, batch: Vec<NewRecord>) -> Result<Vec<Place>, AppendError> {
        if let Some(hold) = self.faults.strike(Fault::AppendHeld) {
            self.faults.release_of(hold).await;
        }
        if let Some(hold) = self.faults.strike(Fault::AppendFails) {
            return Err(AppendError::Unavailable { reason: hold.to_string() });
        }
        if let Some(hold) = self.faults.strike(Fault::AppendLate) {
            let (log, faults) = (Arc::clone(&self.log), self.faults.clone());
            tokio::spawn(async move {
                faults.release_of(hold).await;
                // Its caller was told already that nobody knows.
                drop(log.append(batch).await);
            });
            return Err(AppendError::Unknown { reason: hold.to_string() });
        }
        let places = self.log.append(batch).await?;
        match self.faults.strike(Fault::AnswerLost) {
            Some(hold) => Err(AppendError::Unknown { reason: hold.to_string() }),
            None => Ok(places),
        }
    }

    async fn read(
        &self,
        partition: Partition,
        from: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<Record>, ReadError> {
        if let Some(hold) = self.faults.strike(Fault::ReadHeld) {
            self.faults.release_of(hold).await;
        }
        self.read_fault(Fault::ReadFails)?;
        self.log.read(partition, from, up_to, limit).await
    }

    async fn tail(&self, partition: Partition) -> Result<Position, ReadError> {
        self.read_fault(Fault::TailFails)?;
        self.log.tail(partition).await
    }

    async fn open(&self, readership: Readership) -> Result<Box<dyn EventReader>, ReadError> {
        self.read_fault(Fault::OpenFails)?;
        let reader = self.log.open(readership).await?;
        Ok(Box::new(FaultyReader { reader, faults: self.faults.clone(), ready: None, held: None }))
    }
}

/// A reader of a [`FaultyLog`].
#[derive(Debug)]
struct FaultyReader {
    reader: Box<dyn EventReader>,
    faults: Faults,
    /// Taken from the reader, but not handed out yet.
    ready: Option<Delivery>,
    held: Option<Hold>,
}

#[async_trait]
impl EventReader for FaultyReader {
    async fn next(&mut self) -> Result<Delivery, ReadError> {
        loop {
            if let Some(hold) = self.faults.strike(Fault::ReaderFails) {
                return Err(ReadError::Unavailable { reason: hold.to_string() });
            }
            if self.ready.is_none() {
                tokio::select! {
                    delivery = self.reader.next() => self.ready = Some(delivery?),
                    () = self.faults.armed(Fault::ReaderFails) => {}
                }
                continue;
            }
            if self.held.is_none() {
                self.held = self.faults.strike(Fault::ReaderHeld);
            }
            // Kept in `self` all the while: who drops this future and calls again is still held.
            if let Some(hold) = self.held {
                self.faults.release_of(hold).await;
                self.held = None;
            }
            if let Some(delivery) = self.ready.take() {
                return Ok(delivery);
            }
        }
    }

    async fn commit(&mut self, partition: Partition, position: Position) -> Result<(), ReadError> {
        if let Some(hold) = self.faults.strike(Fault::CommitFails) {
            return Err(ReadError::Unavailable { reason: hold.to_string() });
        }
        self.reader.commit(partition, position).await
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the fault {:?} was switched on", self.fault)
    }
}
