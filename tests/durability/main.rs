//! The server is killed again and again while people post; what was accepted must be there, once, in order.
//!
//! `workload` makes the trouble and keeps a record of every attempt; [`tests::checker`] knows nothing of it and judges the
//! record against what the server says afterwards.

mod workload;

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tests::{
    Observer, Server,
    checker::{Evidence, Verdict},
    sent::{Act, Sent},
};
use workload::Workload;

const ROUNDS_DEFAULT: usize = 10;
const CONVERSATIONS: [&str; 3] = ["tea", "coffee", "cocoa"];
const POSTERS: usize = 4;
/// How long a server lives under load before it is killed, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 50..400;

/// A number from the environment, or `default`.
fn setting<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T> {
    match std::env::var(name) {
        Ok(text) => text.parse().map_err(|_| anyhow::anyhow!("{name} is no number: {text}")),
        Err(_) => Ok(default),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_outlives_every_kill() -> anyhow::Result<()> {
    let rounds: usize = setting("TIDINGS_KILL_ROUNDS", ROUNDS_DEFAULT)?;
    let seed: u64 = setting("TIDINGS_SEED", u64::from(std::process::id()))?;
    let mut chance = SmallRng::seed_from_u64(seed);
    // Not by the macro, whose output the test runner keeps to itself.
    writeln!(io::stderr(), "kill -9: seed {seed} (set TIDINGS_SEED to repeat), {rounds} rounds")?;
    let mut server = Server::start().await?;
    let api = server.api("ann").await?;
    let mut created = Vec::new();
    for (conversation, number) in CONVERSATIONS.iter().zip(0..) {
        let id = format!("create-{conversation}");
        let mut sent = Sent::new(conversation, "ann", number, id, Act::Create { private: false });
        sent.answers.push(api.send(&sent).await);
        created.push(sent);
    }
    let observers =
        CONVERSATIONS.map(|conversation| Observer::start(&server.url(), api.token(), conversation));
    for observer in &observers {
        observer.subscribed(1).await?;
    }
    let workload = Workload::start(&server, &CONVERSATIONS, POSTERS, seed).await?;
    for _ in 0..rounds {
        workload.run_for(Duration::from_millis(chance.random_range(LIFE_MS))).await?;
        let subscribed = observers.each_ref().map(|observer| observer.seen().subscribed);
        server.kill().await?;
        server.restart().await?;
        // In half of the lives sessions are back before the next kill; in the others they may be struck while they
        // come back.
        if chance.random_bool(0.5) {
            for (observer, before) in observers.iter().zip(subscribed) {
                observer.subscribed(before + 1).await?;
            }
        }
    }
    let begun = Instant::now();
    let mut record = workload.finish().await?;
    record.extend(created);
    let mut verdict = Verdict::default();
    for (conversation, observer) in CONVERSATIONS.iter().zip(observers) {
        let events = api.events(conversation).await?;
        let last = events.last().map_or(0, |event| event.offset);
        let session = observer.reached(last).await?;
        verdict.judge(&Evidence {
            conversation,
            sent: &record,
            events: &events,
            messages: &api.messages(conversation).await?,
            members: &api.members(conversation).await?,
            sessions: &[("of ann".to_owned(), session.events)],
            topic: None,
        });
    }
    let again: usize = record.iter().map(|sent| sent.answers.len() - 1).sum();
    let (sent, took) = (record.len(), begun.elapsed());
    writeln!(
        io::stderr(),
        "rounds {rounds} {verdict} ({sent} messages, {again} sent again, judged in {took:.1?})"
    )?;
    anyhow::ensure!(again > 0, "no kill struck a message on its way: nothing was tested");
    anyhow::ensure!(verdict.is_clean(), "seed {seed}: {verdict}\n{}", verdict.findings().join("\n"));
    Ok(())
}
