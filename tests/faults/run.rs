//! One seed: the load, the faults of its schedule, and what the checker says when everything has healed.

use std::{fmt, time::Duration};

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use tests::{
    Cassandra, Cluster, Kafka, Observer,
    api::EventLine,
    checker::{Evidence, Verdict},
    cluster::{self, Role},
    sent::{Fate, Sent},
    topic::{self, TopicRecord},
    wait::within,
};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::{
    schedule::{self, Fault, Harm},
    workload::{ANSWER_WAIT, Conversations, OWNER, Workload},
};

/// Commands that must be answered after the last fault.
const CALM_COMMANDS: usize = 100;
/// How long everything may take to agree after the last fault has healed.
const HEAL_WAIT: Duration = Duration::from_mins(2);

/// The servers that everything rests on; they can be killed, too.
#[derive(Debug)]
pub(crate) struct Servers {
    pub(crate) kafka: Mutex<Kafka>,
    pub(crate) cassandra: Mutex<Cassandra>,
}

/// What came of a seed.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    faults: Vec<Fault>,
    pub(crate) verdict: Verdict,
    commands: usize,
    again: usize,
    unknown: usize,
    moves: usize,
    took: Duration,
    /// From the last fault to so many commands more.
    resumed: Duration,
    /// From the last fault to the verdict.
    healed: Duration,
}

/// The sessions of a seed, each with its name and its conversation.
type Sessions = Vec<(String, String, Observer)>;

/// Everything that can be struck.
struct Stage<'a> {
    cluster: &'a Cluster,
    servers: &'a Servers,
    sessions: &'a Sessions,
}

/// Runs a seed. An error is a finding, too: something that must not happen to a client, or that never came to rest.
pub(crate) async fn run(seed: u64, cluster: &Cluster, servers: &Servers) -> anyhow::Result<Report> {
    let begun = Instant::now();
    let faults = schedule::draw(seed);
    let conversations = Conversations::of(seed);
    let workload = Workload::start(cluster, &conversations, seed).await?;
    let sessions = sessions(cluster, &conversations).await?;
    for (_, _, session) in &sessions {
        session.subscribed(1).await?;
    }
    let stage = Stage { cluster, servers, sessions: &sessions };
    let struck = join_all(faults.iter().map(|fault| stage.strike(*fault))).await;
    for (struck, fault) in struck.into_iter().zip(&faults) {
        struck.with_context(|| fault.to_string())?;
    }
    let healing = Instant::now();
    workload.goes_on(CALM_COMMANDS).await?;
    let resumed = healing.elapsed();
    let record = workload.finish().await?;
    for number in 0..schedule::NODES_EACH {
        stage.until_member(number, true).await?;
    }
    let mut verdict = Verdict::default();
    let topic = {
        let broker = servers.kafka.lock().await.address().to_string();
        topic::read(broker, cluster.site().topic()).await?
    };
    for conversation in conversations.all() {
        judge(cluster, conversation, &record, &sessions, &topic, &mut verdict).await?;
    }
    if let Some(said) = cluster.verify().await? {
        verdict.add(format!("the history that was kept is not the log folded anew: {said}"));
    }
    for (role, node) in cluster.nodes() {
        if let Some(status) = node.lock().await.ended()? {
            verdict.add(format!("a node with the role {} ended by itself: {status}", role.name()));
        }
    }
    Ok(Report {
        seed,
        faults,
        verdict,
        commands: record.len(),
        again: record.iter().map(|sent| sent.answers.len() - 1).sum(),
        unknown: record.iter().filter(|sent| sent.fate() == Fate::Unknown).count(),
        moves: sessions.iter().map(|(_, _, session)| session.seen().subscribed - 1).sum(),
        took: begun.elapsed(),
        resumed,
        healed: healing.elapsed(),
    })
}

/// Two sessions for each open conversation, that begin at different nodes; one for the private one, of its owner.
async fn sessions(cluster: &Cluster, conversations: &Conversations) -> anyhow::Result<Sessions> {
    let (token, mut urls) = (cluster.token(OWNER)?, cluster.urls(Role::Fanout).await);
    let mut sessions = Vec::new();
    for number in 0..urls.len() {
        let all = conversations.open.iter().chain((number == 0).then_some(&conversations.private));
        for conversation in all {
            let name = format!("{number} of {conversation}");
            sessions.push((name, conversation.clone(), Observer::roaming(&urls, &token, conversation)));
        }
        urls.rotate_left(1);
    }
    Ok(sessions)
}

