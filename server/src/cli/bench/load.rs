//! A steady load, whatever the server does.
//!
//! ```text
//!   a thread that keeps time --permits--> connections: take the next message, post it, note how late it was accepted
//! ```
//!
//! Invariant: a latency counts from when its message was due ([`Schedule`]), so a server that falls behind is charged for those that
//! had to wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use kernel::random;
use schemas::ConversationId;
use serde::de::IgnoredAny;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    client::{CallError, Client},
    measure::Schedule,
};

/// How long after the last message was due the rest may still be sent.
const GRACE: Duration = Duration::from_secs(5);

/// What is posted, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Between two messages.
    pub(super) interval: Duration,
    /// How many messages.
    pub(super) total: u64,
    /// How many at a time.
    pub(super) connections: usize,
    /// Bytes of a text.
    pub(super) message_len: usize,
}

/// What became of the messages.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Of those that were accepted.
    pub(super) latencies: Vec<Duration>,
    pub(super) errors: u64,
    pub(super) unsent: u64,
    pub(super) first_error: Option<String>,
    /// From the first message to the last answer.
    pub(super) took: Duration,
}

/// What the connections share.
struct Run {
    load: Load,
    conversation: ConversationId,
    schedule: Schedule,
    /// One for each message that is due.
    due: Semaphore,
    next: AtomicU64,
    over: AtomicBool,
}

impl Load {
    /// Posts the messages to a fresh conversation of the server.
    ///
    /// # Errors
    /// The conversation cannot be made. Messages that fail are counted, not an error.
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Outcome> {
        let conversation: ConversationId = format!("bench-{}", random::name(12)).parse()?;
        let body = serde_json::json!({"conversation": conversation.as_str()}).to_string();
        let _: IgnoredAny = client.post(&["v1", "conversations"], JSON, body.into()).await?;
        let clients = (0..self.connections).map(|_| client.another()).collect::<Result<Vec<_>, _>>()?;
        for client in &clients {
            // The connection is made before time begins.
            let _: IgnoredAny = client.get(&["livez"], &[]).await?;
        }
        let run = Arc::new(Run {
            load: self,
            conversation,
            schedule: Schedule { start: Instant::now(), interval: self.interval },
            due: Semaphore::new(0),
            next: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let time_keeper = {
            let run = Arc::clone(&run);
            thread::Builder::new()
                .name("bench-time".to_owned())
                .spawn(move || run.keep_time())
                .context("cannot start a thread")?
        };
        let mut connections = JoinSet::new();
        for client in clients {
            let run = Arc::clone(&run);
            connections.spawn(async move { run.connection(&client).await });
        }
        let mut whole = Outcome::default();
        while let Some(done) = connections.join_next().await {
            whole.merge(done.context("a connection of the load broke")?);
        }
        whole.took = run.schedule.start.elapsed();
        run.over.store(true, Ordering::Relaxed);
        time_keeper.thread().unpark();
        let answered = u64::try_from(whole.latencies.len()).unwrap_or(u64::MAX) + whole.errors;
        whole.unsent = self.total.saturating_sub(answered);
        Ok(whole)
    }

    /// A text of the length asked for, unlike the others.
    fn text(&self, number: u64) -> String {
        let mut text = format!("message {number} ");
        text.extend(std::iter::repeat_n('x', self.message_len.saturating_sub(text.len())));
        text.truncate(self.message_len);
        text
    }
}

const JSON: &str = "application/json";

impl Run {
    /// Gives out a permit whenever a message is due, and in the end one for each connection to stop with.
    fn keep_time(&self) {
        for number in 0..self.load.total {
            self.schedule.wait(number, || self.over.load(Ordering::Relaxed));
            self.due.add_permits(1);
        }
        self.due.add_permits(self.load.connections);
    }

    /// When no more messages are begun.
    fn end(&self) -> Instant {
        self.schedule.due_at(self.load.total) + GRACE
    }

    /// Posts what is due until all is posted or time is over.
    async fn connection(&self, client: &Client) -> Outcome {
        let mut outcome = Outcome::default();
        // Nobody closes the semaphore.
        while let Ok(permit) = self.due.acquire().await {
            permit.forget();
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.total || Instant::now() > self.end() {
                break;
            }
            let answer = self.post(client, number).await;
            let latency = self.schedule.lateness(number);
            match answer {
                Ok(_) => outcome.latencies.push(latency),
                Err(error) => {
                    outcome.errors += 1;
                    outcome.first_error.get_or_insert_with(|| error.to_string());
                }
            }
        }
        outcome
    }

    async fn post(&self, client: &Client, number: u64) -> Result<IgnoredAny, CallError> {
        let body =
            serde_json::json!({"client_message_id": format!("b-{number}"), "text": self.load.text(number)});
        let path = ["v1", "conversations", self.conversation.as_str(), "messages"];
        client.post(&path, JSON, Bytes::from(body.to_string())).await
    }
}

impl Outcome {
    fn merge(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOAD: Load =
        Load { interval: Duration::from_micros(250), total: 8, connections: 2, message_len: 200 };

    #[test]
    fn messages_have_their_length_and_differ() {
        assert_eq!(LOAD.text(7).len(), 200);
        assert_ne!(LOAD.text(7), LOAD.text(8));
    }
}
