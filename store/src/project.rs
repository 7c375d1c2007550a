//! The projection as a pure function: records in, a batch for the history out.
//!
//! Invariant: the outcome depends on the records and on the states before them alone. However the records are cut
//! into stretches, the same events come out with the same changes. That is why a history can be wiped and built again.

use std::{borrow::Cow, sync::Arc};

use kernel::{
    conversation::{ConversationState, Fact},
    event_log::{Reading, Record, read},
    history::{Projected, StoredEvent, changes_of},
};
use schemas::{
    ChatEvent, Offset, Position,
    codec::{Codec, SchemaId},
};

use crate::states::{Known, States};

/// What some records came to.
#[derive(Debug)]
pub struct Projection {
    /// All before it is projected now. At the latest the first record that cannot be read yet.
    pub up_to: Position,
    /// The records that were events, with what each changed.
    pub events: Vec<Projected>,
    /// The records that are no events.
    pub passed_over: Vec<PassedOver>,
    /// The record that it ends before, if there is one.
    pub unread: Option<Unread>,
}

/// A record that is no event of ours; nobody will ever read it otherwise.
#[derive(Debug)]
pub struct PassedOver {
    /// Where it stands.
    pub offset: Offset,
    /// What is wrong with it.
    pub reason: Cow<'static, str>,
}

/// A record that a newer build can read. It must not be passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread {
    /// Where it stands.
    pub offset: Offset,
    /// The schema that it was written with.
    pub schema: SchemaId,
}

/// Folds `records` of one partition, ascending and none left out; all before `from` was projected before. `states` holds the conversations
/// concerned as they were then (one that is missing begins with its first record here), and afterwards as they are behind the records. A
/// record that a state holds already is left out: the history has it.
pub fn project(codec: &Codec, from: Position, records: &[Record], states: &mut States) -> Projection {
    let events = Vec::with_capacity(records.len());
    let mut projection = Projection { up_to: from, events, passed_over: Vec::new(), unread: None };
    for record in records {
        match read(record, codec) {
            Reading::Event(event) => projection.take(record, event, states),
            Reading::NotOurs(reason) => projection.pass_over(record, reason),
            Reading::Newer(schema) => {
                projection.unread = Some(Unread { offset: record.offset, schema });
                break;
            }
        }
        projection.up_to = record.offset.position();
    }
    projection
}

impl Projection {
    fn take(&mut self, record: &Record, event: ChatEvent, states: &mut States) {
        let projected = states.fold(event.conversation.clone(), |known| {
            (!known.folded.covers(record.offset)).then(|| known.fold(record, event))
        });
        self.events.extend(projected);
    }

    fn pass_over(&mut self, record: &Record, reason: Cow<'static, str>) {
        self.passed_over.push(PassedOver { offset: record.offset, reason });
    }
}

impl Known {
    /// Folds the event of a record that comes next.
    fn fold(&mut self, record: &Record, event: ChatEvent) -> Projected {
        let Record { offset, recorded_at, ref value, .. } = *record;
        self.folded = offset.position();
        // Asked before the fold, because it needs the state before; a void event changes nothing.
        let mut changes = changes_of(self.state.as_ref(), &event);
        let fact = Fact { event: &event, offset, recorded_at };
        let void = ConversationState::evolve(&mut self.state, fact).is_err();
        if void {
            changes.clear();
        }
        let event = StoredEvent { offset, recorded_at, value: value.clone(), event: Arc::new(event), void };
        Projected { event, changes }
    }
}

#[cfg(test)]
mod tests;
