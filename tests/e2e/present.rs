//! Two nodes with sessions, on real servers: who is at one is seen at the other, and leaves with it, whatever became of it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tests::{Server, Site, Talker, topic, wait::SOON, wait::until};

/// How long the people of a node that was killed may stay.
const LIFE: Duration = Duration::from_mins(1);
/// What a busy machine may take besides.
const BUSY: Duration = Duration::from_secs(5);
const TEA: &str = "tea";

/// Who is told in a push of this kind.
fn told<'a>(push: &'a Value, kind: &str) -> Option<&'a str> {
    push.pointer(&format!("/{kind}/info/user"))?.as_str()
}

/// Waits until `talker` is told that `user` came or went.
async fn hears(talker: &mut Talker, kind: &str, user: &str, wait: Duration) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while let Some(left) = wait.checked_sub(begun.elapsed()) {
        let Some(push) = talker.push(left).await? else { break };
        if told(&push, kind) == Some(user) {
            return Ok(begun.elapsed());
        }
        ensure!(push.get("pub").is_none(), "a publication: {push}");
    }
    anyhow::bail!("no {kind} of {user} within {wait:?}")
}

async fn sees(talker: &mut Talker, users: &[&str]) -> anyhow::Result<()> {
    let what = format!("{users:?} to be present");
    until(&what, async || Ok((talker.present(TEA).await? == users).then_some(()))).await
}

struct Pair {
    site: Site,
    here: Server,
    there: Server,
}

impl Pair {
    /// `None`: the test is skipped, because there is no Kafka or no CQL store.
    async fn start(test: &str) -> anyhow::Result<Option<Self>> {
        let Some(site) = Site::fresh(test, 3).await? else { return Ok(None) };
        let options = [&["--role", "fanout"][..], &site.options()].concat();
        let here = Server::start_with(&options).await?;
        let key = here.data().join("token.key");
        let key = key.to_str().context("a path")?;
        let there = Server::start_with(&[&options[..], &["--token-key", key]].concat()).await?;
        Ok(Some(Self { site, here, there }))
    }

    /// A session of `user` that has subscribed.
    async fn session(&self, server: &Server, user: &str) -> anyhow::Result<Talker> {
        let mut talker = Talker::connect(&server.url(), &self.here.token(user).await?).await?;
        talker.subscribe(TEA).await?;
        Ok(talker)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_seen_over_nodes_and_leave_with_theirs() -> anyhow::Result<()> {
    let Some(mut pair) = Pair::start("presence over nodes").await? else { return Ok(()) };
    let mut founder = Talker::connect(&pair.here.url(), &pair.here.token("ann").await?).await?;
    let create = json!({"conversation": TEA, "client_event_id": "c-1"});
    founder.rpc("conversation.create", create).await?;
    drop(founder);
    let mut ann = pair.session(&pair.here, "ann").await?;
    let mut bob = pair.session(&pair.there, "bob").await?;
    hears(&mut ann, "join", "bob", SOON).await?;
    sees(&mut bob, &["ann", "bob"]).await?;
    sees(&mut ann, &["ann", "bob"]).await?;

    let typing = bob.rpc("typing.start", json!({"conversation": TEA})).await?;
    ensure!(typing == json!({}), "answered {typing}");
    let push = ann.push(SOON).await?.context("typing is not told")?;
    let data = json!({"type": "Typing", "actor": "bob", "typing": true});
    ensure!(push == json!({"channel": TEA, "pub": {"data": data}}), "told {push}");

    let carl = pair.session(&pair.there, "carl").await?;
    hears(&mut ann, "join", "carl", SOON).await?;
    drop(carl);
    let took = hears(&mut ann, "leave", "carl", SOON).await?;
    ensure!(took < LIFE / 3, "who went in order was told after {took:?}");

    pair.there.kill().await?;
    let took = hears(&mut ann, "leave", "bob", LIFE + BUSY).await?;
    eprintln!("the people of the node that was killed left after {took:.1?}");
    sees(&mut ann, &["ann"]).await?;

    // Its next life asks who is here, and says who goes when it ends in order.
    pair.there.restart().await?;
    let mut eve = pair.session(&pair.there, "eve").await?;
    hears(&mut ann, "join", "eve", SOON).await?;
    let asked = Instant::now();
    sees(&mut eve, &["ann", "eve"]).await?;
    ensure!(asked.elapsed() < LIFE / 3, "it heard of ann by a heartbeat only");
    let status = pair.there.terminate().await?;
    ensure!(status.success(), "it ended with {status}:\n{}", pair.there.log_tail());
    let took = hears(&mut ann, "leave", "eve", SOON).await?;
    ensure!(took < LIFE / 3, "a node that ended in order was missed after {took:?}");

    // None of it stands among the events.
    let records = topic::read(pair.site.kafka.clone(), pair.site.topic()).await?;
    let types: Vec<_> = records.iter().map(|record| record.event_type.as_str()).collect();
    ensure!(types == ["ConversationCreated"], "on the topic: {types:?}");
    Ok(())
}
