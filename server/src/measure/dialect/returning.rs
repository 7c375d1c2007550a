//! Sessions that come back with a position, over the client protocol.

use memchr::memmem;
use serde_json::json;

use super::{Channels, Dialect, Step};

/// How the data of a publication begins, in a push as in a reply. Within a text the quotation marks would be escaped.
const EVENT: &[u8] = b"\"data\":{\"offset\":";

/// See the module. What was missed counts as delivered, whether it comes with the answer or behind it.
#[derive(Debug)]
pub struct Returning {
    channels: Channels,
    offset: u64,
    epoch: String,
}

impl Returning {
    /// They know all events up to this position.
    pub fn to(channels: Channels, offset: u64, epoch: String) -> Self {
        Self { channels, offset, epoch }
    }
}

impl Dialect for Returning {
    fn joining(&self, number: u64, conversation: &str) -> anyhow::Result<Vec<Step>> {
        let Self { offset, epoch, .. } = self;
        let request = json!({"channel": conversation, "recover": true, "offset": offset, "epoch": epoch});
        self.channels.subscribing(number, &request)
    }

    fn publishing(&self, number: u64, conversation: &str) -> anyhow::Result<Option<Vec<Step>>> {
        self.channels.publishing(number, conversation)
    }

    fn publish(&self, number: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        self.channels.publish(number, conversation, text)
    }

    fn deliveries(&self, payload: &[u8]) -> u64 {
        memmem::find_iter(payload, EVENT).count() as u64
    }

    fn pong(&self, payload: &[u8]) -> Option<&'static [u8]> {
        self.channels.pong(payload)
    }

    fn is_refusal(&self, payload: &[u8]) -> bool {
        self.channels.is_refusal(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_counts_with_the_answer_and_behind_it() {
        let returning = Returning::to(Channels::open(), 1, "e".to_owned());
        let event = r#"{"data":{"offset":2,"body":{"text":"\"data\":{\"offset\":"}},"offset":2}"#;
        let reply = format!(r#"{{"id":2,"subscribe":{{"publications":[{event},{event}]}}}}"#);
        assert_eq!(returning.deliveries(reply.as_bytes()), 2);
        let push = format!(r#"{{"push":{{"channel":"tea","pub":{event}}}}}"#);
        assert_eq!(returning.deliveries(format!("{push}\n{push}\n{push}").as_bytes()), 3);
        assert_eq!(returning.deliveries(br#"{"id":2,"subscribe":{"recoverable":true}}"#), 0);
    }
}
