//! Bugs of delivery, through a session that moves while people post.

use anyhow::ensure;
use tests::{
    Api, Observer, Server,
    checker::{Evidence, Verdict},
    sent::{Act, Sent},
    wait::until,
};

use crate::proxy::{Bug, Proxy};

const CONVERSATION: &str = "tea";
/// Messages after the bug has struck.
const AFTER: usize = 10;
/// Messages between two moves of the session.
const PER_MOVE: u64 = 5;

/// A conversation, seen through a proxy with this bug.
async fn seen_through(bug: Option<Bug>) -> anyhow::Result<Verdict> {
    let server = Server::start().await?;
    let api = server.api("ann").await?;
    let mut record = Vec::new();
    send(&api, &mut record, Act::Create { private: false }).await?;
    let proxy = Proxy::start(server.url(), bug).await?;
    let session = Observer::roaming(&[proxy.url()], api.token(), CONVERSATION);
    session.subscribed(1).await?;
    until("the bug to strike", async || {
        let number = record.len() as u64;
        send(&api, &mut record, Act::Post { text: format!("number {number}") }).await?;
        if number.is_multiple_of(PER_MOVE) {
            session.move_on();
        }
        // Without a bug: as long as a bug would have needed at most.
        Ok((proxy.struck() || (bug.is_none() && number > 20 * PER_MOVE)).then_some(()))
    })
    .await?;
    for number in 0..AFTER {
        send(&api, &mut record, Act::Post { text: format!("after {number}") }).await?;
    }
    let events = api.events(CONVERSATION).await?;
    let last = events.last().map_or(0, |event| event.offset);
    let seen = session.reached(last).await?;
    ensure!(bug.is_none() || proxy.struck(), "the bug did not strike");
    let mut verdict = Verdict::default();
    verdict.judge(&Evidence {
        conversation: CONVERSATION,
        sent: &record,
        events: &events,
        messages: &api.messages(CONVERSATION).await?,
        members: &api.members(CONVERSATION).await?,
        sessions: &[("through the proxy".to_owned(), seen.events)],
        topic: None,
    });
    Ok(verdict)
}

async fn send(api: &Api, record: &mut Vec<Sent>, act: Act) -> anyhow::Result<()> {
    let number = record.len() as u64;
    let mut sent = Sent::new(CONVERSATION, "ann", number, format!("ann.{number}"), act);
    sent.answers.push(api.send(&sent).await);
    record.push(sent);
    Ok(())
}

fn assert_found(verdict: &Verdict, starts: &str) {
    let findings = verdict.findings();
    assert!(findings.iter().any(|finding| finding.starts_with(starts)), "not found: {starts}: {findings:?}");
}

#[tokio::test]
async fn a_proxy_without_a_bug_is_not_found() -> anyhow::Result<()> {
    let verdict = seen_through(None).await?;
    assert!(verdict.is_clean(), "{:?}", verdict.findings());
    Ok(())
}

#[tokio::test]
async fn a_skip_at_resume_is_found() -> anyhow::Result<()> {
    assert_found(&seen_through(Some(Bug::SkipAtResume)).await?, "the session through the proxy never saw");
    Ok(())
}

#[tokio::test]
async fn a_double_at_resume_is_found() -> anyhow::Result<()> {
    assert_found(&seen_through(Some(Bug::DoubleAtResume)).await?, "the session through the proxy saw");
    Ok(())
}

#[tokio::test]
async fn a_live_event_that_is_left_out_is_found() -> anyhow::Result<()> {
    assert_found(&seen_through(Some(Bug::SkipLive)).await?, "the session through the proxy never saw");
    Ok(())
}

#[tokio::test]
async fn a_double_delivery_is_found() -> anyhow::Result<()> {
    assert_found(&seen_through(Some(Bug::DoubleLive)).await?, "the session through the proxy saw");
    Ok(())
}

#[tokio::test]
async fn two_events_the_wrong_way_round_are_found() -> anyhow::Result<()> {
    assert_found(&seen_through(Some(Bug::SwapLive)).await?, "in the session through the proxy:");
    Ok(())
}
