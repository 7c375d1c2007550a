//! The id of a server-sent event: where the client is once it has the event.

use std::{fmt, str::FromStr};

use schemas::{Epoch, Position};

/// Written `EPOCH:POSITION`. One id says all that a client must say to go on: in another log it means nothing, and the
/// client is told so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) epoch: Epoch,
    pub(crate) position: Position,
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.position)
    }
}

impl FromStr for EventId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once(':').and_then(|(epoch, position)| {
            let position: i64 = position.parse().ok()?;
            Some(Self { epoch: epoch.parse().ok()?, position: position.try_into().ok()? })
        });
        parts.ok_or_else(|| "an id of an event reads EPOCH:POSITION, as this server wrote it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_as_it_went_out() {
        let id = EventId { epoch: "k7".parse().unwrap(), position: Position::new(4_711) };
        assert_eq!(id.to_string(), "k7:4711");
        assert_eq!("k7:4711".parse(), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "4711", "k7:", ":4711", "k7:-1", "k7:x", "_:3", "k 7:3", "k7:99999999999999999999"] {
            assert!(text.parse::<EventId>().is_err(), "{text:?}");
        }
    }
}
