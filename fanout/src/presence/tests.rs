//! Nodes that hear each other, in made-up time.

use kernel::{clock::SystemClock, signals::local::Bus};
use tokio::{
    task::JoinHandle,
    time::{Duration, sleep},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
/// Whatever is due at the same moment has its turn.
const MOMENT: Duration = Duration::from_millis(10);

struct Node {
    presence: Arc<Presence>,
    mail: mpsc::Receiver<Mail>,
    attending: JoinHandle<()>,
}

impl Node {
    fn start(bus: &Bus) -> Self {
        let (shard, mail) = mpsc::channel(1_000);
        let signals: SharedSignals = Arc::new(bus.join(Arc::new(SystemClock)));
        let heard = signals.watch();
        let presence = Arc::new(Presence::new(signals, Arc::new(vec![shard])));
        let attending = tokio::spawn(attend(Arc::clone(&presence), heard));
        Self { presence, mail, attending }
    }

    /// It is gone without a word.
    async fn kill(self) {
        self.attending.abort();
        let _ = self.attending.await;
    }

    fn users(&self) -> Vec<String> {
        let mut users: Vec<_> = self.presence.list(&tea()).into_values().map(|info| info.user).collect();
        users.sort();
        users
    }

    /// What its sessions were told: what and of whom.
    fn told(&mut self) -> Vec<(What, String)> {
        let mut told = Vec::new();
        while let Ok(letter) = self.mail.try_recv() {
            let Mail::Notice(notice) = letter else { panic!("no notice") };
            told.extend(notice.sessions.iter().map(|s| (notice.what, s.user.as_str().to_owned())));
        }
        told
    }
}

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

fn session(user: &str) -> Session {
    Session { user: user.parse().unwrap(), client: format!("session-{user}").parse().unwrap() }
}

fn told(what: What, user: &str) -> (What, String) {
    (what, user.to_owned())
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_at_one_node_is_told_at_the_other() {
    let bus = Bus::default();
    let (here, mut there) = (Node::start(&bus), Node::start(&bus));
    sleep(SECOND).await;
    there.presence.enter(&tea(), session("bob"));
    assert_eq!(there.told(), [told(What::Came, "bob")]);
    here.presence.enter(&tea(), session("ann"));
    here.presence.typing(&tea(), session("ann"), true);
    sleep(SECOND).await;
    assert_eq!(there.told(), [told(What::Came, "ann"), told(What::Typing(true), "ann")]);
    assert_eq!((here.users(), there.users()), (there.users(), vec!["ann".to_owned(), "bob".to_owned()]));
    here.presence.leave(&tea(), session("ann"));
    // It was gone already.
    here.presence.leave(&tea(), session("ann"));
    sleep(SECOND).await;
    assert_eq!(there.told(), [told(What::Went, "ann")]);
    assert_eq!(there.users(), ["bob"]);
}

#[tokio::test(start_paused = true)]
async fn a_node_where_nobody_listens_knows_and_tells_nobody() {
    let bus = Bus::default();
    let (here, mut there) = (Node::start(&bus), Node::start(&bus));
    sleep(SECOND).await;
    here.presence.enter(&tea(), session("ann"));
    here.presence.typing(&tea(), session("ann"), true);
    sleep(SECOND).await;
    assert_eq!(there.users(), ["ann"]);
    assert_eq!(there.told(), []);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_starts_knows_within_three_seconds_who_is_there() {
    let bus = Bus::default();
    let here = Node::start(&bus);
    let people: Vec<_> = (0..250).map(|n| format!("p{n:03}")).collect();
    for user in &people {
        here.presence.enter(&tea(), session(user));
    }
    sleep(10 * SECOND).await;
    let mut late = Node::start(&bus);
    late.presence.enter(&tea(), session("zoe"));
    sleep(3 * SECOND + MOMENT).await;
    assert_eq!(late.users()[..250], people);
    // To whoever was there before them, they came now.
    assert_eq!(late.told().len(), 251);
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_everybody_and_tell_nothing() {
    let bus = Bus::default();
    let (here, mut there) = (Node::start(&bus), Node::start(&bus));
    for user in ["ann", "bob"] {
        here.presence.enter(&tea(), session(user));
    }
    there.presence.enter(&tea(), session("eve"));
    sleep(5 * SECOND).await;
    there.told();
    for _ in 0..600 {
        sleep(SECOND).await;
        assert_eq!(there.users(), ["ann", "bob", "eve"]);
    }
    assert_eq!(there.told(), []);
}

#[tokio::test(start_paused = true)]
async fn the_people_of_a_node_that_was_killed_leave_within_sixty_seconds() {
    let bus = Bus::default();
    let (dead, mut there) = (Node::start(&bus), Node::start(&bus));
    dead.presence.enter(&tea(), session("ann"));
    there.presence.enter(&tea(), session("bob"));
    // Wherever in the round it happens.
    sleep(37 * SECOND).await;
    there.told();
    dead.kill().await;
    sleep(28 * SECOND).await;
    assert_eq!((there.users(), there.told()), (vec!["ann".to_owned(), "bob".to_owned()], Vec::new()));
    sleep(32 * SECOND + MOMENT).await;
    assert_eq!((there.users(), there.told()), (vec!["bob".to_owned()], vec![told(What::Went, "ann")]));
}
