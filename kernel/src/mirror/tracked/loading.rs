//! How a conversation comes into use: its state from the history, what the history lacks from the log, and then what came meanwhile
//! and was held back.
//!
//! Invariants: what is held back and what is read overlap or meet, and each record is folded once. From the log no more than
//! [`SCAN_LEN_MAX`] records are read: beyond that, who asks is told that the history is behind, and nothing is read.

use std::sync::atomic::{AtomicU64, Ordering};

use schemas::{Partition, Position, codec::Codec};

use super::{Inner, Tracked, UsedIds, fold};
use crate::{
    conversation::ConversationState,
    event_log::{BATCH_LEN_MAX, Record, SharedLog},
    history::{Depth, SharedHistory, Snapshot},
    mirror::MirrorError,
};

/// Most records of a partition that are looked through for one conversation because the history lags. When all is well that is a few
/// hundred; so many are some minutes of a busy partition, and still read within about the time that a client waits.
pub const SCAN_LEN_MAX: u64 = 200_000;
/// Most records, and bytes of them, that are held back while a conversation is loaded.
const HELD_LEN_MAX: usize = 10_000;
const HELD_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Whether what the history, at `place`, lacks before `wanted` may be read from the log for one conversation.
///
/// # Errors
/// [`MirrorError::HistoryBehind`]: it is more than [`SCAN_LEN_MAX`] records.
pub fn check_scan(partition: Partition, place: Position, wanted: Position) -> Result<(), MirrorError> {
    let lag = wanted.get().saturating_sub(place.get());
    if lag > SCAN_LEN_MAX { Err(MirrorError::HistoryBehind { partition, lag }) } else { Ok(()) }
}

/// Records that wait for the state to be known.
#[derive(Default)]
pub(super) struct Held {
    records: Vec<Record>,
    bytes: usize,
    /// Too many came, or nobody loads: nothing is held, and loading must start again.
    given_up: bool,
}

impl Held {
    pub(super) fn push(&mut self, record: Record) {
        if self.given_up {
            return;
        }
        self.bytes += record.value.len();
        if self.records.len() >= HELD_LEN_MAX || self.bytes > HELD_BYTES_MAX {
            self.give_up();
        } else {
            self.records.push(record);
        }
    }

    fn give_up(&mut self) {
        *self = Self { given_up: true, ..Self::default() };
    }
}

impl Tracked {
    /// Whether the state is known.
    pub(in crate::mirror) fn is_loaded(&self) -> bool {
        self.inner.lock().held.is_none()
    }

    /// Loads the conversation, which is not loaded; one load at a time.
    ///
    /// `reading` tells up to where the follower has taken records without knowing of this conversation: from there on
    /// they are held back here, and what lies before is read from the history and the log. Both may give a record;
    /// it is folded once.
    pub(in crate::mirror) async fn load(
        &self,
        log: &SharedLog,
        history: &SharedHistory,
        reading: &AtomicU64,
        codec: &Codec,
    ) -> Result<(), MirrorError> {
        self.inner.lock().hold();
        let registered = Position::new(reading.load(Ordering::SeqCst));
        let known = self.state_at(registered, log, history, codec).await;
        let mut inner = self.inner.lock();
        let begun = known.and_then(|(state, at)| inner.begin(state, at, self.partition, codec));
        if begun.is_err() {
            // Nothing is kept for nobody.
            inner.held.get_or_insert_default().give_up();
        }
        begun
    }

    /// The state with everything before `registered` folded, or more; says how much.
    async fn state_at(
        &self,
        registered: Position,
        log: &SharedLog,
        history: &SharedHistory,
        codec: &Codec,
    ) -> Result<(Option<ConversationState>, Position), MirrorError> {
        let snapshot = history.snapshot(self.partition, &self.conversation, Depth::Fold).await?;
        let Snapshot { mut state, position: mut folded } = snapshot;
        check_scan(self.partition, folded, registered)?;
        while folded < registered {
            let records = log.read(self.partition, folded, registered, BATCH_LEN_MAX).await?;
            let Some(last) = records.last() else { break };
            folded = last.offset.position();
            for record in &records {
                if record.key_str() == Some(self.conversation.as_str()) {
                    let _ = fold(&mut state, record, codec).map_err(|newer| newer.of(self.partition))?;
                }
            }
        }
        Ok((state, folded))
    }
}

impl Inner {
    /// From now on what comes is held back.
    fn hold(&mut self) {
        if self.held.as_ref().is_some_and(|held| held.given_up) {
            self.held = Some(Held::default());
        }
    }

    /// The state at `position` is known: fold what was held back, and go on from there.
    fn begin(
        &mut self,
        state: Option<ConversationState>,
        position: Position,
        partition: Partition,
        codec: &Codec,
    ) -> Result<(), MirrorError> {
        if self.held.as_ref().is_some_and(|held| held.given_up) {
            return Err(MirrorError::Flooded);
        }
        let held = self.held.take().unwrap_or_default();
        self.state = state;
        self.folded = position;
        self.recent_since = position;
        for record in &held.records {
            if let Err(newer) = self.fold(record, partition, codec) {
                // Loading starts again, and finds the record in the log.
                let fresh = UsedIds::new(self.used.room());
                *self = Self::unloaded(self.limits, fresh);
                return Err(newer.of(partition));
            }
        }
        Ok(())
    }
}
