//! The topic itself, against the events: what any reader of it sees.

use std::collections::{HashMap, HashSet};

use super::Verdict;
use crate::{api::EventLine, sent::Sent, topic::TopicRecord};

impl Verdict {
    /// Every event stands in the topic one before its position on the wire, all in one partition. What stands there
    /// besides is void: something that was sent, too.
    pub(super) fn topic(
        &mut self,
        conversation: &str,
        sent: &[&Sent],
        events: &[EventLine],
        topic: &[TopicRecord],
    ) {
        let records: Vec<_> = topic.iter().filter(|record| record.key == conversation).collect();
        let partitions: HashSet<_> = records.iter().map(|record| record.partition).collect();
        if partitions.len() > 1 {
            self.disorder.push(format!("{conversation} stands in the partitions {partitions:?}"));
        }
        let mut by_position: HashMap<u64, &TopicRecord> = HashMap::new();
        for record in &records {
            if by_position.insert(record.offset + 1, record).is_some() {
                self.doubled.push(format!("the topic was read with two records at {}", record.offset));
            }
        }
        for EventLine { offset, event_id, kind, .. } in events {
            match by_position.remove(offset) {
                Some(record) if record.event_id == *event_id && record.event_type == *kind => {}
                Some(record) => self.other.push(format!("{event_id} at {offset} is in the topic {record:?}")),
                None => self.lost.push(format!("{event_id} at {offset} is not in the topic")),
            }
        }
        let ids: HashSet<_> = sent.iter().map(|sent| sent.id.as_str()).collect();
        let strange = by_position.values().filter(|record| !ids.contains(record.event_id.as_str()));
        self.other.extend(strange.map(|record| format!("nobody sent what is in the topic: {record:?}")));
        self.void += by_position.len();
    }
}
