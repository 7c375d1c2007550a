//! Random logs, cut into random batches, against the model in memory.

use schemas::{ConversationId, Position, Visibility, caps::REPEAT_WINDOW_MS, event::Role, event::Style};

use super::{Fixture, Scribe, body, user};
use crate::{
    conversation::ConversationState,
    history::{
        Batch, Depth, Extent, Found, History, Listed, Message, Order, Progress, SharedHistory, StoredEvent,
        memory::MemoryHistory,
    },
};

/// Four numbers that stand for one act in a random log, or for one cut through it. Small numbers are simple acts.
pub type Act = [u8; 4];

const PEOPLE: [&str; 4] = ["ann", "bob", "cid", "dan"];
const EMOJI: [&str; 3] = ["yes", "no", "😀"];
const CONVERSATIONS: [&str; 2] = ["tea", "inn"];

/// The log that the acts stand for, in two conversations of one partition. Many acts are void.
pub fn scene(acts: &[Act]) -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "founding", body::created(Visibility::Open, &["bob"]));
    for (number, act) in acts.iter().enumerate() {
        let [_, who, what, when] = act.map(usize::from);
        scribe.advance([0, 1, 5, 100, 1_000, 9_000, 20_000, 0][when % 8]);
        let (conversation, actor) = (CONVERSATIONS[usize::from(who % 8 == 7)], PEOPLE[who % 4]);
        let fresh = format!("e{number}");
        let event_id = if what % 16 == 15 { repeated(&scribe, conversation) } else { None };
        let event_id = event_id.unwrap_or(fresh);
        scribe.act(conversation, actor, &event_id, body_of(*act, number)).ok();
        if when % 32 == 31 {
            scribe.skip();
        }
    }
    scribe
}

/// The id of the last valid event, as long as the fold must know it.
fn repeated(scribe: &Scribe, conversation: &str) -> Option<String> {
    let valid = scribe.projected.iter().rev().map(|projected| &projected.event).find(|event| !event.void)?;
    let known = valid.recorded_at.as_millis() >= scribe.now.as_millis() - REPEAT_WINDOW_MS
        && valid.event.conversation.as_str() == conversation;
    known.then(|| valid.event.event_id.as_str().to_owned())
}

fn body_of([kind, _, what, when]: Act, number: usize) -> schemas::EventBody {
    let (whom, emoji) = (PEOPLE[usize::from(what % 4)], EMOJI[usize::from(when % 3)]);
    // A message of late, one long ago, or one that never was.
    let message = format!("e{}", number.saturating_sub(usize::from(what % 24)));
    match kind % 16 {
        0..4 => body::posted(&format!("text {number}")),
        4 => body::answered(&format!("answer {number}"), Style::Action, &message),
        5 => body::edited(&message, &format!("edit {number}")),
        6 => body::redacted(&message),
        7 | 8 => body::reacted(&message, emoji, kind % 16 == 7),
        9 => body::read(u64::from(what)),
        10 => body::joined(whom),
        11 => body::left(),
        12 => body::removed(whom),
        13 => body::role(whom, [Role::Member, Role::Moderator, Role::Owner][usize::from(when % 3)]),
        14 if what % 4 == 0 => body::archived(when % 2 == 0),
        14 if what % 4 == 1 => body::renamed(PEOPLE[usize::from(when % 4)]),
        14 => body::retitled(&format!("title {number}")),
        _ => body::created([Visibility::Open, Visibility::Private][usize::from(what % 2)], &[whom]),
    }
}

/// Batches that cover the whole log, with others laid over them, in an order that the cuts decide.
pub fn cut(scribe: &Scribe, cuts: &[Act]) -> Vec<Batch> {
    let tail = scribe.tail().get();
    let mut batches = Vec::new();
    let mut from = 0;
    for [len, key, ..] in cuts.iter().cycle().take(usize::from(u16::MAX)) {
        if from >= tail {
            break;
        }
        let to = (from + 1 + u64::from(len % 16)).min(tail);
        batches.push((*key, scribe.batch(from, to)));
        from = to;
    }
    if from < tail {
        batches.push((0, scribe.batch(from, tail)));
    }
    for [_, start, len, key] in cuts {
        let from = u64::from(*start) % tail;
        batches.push((*key, scribe.batch(from, (from + u64::from(*len)).min(tail))));
    }
    batches.sort_by_key(|(key, _)| *key);
    batches.into_iter().map(|(_, batch)| batch).collect()
}

