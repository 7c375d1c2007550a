//! Events as they come from a server: whole lines, in order, and a clear end.
//!
//! Invariant: each line is given out once, byte for byte, and its position is above the one before. A stream
//! that is cut says so, and never looks like one that ended.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use reqwest::Response;
use schemas::{ConversationId, Position, Timestamp};
use serde::Deserialize;

use super::root_cause;

/// Longest line that is taken, in bytes: four times the largest event.
const LINE_LEN_MAX: usize = 1_024 * 1_024;

/// Which events.
#[derive(Debug, Clone)]
pub struct Selection {
    /// Of which conversation.
    pub conversation: ConversationId,
    /// The place after which to begin.
    pub from: Position,
    /// The place up to which to go; `None`: all there are.
    pub to: Option<Position>,
    /// As the conversation was then.
    pub as_of: Option<AsOf>,
}

/// A moment of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// When so much was known.
    Position(Position),
    /// At this time.
    Time(Timestamp),
}

/// Events on their way.
#[derive(Debug)]
pub struct Events {
    response: Response,
    buffer: BytesMut,
    /// So much of the buffer holds no line break.
    searched: usize,
    count: u64,
    last: Position,
}

/// One event, as the server wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where the event stands.
    pub position: Position,
    /// Its JSON, without the line break.
    pub json: Bytes,
}

/// The stream cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("the stream was cut after {count} events, at position {last}: {cause}")]
pub struct EventsError {
    /// So many events came.
    pub count: u64,
    /// Go on after this position.
    pub last: Position,
    cause: String,
}

impl Selection {
    /// All events of a conversation after a place.
    pub fn after(conversation: ConversationId, from: Position) -> Self {
        Self { conversation, from, to: None, as_of: None }
    }

    /// What to say when it cannot be read.
    pub(crate) fn unread(&self) -> String {
        format!("cannot read the conversation {}", self.conversation)
    }

    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = vec![("from", self.from.to_string())];
        query.extend(self.to.map(|to| ("to", to.to_string())));
        query.extend(self.as_of.map(|as_of| ("as_of", as_of.to_string())));
        query
    }
}

impl std::str::FromStr for AsOf {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s.bytes().all(|byte| byte.is_ascii_digit()) {
            let number: i64 = s.parse().map_err(|_| format!("{s:?} is no position"))?;
            return Position::try_from(number).map(Self::Position).map_err(|error| error.to_string());
        }
        s.parse().map(Self::Time).map_err(|error: schemas::time::TimestampError| error.to_string())
    }
}

impl fmt::Display for AsOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Position(position) => position.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

impl Events {
    pub(super) fn of(response: Response, from: Position) -> Self {
        Self { response, buffer: BytesMut::new(), searched: 0, count: 0, last: from }
    }

    /// How many events came.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The position of the last event that came; before the first, where the stream began.
    pub fn last(&self) -> Position {
        self.last
    }

    /// The next event; `None`: there are no more. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The stream was cut, or holds what is no event. Asking again does not help; ask for what comes after
    /// [`EventsError::last`].
    pub async fn next(&mut self) -> Result<Option<Line>, EventsError> {
        loop {
            if let Some(line) = self.buffered()? {
                return Ok(Some(line));
            }
            if self.buffer.len() > LINE_LEN_MAX {
                return Err(self.cut("a line is too long to be an event"));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk),
                Ok(None) if self.buffer.is_empty() => return Ok(None),
                Ok(None) => return Err(self.cut("it ends within a line")),
                Err(error) => return Err(self.cut(&root_cause(&error))),
            }
        }
    }

    /// The next line of what has arrived.
    fn buffered(&mut self) -> Result<Option<Line>, EventsError> {
        #[derive(Deserialize)]
        struct Place {
            offset: Position,
        }
        let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
        let Some(at) = unsearched.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return Ok(None);
        };
        let json = self.buffer.split_to(self.searched + at).freeze();
        self.buffer.advance(1);
        self.searched = 0;
        let Place { offset: position } = serde_json::from_slice(&json)
            .map_err(|error| self.cut(&format!("a line is no event: {error}")))?;
        if position <= self.last {
            return Err(self.cut(&format!("position {position} came out of order")));
        }
        self.last = position;
        self.count += 1;
        Ok(Some(Line { position, json }))
    }

    fn cut(&self, cause: &str) -> EventsError {
        EventsError { count: self.count, last: self.last, cause: cause.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arriving(chunks: &[&str]) -> Events {
        let body = chunks.concat();
        Events::of(http::Response::new(body).into(), Position::new(2))
    }

    #[tokio::test]
    async fn lines_come_byte_for_byte_and_end() {
        let mut events = arriving(&["{\"offset\":3, \"x\":1}\n{\"off", "set\":7}\n"]);
        let first = events.next().await.unwrap().unwrap();
        assert_eq!((first.position.get(), &first.json[..]), (3, &b"{\"offset\":3, \"x\":1}"[..]));
        assert_eq!(events.next().await.unwrap().unwrap().position.get(), 7);
        assert_eq!(events.next().await.unwrap(), None);
        assert_eq!((events.count(), events.last().get()), (2, 7));
    }

    #[tokio::test]
    async fn half_a_line_is_no_end() {
        let mut events = arriving(&["{\"offset\":3}\n{\"offset\":4}"]);
        events.next().await.unwrap();
        let error = events.next().await.unwrap_err();
        assert_eq!((error.count, error.last.get()), (1, 3));
        assert_eq!(
            error.to_string(),
            "the stream was cut after 1 events, at position 3: it ends within a line"
        );
    }

    #[tokio::test]
    async fn what_is_no_event_or_out_of_order_is_not_passed_on() {
        assert!(arriving(&["<html>\n"]).next().await.is_err());
        assert!(arriving(&["{\"offset\":2}\n"]).next().await.is_err(), "where the stream began");
        assert!(arriving(&["\n"]).next().await.is_err());
    }

    #[test]
    fn a_moment_is_a_position_or_a_time() {
        assert_eq!("12".parse(), Ok(AsOf::Position(Position::new(12))));
        let time: AsOf = "2024-02-29T10:00:00Z".parse().unwrap();
        assert_eq!(time.to_string(), "2024-02-29T10:00:00.000Z");
        for wrong in ["", "-1", "yesterday", "99999999999999999999"] {
            assert!(wrong.parse::<AsOf>().is_err(), "{wrong}");
        }
    }
}
