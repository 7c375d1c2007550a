//! Whether the client is still there: it answers pings, or at least takes bytes.

use super::Session;

impl Session {
    /// A ping goes out, before what waits; the answer is due.
    pub(crate) fn ping(&self) {
        self.awaiting_pong.set(true);
        self.took_bytes.set(false);
        self.outbox.borrow_mut().push_next(self.form.ping());
        self.flush();
    }

    pub(crate) fn ponged(&self) {
        self.awaiting_pong.set(false);
    }

    /// Says whether what the client sends is read from now on. Where it was not, an answer may lie unread: it is due to the next
    /// ping again.
    pub(crate) fn listen(&self, listens: bool) {
        if !self.listens.replace(listens) && listens {
            self.ponged();
        }
    }

    /// Whether the answer is overdue. A slow reader that takes what waits, if not yet the ping, is given more time.
    pub(crate) fn owes_pong(&self) -> bool {
        let (blocked, took_bytes) = (self.blocked.get(), self.took_bytes.get());
        let is_alive = if self.listens.get() {
            blocked && took_bytes
        } else {
            // No answer would be seen; who takes bytes is alive.
            !blocked || took_bytes
        };
        self.awaiting_pong.get() && !is_alive
    }
}
