//! What the tests of this crate share.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use kernel::{
    History,
    clock::{Clock, ManualClock},
    event_log::{Delivery, NewRecord, Place, Readership, Record, SharedLog, memory::MemoryLog},
    history::{
        Batch, Depth, Extent, Found, HistoryError, Listed, Message, Post, Progress, SharedHistory, Snapshot,
        StoredEvent, memory::MemoryHistory,
    },
};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, Partition, Position, Role, Timestamp, UserId, Visibility,
    codec::Codec,
    event::{
        ConversationChanged, ConversationCreated, MemberJoined, MemberLeft, MemberRemoved, MessageEdited,
        MessagePosted, MessageRedacted, ReactionAdded, ReactionRemoved, ReadMarkerMoved, RoleChanged, Style,
    },
};
use tokio::sync::watch;

use crate::projector::GROUP;

mod trouble;

pub(crate) use trouble::{Applying, Troubled};

pub(crate) fn memory_log(partitions: u32) -> SharedLog {
    Arc::new(MemoryLog::new(partitions, clock()))
}

pub(crate) fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(Timestamp::from_millis(1_700_000_000_000)))
}

pub(crate) fn memory_history() -> SharedHistory {
    Arc::new(MemoryHistory::new())
}

pub(crate) fn event(conversation: &str, id: &str, actor: &str, body: impl Into<EventBody>) -> ChatEvent {
    ChatEvent {
        event_id: id.parse().unwrap(),
        conversation: conversation.parse().unwrap(),
        actor: actor.parse().unwrap(),
        occurred_at: Timestamp::from_millis(1_700_000_000_000),
        body: body.into(),
    }
}

pub(crate) fn at(millis: i64, event: ChatEvent) -> ChatEvent {
    ChatEvent { occurred_at: Timestamp::from_millis(millis), ..event }
}

pub(crate) fn created(conversation: &str, owner: &str, visibility: Visibility) -> ChatEvent {
    let body = ConversationCreated { title: None, visibility, members: Vec::new() };
    event(conversation, "created", owner, body)
}

pub(crate) fn posted(text: &str) -> MessagePosted {
    MessagePosted { text: text.parse().unwrap(), style: Style::Plain, reply_to: None }
}

pub(crate) fn encoded(event: &ChatEvent) -> NewRecord {
    let value = Codec::default().encode(event).unwrap();
    NewRecord { key: event.conversation.clone(), value, headers: Vec::new() }
}

/// The value of a record that only a newer build can read.
pub(crate) fn from_the_future() -> Bytes {
    Bytes::from_static(&[0, 0, 0, 0, 99, 1, 2, 3])
}

pub(crate) async fn append(log: &SharedLog, events: &[ChatEvent]) -> Vec<Place> {
    let mut places = Vec::new();
    for some in events.chunks(1_000) {
        places.extend(log.append(some.iter().map(encoded).collect()).await.unwrap());
    }
    places
}

pub(crate) async fn append_value(log: &SharedLog, key: &str, value: Bytes) -> Place {
    let record = NewRecord { key: key.parse().unwrap(), value, headers: Vec::new() };
    log.append(vec![record]).await.unwrap()[0]
}

pub(crate) async fn records(log: &SharedLog, partition: Partition) -> Vec<Record> {
    log.read(partition, Position::START, Position::new(u64::MAX), 1_000).await.unwrap()
}

/// Acts of a few people in a few conversations. Many are void, and ids come twice.
pub(crate) fn workload(seed: u64, len: usize) -> Vec<ChatEvent> {
    let mut rng = SmallRng::seed_from_u64(seed);
    (0..len).map(|n| random_event(&mut rng, n)).collect()
}

