//! An inbox over nodes and a kill, and that of somebody in thousands of conversations.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tests::{Server, Site, Talker, wait::SOON};

const CONVERSATIONS: usize = 5_000;
/// Sessions that begin them at once.
const FOUNDERS: usize = 10;

/// What stands at a path; null if nothing does.
fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    value.pointer(path).unwrap_or(&Value::Null)
}

/// A session with an open inbox, and what is in it.
async fn open(url: &str, token: &str) -> anyhow::Result<(Talker, Value)> {
    let mut talker = Talker::connect(url, token).await?;
    talker.ask("subscribe", json!({"channel": "@inbox"})).await?;
    let inbox = talker.rpc("inbox.list", json!({})).await?;
    Ok((talker, inbox))
}

/// Waits until the session is told this.
async fn hears(talker: &mut Talker, entry: &Value) -> anyhow::Result<()> {
    let mut told = Vec::new();
    while let Some(push) = talker.push(SOON).await? {
        ensure!(at(&push, "/channel") == "@inbox", "told of something else: {push}");
        if at(&push, "/pub/data") == entry {
            return Ok(());
        }
        told.push(push);
    }
    anyhow::bail!("{entry} was not told, but {told:?}")
}

async fn say(talker: &mut Talker, conversation: &str, text: &str) -> anyhow::Result<u64> {
    let said = talker.rpc("message.post", json!({"conversation": conversation, "text": text})).await?;
    at(&said, "/offset").as_u64().context("no offset")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inbox_is_the_same_at_every_node_and_over_a_kill() -> anyhow::Result<()> {
    let Some(site) = Site::fresh("an inbox over nodes", 3).await? else { return Ok(()) };
    let here = Server::start_with(&[&["--role", "fanout,store"][..], &site.options()].concat()).await?;
    let key = here.data().join("token.key");
    let key = ["--role", "fanout", "--token-key", key.to_str().context("a path")?];
    let mut there = Server::start_with(&[&key[..], &site.options()].concat()).await?;
    let (ann, bob) = (here.token("ann").await?, here.token("bob").await?);
    let mut ann = Talker::connect(&here.url(), &ann).await?;
    let create = json!({"conversation": "tea", "visibility": "private", "members": ["bob"]});
    ann.rpc("conversation.create", create).await?;

    let (mut phone, inbox) = open(&there.url(), &bob).await?;
    ensure!(at(&inbox, "/conversations/0/unread") == 0, "at first: {inbox}");
    let (mut laptop, _) = open(&here.url(), &bob).await?;
    let first = say(&mut ann, "tea", "well, @bob?").await?;
    let entry = |offset: u64, read_up_to: u64, unread: u64, mentions: u64| json!({"conversation": "tea", "offset": offset, "read_up_to": read_up_to, "unread": unread, "mentions": mentions});
    for session in [&mut phone, &mut laptop] {
        hears(session, &entry(first, 0, 1, 1)).await?;
    }
    // Over HTTP the store says the same.
    let over_http: Value = here.api("bob").await?.ask("/v1/inbox").await?;
    ensure!(
        over_http == json!({"conversations": [entry(first, 0, 1, 1)], "more": false}),
        "HTTP: {over_http}"
    );
    laptop.rpc("read.move", json!({"conversation": "tea", "up_to": first})).await?;
    for session in [&mut phone, &mut laptop] {
        hears(session, &entry(first, first, 0, 0)).await?;
    }

    there.kill().await?;
    drop(phone);
    let mut last = 0;
    for text in ["are you", "still there", "@bob"] {
        last = say(&mut ann, "tea", text).await?;
    }
    there.restart().await?;
    let (mut phone, inbox) = open(&there.url(), &bob).await?;
    ensure!(*at(&inbox, "/conversations") == json!([entry(last, first, 3, 1)]), "after the kill: {inbox}");
    let last = say(&mut ann, "tea", "hm").await?;
    for session in [&mut phone, &mut laptop] {
        hears(session, &entry(last, first, 4, 1)).await?;
    }
    ann.rpc("member.remove", json!({"conversation": "tea", "member": "bob"})).await?;
    for session in [&mut phone, &mut laptop] {
        hears(session, &json!({"conversation": "tea", "gone": true})).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_in_thousands_of_conversations_needs_one_subscription() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let (ann, url) = (server.token("ann").await?, server.url());
    let founding = (0..FOUNDERS).map(async |founder| {
        let mut talker = Talker::connect(&url, &ann).await?;
        for number in (founder..CONVERSATIONS).step_by(FOUNDERS) {
            let create =
                json!({"conversation": format!("c{number}"), "visibility": "private", "members": ["bob"]});
            talker.rpc("conversation.create", create).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(founding).await?;

    let (mut bob, inbox) = open(&url, &server.token("bob").await?).await?;
    ensure!(at(&inbox, "/more") == true, "a page of many: {inbox}");
    let mut ann = Talker::connect(&url, &ann).await?;
    let mut spoken = BTreeSet::new();
    for number in (0..CONVERSATIONS).step_by(CONVERSATIONS / 50) {
        let name = format!("c{number}");
        say(&mut ann, &name, "hi").await?;
        spoken.insert(name);
    }
    let mut told = BTreeSet::new();
    while told.len() < spoken.len() {
        let push = bob.push(SOON).await?.with_context(|| format!("only {} were told", told.len()))?;
        let data = at(&push, "/pub/data");
        ensure!(at(data, "/unread") == 1, "{push}");
        told.insert(at(data, "/conversation").as_str().context("no name")?.to_owned());
    }
    ensure!(told == spoken, "told of others");
    let unread = bob.rpc("inbox.list", json!({"unread": true, "limit": 1_000})).await?;
    let names = at(&unread, "/conversations").as_array().into_iter().flatten();
    let names = names.filter_map(|entry| at(entry, "/conversation").as_str().map(ToOwned::to_owned));
    let listed: BTreeSet<_> = names.collect();
    ensure!(listed == spoken, "listed: {unread}");
    Ok(())
}
