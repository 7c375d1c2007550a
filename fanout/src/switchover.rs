//! The switchover: how a subscription gets from where its client stopped to live delivery, without a gap and
//! without a double.
//!
//! Three places know the events of a conversation. Each later one is cheaper to read and reaches less far back:
//!
//! ```text
//!   log      [..............................................................]
//!   history  [...............................................] progress
//!   recent                                  recent_since [...................] place of this node
//!                       sent >------ fill -------------->  then live
//! ```
//!
//! A subscription holds one number, `sent`: its client knows every valid event before it. While it *fills*, live events
//! are not queued for it; they are in the node's recent window anyway, which is shared by all. It reads pages from
//! whichever place covers the next stretch ([`Switchover::source`]), and once the recent window has given all that it
//! has, it is *live* in the same step: what is folded later will be offered to it. An event at or
//! below `sent` is never sent, so it does not matter that the offers run a little behind the window.
//!
//! A subscription that cannot take an offer, because its outbox is full, falls back to filling from `sent`. Slow reading and
//! resuming are one mechanism, and memory per subscription is one number and one page, whatever the gap.
//!
//! Everything here is pure. Invariant, checked against a model under random interleavings: the positions that
//! were sent rise, and between two of them there is no valid event.

use schemas::Position;

#[cfg(test)]
mod tests;

/// Where a subscription stands in the stream of its conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switchover {
    /// The client knows, or has been sent, every valid event before it.
    sent: Position,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Filling,
    Live,
}

/// What the node can read from, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The recent window holds every valid event after it.
    pub recent_since: Position,
    /// The history holds every event before it.
    pub history: Position,
}

/// Where to read the next page of a fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The recent window, after this position.
    Recent {
        /// Only what lies after it.
        after: Position,
    },
    /// The history, within this stretch.
    History {
        /// Only what lies after it.
        after: Position,
        /// Only what lies before it.
        up_to: Position,
    },
    /// The log itself, within this stretch: neither of the others reaches it.
    Log {
        /// Only what lies after it.
        after: Position,
        /// Only what lies before it.
        up_to: Position,
    },
}

/// What a page of a fill proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// All valid events before this position were in it or before it; there may be more after it.
    UpTo(Position),
    /// It held the last of the recent window; the last event was at this position (`None`: it was empty).
    All(Option<Position>),
}

/// What to do with events that are offered live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Send them, without the first so many.
    Send {
        /// How many the client knows already.
        skip: usize,
    },
    /// Nothing to do: the client knows them, or will get them from a fill.
    Pass,
}

impl Switchover {
    /// A client that knows everything before `position` and wants what comes after.
    pub const fn resuming(position: Position) -> Self {
        Self { sent: position, phase: Phase::Filling }
    }

    /// A client that wants only what comes after `position`, up to which everything is folded here; or that is
    /// ahead of this node.
    pub const fn live(position: Position) -> Self {
        Self { sent: position, phase: Phase::Live }
    }

    /// The client knows, or has been sent, every valid event before it.
    pub const fn sent(&self) -> Position {
        self.sent
    }

    /// Whether offers are sent on.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Where the next page is to be read.
    pub fn source(&self, view: View) -> Source {
        let after = self.sent;
        if after >= view.recent_since {
            Source::Recent { after }
        } else if view.history > after {
            Source::History { after, up_to: view.history.min(view.recent_since) }
        } else {
            Source::Log { after, up_to: view.recent_since }
        }
    }

    /// A page was sent. Call it with [`Filled::All`] only if nothing was folded since the window was read.
    pub fn filled(&mut self, filled: Filled) {
        match filled {
            Filled::UpTo(position) => self.sent = self.sent.max(position),
            Filled::All(last) => {
                self.sent = last.map_or(self.sent, |last| self.sent.max(last));
                self.phase = Phase::Live;
            }
        }
    }

    /// Valid events of the conversation were folded; their positions rise. If the answer is [`Offer::Send`] they must be
    /// sent, or [`Switchover::fell_behind`] be called with what was sent last.
    pub fn offer(&mut self, positions: &[Position]) -> Offer {
        let skip = positions.partition_point(|position| *position <= self.sent);
        match positions.last() {
            Some(last) if self.phase == Phase::Live && skip < positions.len() => {
                self.sent = *last;
                Offer::Send { skip }
            }
            _ => Offer::Pass,
        }
    }

    /// The outbox did not take what came after `sent`: go on by filling from there.
    pub fn fell_behind(&mut self, sent: Position) {
        self.sent = sent;
        self.phase = Phase::Filling;
    }
}
