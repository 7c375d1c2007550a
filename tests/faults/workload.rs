//! People who post, edit, redact and react without much pause, over HTTP at both ingest nodes and over sessions, and who
//! try every command whose fate is unknown again, with the same id, until they know it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tests::{
    Api, Caller, Cluster,
    api::Answer,
    cluster::Role,
    sent::{Act, Fate, Sent},
    wait::within,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Who makes the conversations.
pub(crate) const OWNER: &str = "ann";
/// People who send over HTTP.
const OVER_HTTP: usize = 4;
/// People who send over a session.
const OVER_SESSIONS: usize = 2;
/// Pause between two commands of one person, in milliseconds.
const PAUSE_MS: std::ops::Range<u64> = 5..45;
/// Pause between two changes of the members, in milliseconds.
const CHANGE_PAUSE_MS: std::ops::Range<u64> = 50..250;
/// Longest text, in letters.
const TEXT_LEN_MAX: usize = 1_500;
/// Pause before a command is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long a client waits for an answer before it tries elsewhere.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(4);
/// A command that nobody answers for so long, whatever was down meanwhile, is stuck.
const STUCK: Duration = Duration::from_mins(2);

/// The conversations of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Conversations {
    /// Anybody may write to them.
    pub(crate) open: Vec<String>,
    /// Its members change all the while.
    pub(crate) private: String,
}

/// People at work.
#[derive(Debug)]
pub(crate) struct Workload {
    stop: watch::Sender<bool>,
    /// Commands whose fate is known.
    done: Arc<AtomicUsize>,
    people: Vec<JoinHandle<anyhow::Result<Vec<Sent>>>>,
}

/// How somebody reaches the nodes.
#[derive(Debug)]
enum Way {
    /// One interface for each node, and whose turn it is.
    Http(Vec<Api>, usize),
    Session(Box<Caller>),
}

#[derive(Debug)]
struct Person {
    seed: u64,
    name: String,
    way: Way,
    conversations: Conversations,
    chance: SmallRng,
    stop: watch::Receiver<bool>,
    done: Arc<AtomicUsize>,
    sent: Vec<Sent>,
}

impl Conversations {
    /// Names that no other seed has.
    pub(crate) fn of(seed: u64) -> Self {
        let open = ["tea", "coffee", "cocoa"].map(|name| format!("{name}-{seed}"));
        Self { open: open.into(), private: format!("den-{seed}") }
    }

    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.open.iter().chain([&self.private])
    }
}

impl Workload {
    /// Makes the conversations and sends everybody to work.
    pub(crate) async fn start(
        cluster: &Cluster,
        conversations: &Conversations,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let done = Arc::new(AtomicUsize::new(0));
        let person = async |name: &str, way| -> anyhow::Result<Person> {
            let chance = SmallRng::seed_from_u64(
                name.bytes().fold(seed, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte))),
            );
            let (stop, done, sent) = (stopped.clone(), Arc::clone(&done), Vec::new());
            let (name, conversations) = (name.to_owned(), conversations.clone());
            Ok(Person { seed, name, way, conversations, chance, stop, done, sent })
        };
        let http = async |name: &str, turn| -> anyhow::Result<Way> {
            Ok(Way::Http(cluster.apis(Role::Ingest, name, ANSWER_WAIT).await?, turn))
        };
        let names: Vec<_> = (0..OVER_HTTP + OVER_SESSIONS).map(|number| format!("p{number}")).collect();
        let mut owner = person(OWNER, http(OWNER, 0).await?).await?;
        owner.found(&names).await?;
        let mut people = Vec::new();
        for (number, name) in names.iter().enumerate() {
            let way = if number < OVER_HTTP {
                http(name, number).await?
            } else {
                let mut urls = cluster.urls(Role::Fanout).await;
                let turn = number % urls.len();
                urls.rotate_left(turn);
                Way::Session(Box::new(Caller::new(&urls, cluster.token(name)?)))
            };
            people.push(tokio::spawn(person(name, way).await?.work()));
        }
        people.push(tokio::spawn(owner.change_members(names)));
        Ok(Self { stop, done, people })
    }

    /// Waits until so many more commands were answered. An error says that somebody met something that must not happen,
    /// or that it takes too long.
    pub(crate) async fn goes_on(&self, commands: usize) -> anyhow::Result<()> {
        let enough = self.done.load(Ordering::Relaxed) + commands;
        within(STUCK, "the load to go on", async || {
            if self.people.iter().any(JoinHandle::is_finished) {
                // Finishing tells why.
                return Ok(Some(()));
            }
            Ok((self.done.load(Ordering::Relaxed) >= enough).then_some(()))
        })
        .await
    }

    /// Lets everybody bring the command at hand to an end, and gives all that was sent.
    pub(crate) async fn finish(self) -> anyhow::Result<Vec<Sent>> {
        self.stop.send_replace(true);
        let mut record = Vec::new();
        for person in self.people {
            record.extend(person.await??);
        }
        Ok(record)
    }
}