/// What a history says to every question about a log.
#[derive(Debug, PartialEq, Eq)]
pub struct Answers {
    progress: Option<Progress>,
    states: Vec<(Option<ConversationState>, Position)>,
    events: Vec<Vec<StoredEvent>>,
    messages: Vec<Vec<Message>>,
    found: Vec<Option<Found>>,
    lists: Vec<Vec<Listed>>,
}

impl Answers {
    /// Asks everything.
    pub async fn of(history: &SharedHistory, scribe: &Scribe) -> Self {
        let mut answers = Self {
            progress: history.progress(scribe.partition).await.unwrap(),
            states: Vec::new(),
            events: Vec::new(),
            messages: Vec::new(),
            found: Vec::new(),
            lists: Vec::new(),
        };
        for conversation in CONVERSATIONS {
            answers.ask(history, scribe, &conversation.parse().unwrap()).await;
        }
        for name in PEOPLE {
            let middle: ConversationId = "m".parse().unwrap();
            for (after, limit) in [(None, 10), (None, 1), (Some(&middle), 10)] {
                answers.lists.push(history.conversations_of(&user(name), after, limit).await.unwrap());
            }
        }
        answers
    }

    async fn ask(&mut self, history: &SharedHistory, scribe: &Scribe, conversation: &ConversationId) {
        let snapshot = history.snapshot(scribe.partition, conversation, Depth::Fold).await.unwrap();
        self.states.push((snapshot.state, snapshot.position));
        let tail = scribe.tail().get();
        for order in [Order::Ascending, Order::Descending] {
            for (after, up_to, limit) in [(0, tail, 1_000), (tail / 3, tail / 3 * 2, 5), (tail / 2, tail, 3)]
            {
                let (after, up_to) = (Position::new(after), Position::new(up_to));
                let extent = Extent { after, up_to, order, limit };
                self.events.push(history.events(conversation, extent).await.unwrap());
                self.messages.push(history.messages(conversation, extent).await.unwrap());
            }
        }
        for projected in &scribe.projected {
            let event_id = &projected.event.event.event_id;
            self.found.push(history.find(conversation, event_id).await.unwrap());
        }
    }

    /// How far the history has come.
    pub fn position(&self) -> Position {
        self.progress.as_ref().map_or(Position::START, |progress| progress.position)
    }
}

/// What the model in memory answers when it is given the log in order and at once.
pub async fn model(scribe: &Scribe) -> (Answers, MemoryHistory) {
    let model = MemoryHistory::new();
    model.apply(scribe.whole()).await.unwrap();
    let shared: SharedHistory = std::sync::Arc::new(model.clone());
    (Answers::of(&shared, scribe).await, model)
}

/// One log, one adapter, random cuts. The log does not depend on chance from run to run.
pub async fn shuffled_and_overlapping_batches_answer_as_the_model_does(fixture: &impl Fixture) {
    let mut seed = 1_u64;
    let mut acts = |len: usize| (0..len).map(|_| splitmix(&mut seed)).collect::<Vec<Act>>();
    let scribe = scene(&acts(300));
    let history = fixture.open().await;
    for batch in cut(&scribe, &acts(20)) {
        history.apply(batch).await.unwrap();
    }
    let (expected, _) = model(&scribe).await;
    assert_eq!(expected.states[0].0.as_ref(), scribe.state(&"tea".parse().unwrap()));
    assert_eq!(Answers::of(&history, &scribe).await, expected);
    let digest = fixture.digest().await;
    for batch in cut(&scribe, &acts(20)) {
        history.apply(batch).await.unwrap();
    }
    assert_eq!(fixture.digest().await, digest);
}

/// The next four random numbers.
fn splitmix(seed: &mut u64) -> Act {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    u32::try_from(mixed >> 32).unwrap().to_le_bytes()
}