fn random_event(rng: &mut SmallRng, n: usize) -> ChatEvent {
    let user = |rng: &mut SmallRng| -> UserId { format!("u{}", rng.random_range(0..4)).parse().unwrap() };
    let message_id: EventId = format!("e{}", rng.random_range(0..=n)).parse().unwrap();
    let emoji = "👍".parse().unwrap();
    let body: EventBody = match rng.random_range(0..16) {
        0 => {
            ConversationCreated { title: None, visibility: Visibility::Open, members: vec![user(rng)] }.into()
        }
        1 => {
            let title = format!("t{n}").parse().ok();
            ConversationChanged { title, archived: rng.random_bool(0.3).then(|| rng.random_bool(0.3)) }.into()
        }
        2 => MemberJoined { member: user(rng) }.into(),
        3 => MemberLeft { parting_words: "bye".parse().unwrap() }.into(),
        4 => MemberRemoved { member: user(rng) }.into(),
        5 => RoleChanged { member: user(rng), role: Role::Owner }.into(),
        6 => MessageEdited { message_id, text: format!("edit {n}").parse().unwrap() }.into(),
        7 => MessageRedacted { message_id }.into(),
        8 => ReactionAdded { message_id, emoji }.into(),
        9 => ReactionRemoved { message_id, emoji }.into(),
        10 => ReadMarkerMoved { up_to: Position::new(n as u64) }.into(),
        _ => posted(&format!("text {n}")).into(),
    };
    let id = if rng.random_bool(0.1) { n / 2 } else { n };
    let conversation = format!("c{}", rng.random_range(0..5));
    let actor = user(rng);
    at(
        1_700_000_000_000 + i64::try_from(n).unwrap(),
        event(&conversation, &format!("e{id}"), actor.as_str(), body),
    )
}

/// All that can be asked of a history about the conversations and people of [`workload`].
pub(crate) async fn all_of(log: &SharedLog, history: &SharedHistory) -> Vec<String> {
    let mut all = Vec::new();
    for partition in (0..log.partitions()).map(Partition) {
        all.push(format!("{:?}", history.progress(partition).await.unwrap()));
    }
    for n in 0..5 {
        let conversation: ConversationId = format!("c{n}").parse().unwrap();
        let partition = kernel::event_log::partition_of(&conversation, log.partitions());
        let Snapshot { state, position } =
            history.snapshot(partition, &conversation, Depth::Fold).await.unwrap();
        // The window of ids is compared by what the fold says of later events.
        all.push(format!(
            "{position:?} {:?}",
            state.map(|state| (state.title, state.standings, state.position))
        ));
        for event in
            pages(|extent| history.events(&conversation, extent), |event| event.offset.position()).await
        {
            all.push(format!("{event:?}"));
        }
        for message in pages(|extent| history.messages(&conversation, extent), |message| message.offset).await
        {
            all.push(serde_json::to_string(&message).unwrap());
        }
    }
    for n in 0..4 {
        let listed = history.conversations_of(&format!("u{n}").parse().unwrap(), None, 1_000).await.unwrap();
        all.push(serde_json::to_string(&listed).unwrap());
    }
    all
}

async fn pages<T, F>(ask: impl Fn(Extent) -> F, position: impl Fn(&T) -> Position) -> Vec<T>
where
    F: Future<Output = Result<Vec<T>, HistoryError>>,
{
    let mut all: Vec<T> = Vec::new();
    loop {
        let after = all.last().map_or(Position::START, &position);
        let page = ask(Extent { after, ..Extent::ALL }).await.unwrap();
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Where the group of the projectors goes on in partition 0. Takes the partition away from them for that moment, so no
/// projector may be running.
pub(crate) async fn checkpoint(log: &SharedLog) -> Position {
    let mut reader = log.open(Readership::Group(GROUP)).await.unwrap();
    loop {
        if let Delivery::Assigned { partition: Partition(0), from } = reader.next().await.unwrap() {
            return from;
        }
    }
}

/// How often others get their turn before time may pass.
const TURNS: u32 = 10_000;

/// Waits until the history has all of the log. Where the clock stands still it does so as long as that is possible, so that a test can tell
/// that nothing waited.
pub(crate) async fn caught_up(log: &SharedLog, history: &SharedHistory) {
    for partition in (0..log.partitions()).map(Partition) {
        let tail = log.tail(partition).await.unwrap();
        let mut turns = 0;
        while history.progress(partition).await.unwrap().map_or(Position::START, |p| p.position) < tail {
            turns += 1;
            if turns < TURNS {
                tokio::task::yield_now().await;
            } else {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }
}
