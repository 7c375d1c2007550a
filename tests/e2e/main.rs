//! The parts together, in the real process: what one way in was told, every way out must say.

mod apart;
mod archives;
mod inbox;
mod moved;
mod present;
mod seen;
mod stopped;
mod streams;
mod traces;

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Api, Observer, Server, api::EventLine, binary};

/// A conversation in which everything happens that can happen to a message. Answers the last position.
async fn a_lively_conversation(server: &Server, name: &str) -> anyhow::Result<u64> {
    let (ann, bob) = (server.api("ann").await?, server.api("bob").await?);
    ann.create(name).await?;
    let at = |path: &str| format!("/v1/conversations/{name}{path}");
    for number in 0..20 {
        let text = format!("number {number}: é \u{2028} 🍵 <b>\n\ttail");
        ann.post(name, &format!("a-{number}"), &text).await.accepted()?;
        bob.post(name, &format!("b-{number}"), "yes").await.accepted()?;
    }
    let commands = [
        (&bob, Method::POST, at("/join"), json!({})),
        (&ann, Method::PATCH, at("/messages/a-1"), json!({"text": "edited"})),
        (&ann, Method::DELETE, at("/messages/a-2"), json!({})),
        (&ann, Method::DELETE, at("/messages/b-3"), json!({})),
        (&bob, Method::PUT, at("/messages/a-4/reactions/🍵"), json!({})),
        (&ann, Method::PUT, at("/messages/a-4/reactions/🍵"), json!({})),
        (&ann, Method::DELETE, at("/messages/a-4/reactions/🍵"), json!({})),
        (&bob, Method::PUT, at("/read_marker"), json!({"up_to": 7})),
        (&ann, Method::PATCH, at(""), json!({"title": "Tea & cake"})),
        (&bob, Method::POST, at("/leave"), json!({"parting_words": "bye"})),
    ];
    let mut last = 0;
    for (who, method, path, body) in commands {
        let answer = who.command(method, &path, &body).await;
        last = answer.accepted().with_context(|| path.clone())?.offset;
    }
    Ok(last)
}

/// Everything that HTTP says of a conversation.
async fn everything(api: &Api, name: &str) -> anyhow::Result<(Vec<EventLine>, Vec<Value>, Value)> {
    let about = api.ask(&format!("/v1/conversations/{name}")).await?;
    Ok((api.events(name).await?, api.messages(name).await?, about))
}

#[tokio::test]
async fn a_session_is_sent_what_http_says_and_a_later_one_too() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let ann = server.api("ann").await?;
    ann.create("tea").await?;
    let early = Observer::start(&server.url(), ann.token(), "tea");
    early.subscribed(1).await?;
    for number in 0..50 {
        ann.post("tea", &format!("m-{number}"), &format!("number {number}")).await.accepted()?;
    }
    let log = ann.events("tea").await?;
    let last = log.last().context("an event")?.offset;
    ensure!(early.reached(last).await?.events == log, "the session that was there saw something else");
    let late = Observer::start(&server.url(), ann.token(), "tea");
    ensure!(late.reached(last).await?.events == log, "the session that came later saw something else");
    let other = Observer::start(&server.url(), &server.token("bob").await?, "tea");
    ensure!(other.reached(last).await?.events == log, "another person saw something else");
    Ok(())
}

#[tokio::test]
async fn a_history_that_is_built_anew_is_the_same() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let last = a_lively_conversation(&server, "tea").await?;
    let ann = server.api("ann").await?;
    let before = everything(&ann, "tea").await?;
    ensure!(before.0.last().is_some_and(|event| event.offset == last), "the last event is missing");
    ensure!(server.terminate().await?.success(), "the server did not end well");
    let removed = remove_history(&server.data())?;
    ensure!(removed > 0, "there was no history to remove");
    server.restart().await?;
    let after = everything(&ann, "tea").await?;
    ensure!(before == after, "the history is another one:\n{before:#?}\n{after:#?}");
    Ok(())
}

/// Removes the history from a data folder, and leaves the log.
fn remove_history(data: &Path) -> anyhow::Result<usize> {
    let mut removed = 0;
    for entry in fs::read_dir(data)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("history") {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[tokio::test]
async fn a_server_that_is_told_to_end_sends_its_sessions_to_come_back() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let ann = server.api("ann").await?;
    ann.create("tea").await?;
    let session = Observer::start(&server.url(), ann.token(), "tea");
    session.subscribed(1).await?;
    let status = server.terminate().await?;
    ensure!(status.success(), "it ended with {status}:\n{}", server.log_tail());
    let closed = session.until("the close", |seen| seen.closed.is_some()).await?.closed;
    ensure!(closed.as_ref().is_some_and(|(code, _)| *code == 3_001), "closed with {closed:?}");
    server.restart().await?;
    session.subscribed(2).await?;
    let posted = ann.post("tea", "m-1", "still here").await.accepted()?;
    let seen = session.reached(posted.offset).await?.events;
    ensure!(seen == ann.events("tea").await?, "the session saw something else");
    Ok(())
}

#[tokio::test]
async fn a_command_sent_again_after_a_kill_has_its_old_place() -> anyhow::Result<()> {
    let mut server = Server::start().await?;
    let ann = server.api("ann").await?;
    let created = ann.create("tea").await?;
    let first = ann.post("tea", "m-1", "once").await.accepted()?;
    ensure!(!first.duplicate, "nothing was sent before");
    for _ in 0..2 {
        server.kill().await?;
        server.restart().await?;
        let again = ann.post("tea", "m-1", "once").await.accepted()?;
        ensure!(
            again.duplicate && again.offset == first.offset && again.epoch == first.epoch,
            "{first:?} {again:?}"
        );
        let again = ann.create("tea").await?;
        ensure!(again.duplicate && again.offset == created.offset, "{created:?} {again:?}");
    }
    ensure!(ann.events("tea").await?.len() == 2, "something was done twice");
    Ok(())
}

#[tokio::test]
async fn a_folder_has_one_server_at_a_time() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let data = server.data();
    let data = data.to_string_lossy();
    let second = binary::output(&["serve", "--listen", "127.0.0.1:0", "--data", &data]).await?;
    ensure!(!second.status.success(), "a second server runs on the same folder");
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(said.contains(&server.url()), "it does not say where the first one is: {said}");
    server.api("ann").await?.create("tea").await?;
    Ok(())
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_of_this_server() -> anyhow::Result<()> {
    let (server, other) = (Server::start().await?, Server::start().await?);
    let refused =
        async |token: String| Api::new(server.url(), token)?.post("tea", "m-1", "hi").await.refusal();
    ensure!(refused(String::new()).await? == (401, "unauthorized".to_owned()));
    ensure!(refused(other.token("ann").await?).await? == (401, "unauthorized".to_owned()));
    ensure!(refused(server.expired_token("ann")?).await? == (401, "token_expired".to_owned()));
    ensure!(refused(server.token("ann").await?).await? == (404, "unknown_conversation".to_owned()));
    Ok(())
}
