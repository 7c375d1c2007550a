//! Two nodes with sessions, on real servers: what a session gets does not depend on where it is, or on how it came there.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::json;
use tests::{Api, Observer, Server, Site, api::EventLine};

/// Sessions that begin at the node which is killed.
const SESSIONS: usize = 8;
/// Messages before it is killed, while it is away, and after it has come back.
const MESSAGES: usize = 60;

/// One node that takes commands and answers questions, and two that deliver.
struct Nodes {
    office: Server,
    delivering: [Server; 2],
}

impl Nodes {
    /// `None`: the test is skipped, because there is no Kafka or no CQL store.
    async fn start(test: &str) -> anyhow::Result<Option<Self>> {
        let Some(site) = Site::fresh(test, 2).await? else { return Ok(None) };
        let shared = site.options();
        let roles = ["--role", "ingest", "--role", "store"];
        let office = Server::start_with(&[&roles[..], &shared].concat()).await?;
        let key = office.data().join("token.key");
        let options = ["--role", "fanout", "--token-key", key.to_str().context("a path")?];
        let options = [&options[..], &shared].concat();
        let delivering = [Server::start_with(&options).await?, Server::start_with(&options).await?];
        Ok(Some(Self { office, delivering }))
    }

    fn urls(&self) -> [String; 2] {
        [self.delivering[0].url(), self.delivering[1].url()]
    }
}

/// Posts so many messages; gives the last position.
async fn post(api: &Api, conversation: &str, part: &str) -> anyhow::Result<u64> {
    let mut last = 0;
    for number in 0..MESSAGES {
        let text = format!("{part} {number}");
        last = api.post(conversation, &format!("{part}-{number}"), &text).await.accepted()?.offset;
    }
    Ok(last)
}

fn lines(events: &[EventLine]) -> Vec<&str> {
    events.iter().map(|event| event.json.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_whose_node_is_killed_miss_nothing_and_see_nothing_twice() -> anyhow::Result<()> {
    let Some(mut nodes) = Nodes::start("sessions that move").await? else { return Ok(()) };
    let ann = nodes.office.api("ann").await?;
    ann.create("tea").await?;
    let urls = nodes.urls();
    let sessions: Vec<_> = (0..SESSIONS).map(|_| Observer::roaming(&urls, ann.token(), "tea")).collect();
    for session in &sessions {
        session.subscribed(1).await?;
    }
    let seen = post(&ann, "tea", "before").await?;
    sessions[0].reached(seen).await?;
    // The others may be anywhere in between when it happens.
    nodes.delivering[0].kill().await?;
    post(&ann, "tea", "meanwhile").await?;
    for session in &sessions {
        session.subscribed(2).await?;
    }
    // And back again, by a way that the node knows nothing of.
    nodes.delivering[0].restart().await?;
    sessions.iter().for_each(Observer::move_on);
    let last = post(&ann, "tea", "after").await?;
    let log = ann.events("tea").await?;
    ensure!(log.len() == 1 + 3 * MESSAGES, "{} events", log.len());
    for session in &sessions {
        let seen = session.reached(last).await?;
        ensure!(seen.subscribed >= 3, "it was subscribed {} times", seen.subscribed);
        ensure!(lines(&seen.events) == lines(&log), "a session saw something else than the log holds");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_gets_nothing_more_on_either_node() -> anyhow::Result<()> {
    let Some(nodes) = Nodes::start("somebody removed on two nodes").await? else { return Ok(()) };
    let (ann, bob) = (nodes.office.api("ann").await?, nodes.office.api("bob").await?);
    let create = json!({"conversation": "den", "visibility": "private", "members": ["bob"]});
    ann.command(Method::POST, "/v1/conversations", &create).await.accepted()?;
    let at = |api: &Api| nodes.urls().map(|url| Observer::start(&url, api.token(), "den"));
    let (anns, bobs) = (at(&ann), at(&bob));
    for session in anns.iter().chain(&bobs) {
        session.subscribed(1).await?;
    }
    post(&ann, "den", "before").await?;
    let remove = ann.command(Method::DELETE, "/v1/conversations/den/members/bob", &json!({})).await;
    let removed_at = remove.accepted()?.offset;
    let last = post(&ann, "den", "after").await?;
    for session in &anns {
        session.reached(last).await?;
    }
    for session in &bobs {
        // It gives up when it is told that it may not read any more.
        let gave_up = tests::wait::until("the end of the subscription", async || Ok(session.seen().trouble));
        let trouble = gave_up.await?;
        ensure!(trouble.contains("2000"), "it gave up for another reason: {trouble}");
        let seen = session.seen();
        let newest = seen.events.last().map(|event| event.offset);
        ensure!(newest == Some(removed_at), "the removal is at {removed_at}, and it saw {newest:?}");
        ensure!(seen.events.len() == MESSAGES + 2, "it saw {} events", seen.events.len());
    }
    // Nor does he who comes anew, from any position.
    for url in nodes.urls() {
        let again = Observer::start(&url, bob.token(), "den");
        let gave_up =
            tests::wait::within(Duration::from_mins(1), "a refusal", async || Ok(again.seen().trouble));
        let trouble = gave_up.await?;
        ensure!(trouble.contains("103") && again.seen().events.is_empty(), "{trouble}");
    }
    Ok(())
}
