//! The messages that are posted: of one size, each with a number by which it is known again, wherever it comes out.

use std::{io::Write, sync::LazyLock};

use kernel::clock::{Clock, SystemClock};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use schemas::{
    ChatEvent, EventBody, UserId, Visibility,
    codec::Codec,
    event::{ConversationCreated, MessagePosted, Style},
};

/// Bytes of a text, as in `tidings bench post`.
pub(crate) const TEXT_LEN: usize = 200;
/// Who posts.
pub(crate) const AUTHOR: &str = "bench";

/// What stands before the number in the id of a message, and nowhere else.
const MARK: &[u8] = b"b-";
const DIGITS: usize = 10;

/// The id of a message.
pub(crate) fn id(number: u64) -> String {
    format!("b-{number:0DIGITS$}")
}

/// Tells of every message number in `bytes`, be they JSON or Avro.
pub(crate) fn numbers(bytes: &[u8], mut seen: impl FnMut(u64)) {
    let mut rest = bytes;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = rest.get(at + MARK.len()..).unwrap_or_default();
        let digits = rest.get(..DIGITS).filter(|digits| digits.iter().all(u8::is_ascii_digit));
        seen_in(digits, &mut seen);
    }
}

fn seen_in(digits: Option<&[u8]>, seen: &mut impl FnMut(u64)) {
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    if let Some(number) = number {
        seen(number);
    }
}

/// Letters without meaning. Whoever compresses records gains little: what two messages have in common lies far apart.
static LETTERS: LazyLock<String> = LazyLock::new(|| {
    let mut random = SmallRng::seed_from_u64(7);
    (0..256 * 1_024).map(|_| char::from(random.random_range(b'a'..=b'z'))).collect()
});

/// The text of a message.
pub(crate) fn text(number: u64) -> &'static str {
    let places = LETTERS.len() - TEXT_LEN;
    let from = usize::try_from(number).unwrap_or(0).wrapping_mul(TEXT_LEN - 1) % places;
    LETTERS.get(from..from + TEXT_LEN).unwrap_or_default()
}

/// A post over HTTP that is ready but for its number and its text.
#[derive(Debug)]
pub(crate) struct PostRequest {
    bytes: Vec<u8>,
    number_at: usize,
    text_at: usize,
}

impl PostRequest {
    pub(crate) fn new(conversation: &str, token: &str) -> Self {
        let body = format!(r#"{{"client_message_id":"{}","text":"{}"}}"#, id(0), text(0));
        let path = format!("/v1/conversations/{conversation}/messages");
        let bytes = crate::http::request("POST", &path, token, &body);
        let number_at = bytes.len() - body.len() + r#"{"client_message_id":"b-"#.len();
        let text_at = number_at + DIGITS + r#"","text":""#.len();
        Self { bytes, number_at, text_at }
    }

    /// The request for this message.
    pub(crate) fn numbered(&mut self, number: u64) -> &[u8] {
        if let Some(mut place) = self.bytes.get_mut(self.number_at..self.number_at + DIGITS) {
            // The place is as long as the number is written.
            let _ = write!(place, "{number:0DIGITS$}");
        }
        if let Some(place) = self.bytes.get_mut(self.text_at..self.text_at + TEXT_LEN) {
            place.copy_from_slice(text(number).as_bytes());
        }
        &self.bytes
    }
}

/// Makes records as ingest makes them.
#[derive(Debug, Clone)]
pub(crate) struct Records(Codec);

/// A record on its way to the log.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) key: String,
    pub(crate) value: Vec<u8>,
    pub(crate) headers: OwnedHeaders,
}

impl Record {
    /// Its bytes: key, value and headers.
    pub(crate) fn len(&self) -> usize {
        let headers =
            self.headers.iter().map(|header| header.key.len() + header.value.map_or(0, <[u8]>::len));
        self.key.len() + self.value.len() + headers.sum::<usize>()
    }
}

impl Records {
    pub(crate) fn new() -> Self {
        Self(Codec::default())
    }

    /// The record of a post.
    pub(crate) fn post(&self, conversation: &str, number: u64) -> anyhow::Result<Record> {
        let posted = MessagePosted { text: text(number).parse()?, style: Style::Plain, reply_to: None };
        self.record(conversation, &id(number), posted.into())
    }

    /// The record that makes an open conversation.
    pub(crate) fn creation(&self, conversation: &str) -> anyhow::Result<Record> {
        let created = ConversationCreated { title: None, visibility: Visibility::Open, members: Vec::new() };
        self.record(conversation, "created", created.into())
    }

    fn record(&self, conversation: &str, id: &str, body: EventBody) -> anyhow::Result<Record> {
        let actor: UserId = AUTHOR.parse()?;
        let event_type = body.type_name();
        let event = ChatEvent {
            event_id: id.parse()?,
            conversation: conversation.parse()?,
            actor,
            occurred_at: SystemClock.now(),
            body,
        };
        let headers = [
            ("event-type", event_type),
            ("event-id", id),
            ("content-type", "application/vnd.confluent.avro"),
        ]
        .into_iter()
        .fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        Ok(Record { key: conversation.to_owned(), value: self.0.encode(&event)?.to_vec(), headers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers_in(bytes: &[u8]) -> Vec<u64> {
        let mut found = Vec::new();
        numbers(bytes, |number| found.push(number));
        found
    }

    #[test]
    fn a_message_is_known_again_in_every_form() {
        let record = Records::new().post("tea", 1_234).unwrap();
        assert_eq!(numbers_in(&record.value), [1_234]);
        assert_eq!(numbers_in(br#"{"event_id":"b-0000000007"}{"event_id":"b-0000000008"} b-1"#), [7, 8]);
        let mut request = PostRequest::new("tea", "token");
        assert_eq!(numbers_in(request.numbered(99)), [99]);
        let last = request.numbered(9_999_999_999);
        assert_eq!(numbers_in(last), [9_999_999_999]);
        assert!(last.ends_with(format!("\",\"text\":\"{}\"}}", text(9_999_999_999)).as_bytes()));
        assert_ne!(text(1), text(2));
    }
}
