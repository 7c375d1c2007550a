//! People who post without pause, and who send every message whose fate is unknown again, with the same id, until they
//! know it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tests::{
    Api, Server,
    api::Answer,
    sent::{Act, Sent},
    wait::SOON,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

/// Pause before an unknown message is sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

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
            sent.push(self.send(&conversation, number).await?);
        }
        Ok(sent)
    }

    /// Sends one message until it is known to be accepted.
    async fn send(&mut self, conversation: &str, number: u64) -> anyhow::Result<Sent> {
        let author = &self.name;
        let id = format!("{author}.{number}");
        let text = format!("{number} of {author}: {}", "é".repeat(self.rng.random_range(1..400)));
        let mut sent = Sent::new(conversation, author, number, id, Act::Post { text });
        let deadline = Instant::now() + SOON;
        loop {
            let answer = self.api.send(&sent).await;
            sent.answers.push(answer.clone());
            let tries = sent.answers.len();
            match answer {
                Answer::Accepted(_) => return Ok(sent),
                Answer::Unknown(_) if Instant::now() < deadline => sleep(RETRY_PAUSE).await,
                Answer::Unknown(why) => bail!("{} had no answer for {} s: {why}", sent.id, SOON.as_secs()),
                Answer::Refused(status, code) => {
                    bail!("{} was refused after {tries} tries: {status} {code}", sent.id)
                }
            }
        }
    }
}
