//! Records as a server writes them.

use kernel::{
    clock::{Clock, SystemClock},
    event_log::NewRecord,
};
use schemas::{
    ChatEvent, ConversationId, EventBody, UserId, Visibility,
    codec::Codec,
    event::{ConversationCreated, MessagePosted, Style},
};

use crate::{measure::text, settings::DEV_USER};

/// Makes them.
pub(super) struct Records {
    codec: Codec,
    author: UserId,
}

impl Records {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { codec: Codec::default(), author: DEV_USER.parse()? })
    }

    /// So many conversations.
    pub(super) fn conversations(count: u64) -> anyhow::Result<Vec<ConversationId>> {
        (0..count).map(|number| Ok(format!("bench-{number}").parse()?)).collect()
    }

    /// The first record of a conversation.
    pub(super) fn creation(&self, conversation: &ConversationId) -> anyhow::Result<NewRecord> {
        let created = ConversationCreated { title: None, visibility: Visibility::Open, members: Vec::new() };
        self.record(conversation, "created", created.into())
    }

    /// That of a message, whose id has the number.
    pub(super) fn message(&self, conversation: &ConversationId, number: u64) -> anyhow::Result<NewRecord> {
        let posted = MessagePosted { text: text(number).parse()?, style: Style::Plain, reply_to: None };
        self.record(conversation, &format!("b-{number}"), posted.into())
    }

    fn record(&self, conversation: &ConversationId, id: &str, body: EventBody) -> anyhow::Result<NewRecord> {
        let event = ChatEvent {
            event_id: id.parse()?,
            conversation: conversation.clone(),
            actor: self.author.clone(),
            occurred_at: SystemClock.now(),
            body,
        };
        Ok(ingest::record_of(&self.codec, &event)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_event_that_it_says() {
        let (records, conversations) = (Records::new().unwrap(), Records::conversations(2).unwrap());
        let record = records.message(&conversations[1], 7).unwrap();
        let event = Codec::default().decode(&record.value).unwrap();
        assert_eq!((event.event_id.as_str(), &event.conversation), ("b-7", &conversations[1]));
        let EventBody::MessagePosted(posted) = event.body else { panic!("{event:?}") };
        assert_eq!(posted.text.as_str(), text(7));
        assert_ne!(records.message(&conversations[1], 8).unwrap().value, record.value);
    }
}
