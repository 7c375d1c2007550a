//! What it costs to read an inbox from the embedded history: somebody in 5,000 conversations, with nothing unread, one message, and a hundred and more in
//! each. Beside it a floor: the plain list of the same conversations.
//!
//! `cargo run --release -p store --example inbox_rate`

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement, which ends at what is unexpected and prints what it found"
)]

use std::time::Instant;

use kernel::{
    History,
    history::{
        conformance::{Scribe, body},
        sqlite::SqliteHistory,
    },
    inbox::{self, Ask},
};
use schemas::{Position, UserId, Visibility, caps::PAGE_LEN_MAX};

const CONVERSATIONS: u64 = 5_000;
const ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    let user: UserId = "bob".parse().unwrap();
    println!("{:>8} {:>12} {:>12} {:>18}", "unread", "list", "inbox", "an entry beyond");
    for unread in [0, 1, 150] {
        let folder = tempfile::tempdir().unwrap();
        let history = SqliteHistory::open(folder.path().join("history.sqlite")).unwrap();
        fill(&history, unread).await;
        let (mut plain, mut whole) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            let mut after = None;
            loop {
                let page = history.conversations_of(&user, after.as_ref(), PAGE_LEN_MAX).await.unwrap();
                let Some(last) = page.last() else { break };
                after = Some(last.conversation.clone());
            }
            plain.push(begun.elapsed());
            let begun = Instant::now();
            let (mut after, mut found) = (None, 0);
            loop {
                let ask = Ask { after: after.as_ref(), limit: PAGE_LEN_MAX, unread: false };
                let page = inbox::page(&history, &user, ask).await.unwrap();
                found += page.conversations.iter().filter(|entry| entry.tally.unread > 0).count() as u64;
                after = page.conversations.last().map(|last| last.conversation.clone());
                if !page.more {
                    break;
                }
            }
            whole.push(begun.elapsed());
            let expected = if unread > 0 { CONVERSATIONS } else { 0 };
            assert_eq!(found, expected, "have something unread");
        }
        plain.sort_unstable();
        whole.sort_unstable();
        let (list, whole) = (plain[ROUNDS / 2], whole[ROUNDS / 2]);
        let each = whole.saturating_sub(list) / u32::try_from(CONVERSATIONS).unwrap();
        println!("{unread:>8} {list:>12.1?} {whole:>12.1?} {each:>18.1?}");
    }
}

/// In each conversation ann says so much that bob has not read.
async fn fill(history: &SqliteHistory, unread: u64) {
    for number in 0..CONVERSATIONS {
        let name = format!("conversation-{number}");
        let mut scribe = Scribe::default();
        let from = number * 1_000;
        scribe.next = schemas::Offset::new(from);
        scribe.act(&name, "ann", "c", body::created(Visibility::Private, &["bob"])).unwrap();
        for message in 0..unread {
            scribe.act(&name, "ann", &format!("m{message}"), body::posted(&"word ".repeat(20))).unwrap();
        }
        if unread == 0 {
            scribe.act(&name, "bob", "k", body::read(Position::new(from + 1).get())).unwrap();
        }
        history.apply(scribe.batch(from, scribe.next.get())).await.unwrap();
    }
}
