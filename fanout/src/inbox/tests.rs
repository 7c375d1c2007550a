//! Inboxes over a log and a history in memory, whatever comes in between.

use std::{collections::BTreeMap, time::Duration};

use kernel::{
    EventLog, History,
    history::faulty::{FaultyHistory, HistoryFaults},
    inbox::Tally,
    testing::{World, created, event},
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use schemas::{
    ConversationId, EventBody, Position, Visibility,
    event::{
        ConversationChanged, ConversationCreated, MemberJoined, MemberLeft, MemberRemoved, MemberRenamed,
        MessagePosted, ReadMarkerMoved, Style,
    },
};
use tokio::{task::JoinHandle, time::sleep};

use super::*;
use crate::sim::Slow;

const PEOPLE: [&str; 4] = ["ann", "bob", "cid", "dan"];
/// Between two moments of quiet.
const STEPS_MAX: usize = 25;
const PHASES: usize = 8;

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn said(text: &str) -> EventBody {
    MessagePosted { text: text.parse().unwrap(), style: Style::Plain, reply_to: None }.into()
}

/// A node without sessions: what a shard would be told comes out of the mailbox.
struct Bench {
    world: World,
    faults: HistoryFaults,
    inboxes: Arc<Inboxes>,
    mail: mpsc::Receiver<Mail>,
    attending: JoinHandle<()>,
    /// Appended so far.
    events: u64,
}

impl Bench {
    async fn of(world: World) -> Self {
        let (history, faults) = FaultyHistory::new(Arc::new(world.history.clone()));
        let history = Slow::new(Arc::new(history));
        let mirror = Mirror::start(Arc::new(world.log.clone()), Arc::new(history)).await.unwrap();
        let (shard, mail) = mpsc::channel(10_000);
        let inboxes = Inboxes::new(mirror, Arc::new(vec![shard]));
        let attending = tokio::spawn(attend(Arc::clone(&inboxes)));
        Self { world, faults, inboxes, mail, attending, events: 0 }
    }

    fn news(&mut self) -> Vec<(UserId, News)> {
        let mut all = Vec::new();
        while let Ok(letter) = self.mail.try_recv() {
            let Mail::News(news) = letter else { panic!("something else") };
            all.extend(news.iter().cloned());
        }
        all
    }

    async fn project_all(&mut self) {
        for partition in (0..self.world.log.partitions()).map(Partition) {
            let tail = self.world.log.tail(partition).await.unwrap();
            let behind = async |world: &World| match world.history.progress(partition).await.unwrap() {
                Some(at) => at.position < tail,
                None => tail > Position::START,
            };
            while behind(&self.world).await {
                self.world.project(partition, 1_000).await;
            }
        }
    }
}

/// What somebody's client knows: it lists when it is told that the inbox is open, and what it is told since then is newer.
enum Client {
    Opening(JoinHandle<Result<Opened, InboxError>>),
    Listing(Opened, JoinHandle<Result<Page, InboxError>>, Vec<News>),
    Up { _opened: Opened, known: BTreeMap<ConversationId, Tally> },
}

fn take(known: &mut BTreeMap<ConversationId, Tally>, news: News) {
    match news {
        News::Entry(Entry { conversation, tally }) => drop(known.insert(conversation, tally)),
        News::Gone(Gone { conversation, .. }) => drop(known.remove(&conversation)),
    }
}

async fn everything(inboxes: Arc<Inboxes>, user: UserId) -> Result<Page, InboxError> {
    inboxes.page(&user, Ask { after: None, limit: caps::PAGE_LEN_MAX, unread: false }).await
}

fn known(page: Page) -> BTreeMap<ConversationId, Tally> {
    page.conversations.into_iter().map(|entry| (entry.conversation, entry.tally)).collect()
}

impl Client {
    /// Goes on if it can; `None` if it failed.
    async fn step(self, bench: &Bench, user: &UserId) -> Option<Self> {
        Some(match self {
            Self::Opening(opening) if opening.is_finished() => {
                let opened = opening.await.unwrap().ok()?;
                let listing = tokio::spawn(everything(Arc::clone(&bench.inboxes), user.clone()));
                Self::Listing(opened, listing, Vec::new())
            }
            Self::Listing(opened, listing, news) if listing.is_finished() => {
                let mut known = known(listing.await.unwrap().ok()?);
                for news in news {
                    take(&mut known, news);
                }
                Self::Up { _opened: opened, known }
            }
            same => same,
        })
    }

    fn told(&mut self, news: News) {
        match self {
            Self::Opening(_) => {}
            Self::Listing(_, _, all) => all.push(news),
            Self::Up { known, .. } => take(known, news),
        }
    }
}

fn anything(rng: &mut StdRng, tail: u64) -> EventBody {
    let somebody = user(PEOPLE.choose(rng).unwrap());
    match rng.random_range(0..14) {
        0..4 => said("hi"),
        4 => said(&format!("hi @{somebody}")),
        5..8 => ReadMarkerMoved { up_to: Position::new(rng.random_range(0..=tail)) }.into(),
        8 | 9 => MemberJoined { member: somebody }.into(),
        10 => MemberRemoved { member: somebody }.into(),
        11 => MemberLeft { parting_words: schemas::PartingWords::default() }.into(),
        12 => MemberRenamed { to: somebody }.into(),
        _ => ConversationChanged { title: Some("Tea".parse().unwrap()), archived: None }.into(),
    }
}

/// Random events, lag, faults, people who come and go; now and then it is quiet, and then everybody who is there knows what a fresh
/// list says.
async fn simulate(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut bench = Bench::of(World::new(2)).await;
    let mut clients: BTreeMap<&str, Client> = BTreeMap::new();
    for _ in 0..PHASES {
        for _ in 0..rng.random_range(1..STEPS_MAX) {
            step(&mut bench, &mut clients, &mut rng).await;
            settle(&mut bench, &mut clients).await;
        }
        become_quiet(&mut bench, &mut clients).await;
        for (name, client) in &clients {
            let Client::Up { known: client_knows, .. } = client else {
                panic!("{name} is not there, seed {seed}")
            };
            let truth = known(everything(Arc::clone(&bench.inboxes), user(name)).await.unwrap());
            assert_eq!(*client_knows, truth, "{name}, seed {seed}");
        }
    }
    clients.clear();
    assert_eq!(bench.inboxes.register.lock().entries(), 0, "nobody is left, seed {seed}");
    bench.attending.abort();
}

async fn step(bench: &mut Bench, clients: &mut BTreeMap<&'static str, Client>, rng: &mut StdRng) {
    let name = *PEOPLE.choose(rng).unwrap();
    match rng.random_range(0..26) {
        0..9 => {
            bench.events += 1;
            let conversation = format!("c{}", rng.random_range(0..4));
            let members = vec![user(PEOPLE.choose(rng).unwrap())];
            let begins = ConversationCreated { title: None, visibility: Visibility::Open, members };
            let body = if rng.random_bool(0.15) { begins.into() } else { anything(rng, bench.events) };
            let id = format!("e{}", bench.events);
            bench.world.append(&event(&conversation, &id, name, body)).await;
        }
        9..12 => {
            let partition = Partition(rng.random_range(0..2));
            bench.world.project(partition, rng.random_range(1..8)).await;
        }
        12 | 13 => bench.project_all().await,
        14 => bench.faults.fail_reads(rng.random_bool(0.3)),
        15..18 => {
            let (inboxes, user) = (Arc::clone(&bench.inboxes), user(name));
            let opening = tokio::spawn(async move { inboxes.open(&user).await });
            clients.insert(name, Client::Opening(opening));
        }
        18 => drop(clients.remove(name)),
        // As long as one answer of the history takes, or as a few rounds do.
        19..24 => sleep(Duration::from_millis(rng.random_range(0..4))).await,
        _ => sleep(Duration::from_millis(rng.random_range(0..600))).await,
    }
}

/// Longer than anything waits for the history, and than a round that failed.
async fn become_quiet(bench: &mut Bench, clients: &mut BTreeMap<&'static str, Client>) {
    bench.faults.fail_reads(false);
    for _ in 0..8 {
        bench.project_all().await;
        sleep(Duration::from_secs(1)).await;
        settle(bench, clients).await;
    }
}

async fn settle(bench: &mut Bench, clients: &mut BTreeMap<&'static str, Client>) {
    for (user, news) in bench.news() {
        if let Some(client) = clients.get_mut(user.as_str()) {
            client.told(news);
        }
    }
    for name in PEOPLE {
        if let Some(client) = clients.remove(name)
            && let Some(client) = client.step(bench, &user(name)).await
        {
            clients.insert(name, client);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_comes_to_know_what_a_fresh_list_says() {
    for seed in 0..400 {
        simulate(seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_inbox_has_as_many_conversations_as_it_may_and_not_one_more() {
    let world = World::new(1);
    for number in 0..=caps::INBOX_LEN_MAX {
        world.append(&created(&format!("c{number}"))).await;
    }
    let mut bench = Bench::of(world).await;
    bench.project_all().await;
    let ann = user("ann");
    assert!(matches!(bench.inboxes.open(&ann).await, Err(InboxError::TooMany)));
    assert_eq!(bench.inboxes.register.lock().entries(), 0);
    let left = MemberLeft { parting_words: schemas::PartingWords::default() };
    bench.world.append(&event("c7", "l", "ann", left)).await;
    bench.project_all().await;
    let _opened = bench.inboxes.open(&ann).await.unwrap();
    assert_eq!(bench.inboxes.register.lock().entries(), caps::INBOX_LEN_MAX);
}