/// Waits until everybody has come to the end of a conversation, and judges it.
async fn judge(
    cluster: &Cluster,
    conversation: &str,
    record: &[Sent],
    sessions: &Sessions,
    topic: &[TopicRecord],
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let stores = cluster.apis(Role::Store, OWNER, ANSWER_WAIT).await?;
    let mut answers = Vec::new();
    for store in &stores {
        let answer = within(HEAL_WAIT, "a store node to answer", async || {
            let events = store.events(conversation).await;
            let messages = store.messages(conversation).await;
            let members = store.members(conversation).await;
            Ok(match (events, messages, members) {
                (Ok(events), Ok(messages), Ok(members)) => Some((events, messages, members)),
                _ => None,
            })
        });
        answers.push(answer.await?);
    }
    let (events, messages, members) = answers.first().context("no store node")?;
    if answers.iter().any(|answer| answer != answers.first().unwrap_or(answer)) {
        verdict.add(format!("the store nodes say different things of {conversation}"));
    }
    let last = events.last().map_or(0, |event| event.offset);
    let mut seen: Vec<(String, Vec<EventLine>)> = Vec::new();
    for (name, _, session) in sessions.iter().filter(|(_, of, _)| of == conversation) {
        let all = session.reached(last).await.with_context(|| format!("the session {name}"))?;
        seen.push((name.clone(), all.events));
    }
    verdict.judge(&Evidence {
        conversation,
        sent: record,
        events,
        messages,
        members,
        sessions: &seen,
        topic: Some(topic),
    });
    Ok(())
}

impl Stage<'_> {
    /// Waits until the group of the store nodes has this one as a member, or has not.
    async fn until_member(&self, number: usize, wanted: bool) -> anyhow::Result<()> {
        let site = self.cluster.site();
        let name = cluster::name(Role::Store, number);
        let what = format!("{name} to be {} the group", if wanted { "in" } else { "out of" });
        within(HEAL_WAIT, &what, async || {
            // Kafka may be away at this moment.
            let members = topic::group_members(site.kafka.clone(), site.group()).await;
            Ok(members.ok().filter(|members| members.contains(&name) == wanted).map(drop))
        })
        .await
    }

    /// Does the harm at its time, and undoes it.
    async fn strike(&self, fault: Fault) -> anyhow::Result<()> {
        let Fault { harm, at_ms, hold_ms } = fault;
        let hold = Duration::from_millis(hold_ms);
        // Not waits for conditions: the schedule is made of times.
        sleep(Duration::from_millis(at_ms)).await;
        match harm {
            Harm::Kill(role, number) => {
                let mut node = self.cluster.node(role, number)?.lock().await;
                node.kill().await?;
                sleep(hold).await;
                node.revive().await
            }
            Harm::Freeze(role, number) => {
                let node = self.cluster.node(role, number)?.lock().await;
                node.freeze().await?;
                sleep(hold).await;
                if fault.is_zombie() {
                    // Or it would be no zombie: its partitions must be with others when it comes back.
                    self.until_member(number, false).await?;
                }
                node.thaw().await
            }
            Harm::Join { gently } => {
                let mut node = self.cluster.node_of(Role::Store, schedule::NODES_EACH)?;
                node.revive().await?;
                sleep(hold).await;
                if !gently {
                    return node.kill().await;
                }
                let status = node.terminate().await?;
                ensure!(status.success(), "it ended with {status}:\n{}", node.log_tail());
                Ok(())
            }
            Harm::Kafka => {
                let mut kafka = self.servers.kafka.lock().await;
                kafka.kill().await?;
                sleep(hold).await;
                kafka.restart().await
            }
            Harm::Cassandra => {
                let mut cassandra = self.servers.cassandra.lock().await;
                cassandra.kill().await?;
                sleep(hold).await;
                cassandra.restart().await
            }
            Harm::Slow => {
                let slow: Vec<_> = self.sessions.iter().step_by(2).collect();
                for (_, _, session) in &slow {
                    session.pause(true);
                }
                sleep(hold).await;
                for (_, _, session) in slow {
                    session.pause(false);
                }
                Ok(())
            }
            Harm::Move => {
                self.sessions.iter().for_each(|(_, _, session)| session.move_on());
                Ok(())
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, faults, verdict, commands, again, unknown, moves, took, resumed, healed } = self;
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        write!(
            f,
            "seed {seed}: {verdict} ({commands} commands, {again} sent again, {unknown} unknown, {} void, {moves} moves; \
             {took:.1?}; after the faults {CALM_COMMANDS} commands in {resumed:.1?}, judged in {healed:.1?}) [{}]",
            verdict.void(),
            faults.join(", ")
        )
    }
}