impl Person {
    /// Makes the conversations, and everybody a member of the private one.
    async fn found(&mut self, members: &[String]) -> anyhow::Result<()> {
        let Conversations { open, private } = self.conversations.clone();
        for conversation in &open {
            self.send(conversation, Act::Create { private: false }).await?;
        }
        self.send(&private, Act::Create { private: true }).await?;
        for member in members {
            self.send(&private, Act::Add { member: member.clone() }).await?;
        }
        Ok(())
    }

    async fn work(mut self) -> anyhow::Result<Vec<Sent>> {
        while !*self.stop.borrow() {
            let conversations: Vec<_> = self.conversations.all().cloned().collect();
            let turn = self.chance.random_range(0..conversations.len());
            let conversation = conversations.get(turn).context("a conversation")?;
            let act = self.act(conversation);
            self.send(conversation, act).await?;
            let pause = Duration::from_millis(self.chance.random_range(PAUSE_MS));
            sleep(pause).await;
        }
        Ok(self.sent)
    }

    /// Removes members of the private conversation and adds them again, while they post to it.
    async fn change_members(mut self, members: Vec<String>) -> anyhow::Result<Vec<Sent>> {
        let private = self.conversations.private.clone();
        while !*self.stop.borrow() {
            let turn = self.chance.random_range(0..members.len());
            let member = members.get(turn).context("a member")?.clone();
            self.send(&private, Act::Remove { member: member.clone() }).await?;
            let pause = Duration::from_millis(self.chance.random_range(CHANGE_PAUSE_MS));
            sleep(pause).await;
            self.send(&private, Act::Add { member }).await?;
        }
        Ok(self.sent)
    }

    /// Mostly posts; else something about an earlier message, of one's own or of somebody else.
    fn act(&mut self, conversation: &str) -> Act {
        let is_mine = |sent: &&Sent| {
            sent.conversation == conversation
                && sent.fate() == Fate::Accepted
                && matches!(sent.act, Act::Post { .. })
        };
        let mine = self.sent.iter().rev().find(is_mine).map(|sent| sent.id.clone());
        let draw = self.chance.random_range(0..100);
        match (draw, mine) {
            (0..10, Some(message)) => Act::Edit { message, text: self.text() },
            (10..14, Some(message)) => Act::Redact { message },
            (14..26, Some(message)) => {
                let present = self.chance.random_bool(0.7);
                Act::React { message, emoji: "🍵".to_owned(), present }
            }
            (26..32, _) => {
                // There may be no such message, or not here: then it is refused.
                let other = self.chance.random_range(0..OVER_HTTP + OVER_SESSIONS);
                let number = self.chance.random_range(0..=self.sent.len());
                let message = format!("{}.p{other}.{number}", self.seed);
                Act::React { message, emoji: "👍".to_owned(), present: true }
            }
            _ => Act::Post { text: self.text() },
        }
    }

    fn text(&mut self) -> String {
        let len = self.chance.random_range(1..TEXT_LEN_MAX);
        format!("{} of {}: {}", self.sent.len(), self.name, "é".repeat(len))
    }

    /// Sends a command until its fate is known, and records every try.
    async fn send(&mut self, conversation: &str, act: Act) -> anyhow::Result<()> {
        let number = self.sent.len() as u64;
        let id = format!("{}.{}.{number}", self.seed, self.name);
        let mut sent = Sent::new(conversation, &self.name, number, id, act);
        let deadline = Instant::now() + STUCK;
        // The rule, not the exception: the same command at both nodes at the same moment.
        let at_both = self.chance.random_bool(0.2);
        loop {
            let answers = self.way.send(&sent, at_both).await;
            let known = answers.iter().any(|answer| !matches!(answer, Answer::Unknown(_)));
            sent.answers.extend(answers);
            if known {
                break;
            }
            if Instant::now() > deadline {
                let last = sent.answers.last();
                bail!("{} had no answer for {} s; the last: {last:?}", sent.id, STUCK.as_secs());
            }
            sleep(RETRY_PAUSE).await;
        }
        self.sent.push(sent);
        self.done.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Way {
    /// One try, at one node or at all.
    async fn send(&mut self, sent: &Sent, at_all: bool) -> Vec<Answer> {
        match self {
            Self::Http(apis, _) if at_all => {
                futures_util::future::join_all(apis.iter().map(|api| api.send(sent))).await
            }
            Self::Http(apis, turn) => {
                let node = *turn % apis.len();
                let Some(api) = apis.get(node) else { return Vec::new() };
                let answer = api.send(sent).await;
                // Elsewhere next time; without trouble, too, now and then.
                *turn += 1;
                vec![answer]
            }
            Self::Session(caller) => vec![caller.send(sent).await],
        }
    }
}
