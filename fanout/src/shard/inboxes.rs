//! What is new, to those who have their inbox open.

use std::rc::{Rc, Weak};

use schemas::UserId;

use super::Shard;
use crate::{
    inbox::{CHANNEL, News, Opened},
    protocol::{PerForm, Push, Unsubscribe},
    session::Session,
};

impl Shard {
    /// The session is told from here on.
    pub(crate) fn open_inbox(&self, session: &Rc<Session>, user: &UserId, opened: Opened) {
        // Opened again, it is one subscription all the same.
        self.close_inbox(session);
        session.set_inbox(Some(opened));
        self.inboxes.borrow_mut().entry(user.clone()).or_default().push(Rc::downgrade(session));
    }

    /// It is told no more. Says whether it was.
    pub(crate) fn close_inbox(&self, session: &Session) -> bool {
        let Some(opened) = session.set_inbox(None) else { return false };
        let mut inboxes = self.inboxes.borrow_mut();
        if let Some(sessions) = inboxes.get_mut(opened.user()) {
            sessions.retain(|other| !std::ptr::eq(other.as_ptr(), session));
            if sessions.is_empty() {
                inboxes.remove(opened.user());
            }
        }
        true
    }

    /// Tells all of them. One that has no room for it is told that its inbox ended: opened and asked for again, it is up to date.
    pub(super) fn tell_news(&self, news: &[(UserId, News)]) {
        let (mut flush, mut late): (Vec<Rc<Session>>, Vec<Rc<Session>>) = (Vec::new(), Vec::new());
        for (user, news) in news {
            let inboxes = self.inboxes.borrow();
            let Some(sessions) = inboxes.get(user) else { continue };
            let frames = PerForm::default();
            for session in sessions.iter().filter_map(Weak::upgrade) {
                let form = session.form();
                let frame = frames.get(form, || form.push(Push::unplaced(CHANNEL, news.json())));
                if session.has_room_for(frame.len()) {
                    session.push(frame.clone());
                    flush.push(session);
                } else {
                    late.push(session);
                }
            }
        }
        for session in late {
            if self.close_inbox(&session) {
                session
                    .send(session.form().push(Push::unsubscribe(CHANNEL, Unsubscribe::INSUFFICIENT_STATE)));
            }
        }
        for session in flush {
            session.flush();
        }
    }
}

#[cfg(test)]
mod tests;
