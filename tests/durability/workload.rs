//! People who post without pause, and who send every message whose fate is unknown again, with the same id, until they
//! know it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tests::{Api, Server, api::Answer, wait::SOON};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Pause before an unknown message is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// A message that was accepted, as its sender knows it.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    /// Where to.
    pub(crate) conversation: String,
    /// By whom.
    pub(crate) author: String,
    /// The number of the message among those of this author, from 0.
    pub(crate) number: u64,
    /// Its id.
    pub(crate) id: String,
    /// Its text.
    pub(crate) text: String,
    /// The position that was answered.
    pub(crate) offset: u64,
    /// How often it was sent.
    pub(crate) tries: u32,
}

/// Posters at work.
pub(crate) struct Workload {
    stop: watch::Sender<bool>,
    posters: Vec<JoinHandle<anyhow::Result<Vec<Sent>>>>,
}

struct Poster {
    api: Api,
    name: String,
    conversations: Arc<[String]>,
    rng: SmallRng,
    stop: watch::Receiver<bool>,
}

impl Workload {
    /// Lets `posters` people post to the conversations, each to one at random, one message after the other.
    pub(crate) async fn start(
        server: &Server,
        conversations: &[&str],
        posters: usize,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let conversations: Arc<[String]> = conversations.iter().map(|&name| name.to_owned()).collect();
        let mut tasks = Vec::new();
        for number in 0..posters {
            let name = format!("poster-{number}");
            let poster = Poster {
                api: server.api(&name).await?,
                name,
                conversations: Arc::clone(&conversations),
                rng: SmallRng::seed_from_u64(seed.wrapping_add(number as u64)),
                stop: stopped.clone(),
            };
            tasks.push(tokio::spawn(poster.run()));
        }
        Ok(Self { stop, posters: tasks })
    }

    /// Lets it run for so long. An error says that a poster met something that must not happen.
    pub(crate) async fn run_for(&self, life: Duration) -> anyhow::Result<()> {
        // Not a wait for a condition: the moment of the kill is what is drawn.
        sleep(life).await;
        if self.posters.iter().any(JoinHandle::is_finished) {
            bail!("a poster ended early; finishing tells why");
        }
        Ok(())
    }

    /// Lets every poster bring its message at hand to an end, and gives all that were accepted.
    pub(crate) async fn finish(self) -> anyhow::Result<Vec<Sent>> {
        self.stop.send_replace(true);
        let mut all = Vec::new();
        for poster in self.posters {
            all.extend(poster.await??);
        }
        Ok(all)
    }
}

impl Poster {
    async fn run(mut self) -> anyhow::Result<Vec<Sent>> {
        let mut sent = Vec::new();
        for number in 0.. {
            if *self.stop.borrow() {
                break;
            }
            let turn = self.rng.random_range(0..self.conversations.len());
            let conversation = self.conversations.get(turn).context("a conversation")?.clone();
            sent.push(self.send(conversation, number).await?);
        }
        Ok(sent)
    }

    /// Sends one message until it is known to be accepted.
    async fn send(&mut self, conversation: String, number: u64) -> anyhow::Result<Sent> {
        let author = self.name.clone();
        let id = format!("{author}.{number}");
        let text = format!("{number} of {author}: {}", "é".repeat(self.rng.random_range(1..400)));
        let deadline = Instant::now() + SOON;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.api.post(&conversation, &id, &text).await {
                Answer::Accepted(accepted) => {
                    let offset = accepted.offset;
                    return Ok(Sent { conversation, author, number, id, text, offset, tries });
                }
                Answer::Unknown(_) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
                Answer::Unknown(why) => bail!("{id} had no answer for {} s: {why}", SOON.as_secs()),
                Answer::Refused(status, code) => {
                    bail!("{id} was refused after {tries} tries: {status} {code}")
                }
            }
        }
    }
}
