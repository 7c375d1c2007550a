//! A piece of work for a server that delivers, and what it takes.

use std::{net::SocketAddr, thread, time::Duration};

use anyhow::Context;
use serde::Serialize;
use tokio::{runtime::Builder, sync::oneshot};

use super::{Cores, Dialect, Drive, Latencies, Pace};
use crate::cpu;

/// How many conversations and sessions, and when messages come.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Conversations, each with as many sessions.
    pub conversations: u32,
    /// Sessions over all conversations.
    pub sessions: u32,
    /// When the next message comes.
    pub pace: Pace,
}

/// Where the work is done.
#[derive(Debug)]
pub struct Place<'a> {
    /// How one speaks to the server.
    pub dialect: &'a dyn Dialect,
    /// Where it listens.
    pub address: SocketAddr,
    /// Whose processor time counts.
    pub clock: cpu::Clock,
    /// Names that nobody uses yet, at least as many as there are conversations in the work; the conversations are
    /// there, where the server wants that.
    pub conversations: &'a [String],
    /// The load has a processor to itself, and need never sleep.
    pub alone: bool,
}

/// What it took.
#[derive(Debug, Clone, Serialize)]
pub struct Taken {
    /// Messages that came to sessions.
    pub deliveries: u64,
    /// In a second.
    pub per_s: f64,
    /// Processor time of the server for each, in microseconds.
    pub cpu_us: f64,
    /// The same of the load.
    pub load_us: Option<f64>,
    /// Bytes of each, with the head of the frame.
    pub bytes: f64,
    /// From when a message was due until it was at a session, in milliseconds; `null` where none are due.
    pub latency: Option<Percentiles>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Percentiles {
    /// Half of all are at most so late.
    pub p50_ms: f64,
    /// All but one in a hundred are.
    pub p99_ms: f64,
    /// All are.
    pub max_ms: f64,
}

/// What is done before anything counts, at most.
const WARM_UP: Duration = Duration::from_secs(1);
/// Some servers say that somebody is in a moment before they deliver to them.
const SETTLE: Duration = Duration::from_millis(100);

impl Work {
    /// In which every frame carries one message.
    pub const ONE_FRAME: Self = Self { conversations: 1, sessions: 10, pace: Pace::InFlight(1) };

    /// Does it for a while without counting, and then for `time`. To be called on the thread that is the load.
    ///
    /// # Errors
    /// The server fails, or the system does not tell its processor time.
    pub fn measure(&self, place: &Place<'_>, time: Duration) -> anyhow::Result<Taken> {
        Ok(self.measure_and(place, time, || ())?.0)
    }

    /// The same; `look` is asked when all sessions are in and nothing was published yet.
    ///
    /// # Errors
    /// As [`Self::measure`].
    pub fn measure_and<R>(
        &self,
        place: &Place<'_>,
        time: Duration,
        look: impl FnOnce() -> R,
    ) -> anyhow::Result<(Taken, R)> {
        let conversations = place.conversations.get(..usize::try_from(self.conversations)?);
        let conversations = conversations.context("fewer names than conversations")?;
        let mut drive = Drive::new(place.dialect, place.address, conversations)?.alone(place.alone);
        drive.join(u64::from(self.sessions), |_| {})?;
        drive.bring_publishers(self.publishers())?;
        drive.stay(SETTLE)?;
        let looked = look();
        drive.run(self.pace, WARM_UP.min(time))?;
        let load = cpu::Clock::of_this_thread();
        let before = (place.clock.now(), load.now());
        let ran = drive.run(self.pace, time)?;
        let server = cpu::between(before.0, place.clock.now());
        let load = cpu::between(before.1, load.now());
        let server = server.context("the system does not tell what processor time the server uses")?;
        #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
        let deliveries = ran.deliveries as f64;
        let each = |time: Duration| time.as_secs_f64() * 1e6 / deliveries;
        #[expect(clippy::cast_precision_loss, reason = "a count of bytes")]
        let bytes = ran.bytes as f64 / deliveries;
        let taken = Taken {
            deliveries: ran.deliveries,
            per_s: deliveries / ran.took.as_secs_f64(),
            cpu_us: each(server),
            load_us: load.map(each),
            bytes,
            latency: (!ran.latencies.is_empty()).then(|| (&Latencies::new(ran.latencies)).into()),
        };
        Ok((taken, looked))
    }

    /// What it is, for people.
    pub fn title(&self) -> String {
        let (conversations, each) = (self.conversations, self.sessions / self.conversations);
        match self.pace {
            Pace::InFlight(all) => format!("{conversations} x {each}, {all} in flight"),
            Pace::PerSecond(rate) => format!("{conversations} x {each}, {rate} a second"),
        }
    }

    /// Connections that it needs.
    pub fn connections(&self) -> u32 {
        self.sessions + self.conversations * self.publishers()
    }

    /// How many publish to each conversation: one for each message on its way, since a server may do what comes over one
    /// connection one after the other; and one alone where messages are due, so that their order is known.
    fn publishers(&self) -> u32 {
        match self.pace {
            Pace::InFlight(all) => (all / self.conversations).max(1),
            Pace::PerSecond(_) => 1,
        }
    }
}

impl From<&Latencies> for Percentiles {
    fn from(latencies: &Latencies) -> Self {
        let ms = |share| latencies.at(share).as_secs_f64() * 1e3;
        Self { p50_ms: ms(0.5), p99_ms: ms(0.99), max_ms: ms(1.0) }
    }
}

/// Does something on a thread that is the load, on its processor.
///
/// # Errors
/// What it says, or that the system does not let us.
pub async fn on_the_load<R: Send + 'static>(
    cores: Option<Cores>,
    work: impl FnOnce() -> anyhow::Result<R> + Send + 'static,
) -> anyhow::Result<R> {
    on_a_thread("bench-load", move || {
        if let Some(cores) = cores {
            cores.be_the_load().context("the load cannot have a processor to itself")?;
        }
        work()
    })
    .await
}

/// Does something on a thread where a server would be, with a runtime of that thread. What it starts stays there too.
///
/// # Errors
/// What it says, or that the system does not let us.
pub async fn in_place_of_a_server<R: Send + 'static, F: Future<Output = anyhow::Result<R>>>(
    cores: Option<Cores>,
    work: impl FnOnce() -> F + Send + 'static,
) -> anyhow::Result<R> {
    on_a_thread("bench-server", move || {
        if let Some(cores) = cores {
            cores.be_the_server().context("what is measured cannot have a processor to itself")?;
        }
        Builder::new_current_thread().enable_all().build()?.block_on(work())
    })
    .await
}

async fn on_a_thread<R: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> anyhow::Result<R> + Send + 'static,
) -> anyhow::Result<R> {
    let (tell, told) = oneshot::channel();
    let run = move || {
        // Whoever was to hear it may have been stopped.
        let _ = tell.send(work());
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).context("cannot start a thread")?;
    told.await.with_context(|| format!("the thread {name} panicked"))?
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde::de::IgnoredAny;

    use super::*;
    use crate::{
        app::App,
        client::{Client, Target},
        data_dir::DataDir,
        measure::Channels,
        settings::{DEV_USER, Settings},
    };

    /// Does the work on a server of this process.
    async fn done(work: Work, time: Duration) -> Taken {
        let folder = tempfile::tempdir().unwrap();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let app = App::start(&Settings { listen, ..Settings::on(folder.path().join("data")) }).await.unwrap();
        let target = Target::Folder {
            data: folder.path().join("data"),
            user: DEV_USER.parse().unwrap(),
            create: false,
        };
        let client = Client::resolve(&target).await.unwrap();
        let conversations: Vec<_> = (0..work.conversations).map(|number| format!("c-{number}")).collect();
        for name in &conversations {
            let body = format!("{{\"conversation\":\"{name}\"}}");
            let _: IgnoredAny =
                client.post(&["v1", "conversations"], "application/json", body.into()).await.unwrap();
        }
        let key = DataDir::open(&folder.path().join("data")).unwrap().token_key().unwrap();
        let address = app.address();
        let taken = on_the_load(None, move || {
            let clock = cpu::Clock::of_process(std::process::id());
            let dialect = Channels::with_tokens(key);
            work.measure(
                &Place { dialect: &dialect, address, clock, conversations: &conversations, alone: false },
                time,
            )
        });
        let taken = taken.await.unwrap();
        client.close().await.unwrap();
        app.stop().await.unwrap();
        taken
    }

    #[tokio::test]
    async fn this_server_delivers_what_is_in_flight_to_every_session() {
        let work = Work { conversations: 2, sessions: 6, pace: Pace::InFlight(8) };
        let taken = done(work, Duration::from_millis(50)).await;
        // Four in each conversation at least, for three sessions.
        assert!(taken.deliveries >= 24 && taken.deliveries.is_multiple_of(3), "{taken:?}");
        assert!(taken.bytes > 200.0 && taken.latency.is_none(), "{taken:?}");
    }

    #[tokio::test]
    async fn this_server_delivers_what_is_due_to_every_session() {
        let work = Work { conversations: 2, sessions: 6, pace: Pace::PerSecond(50) };
        let taken = done(work, Duration::from_millis(100)).await;
        // Five messages, for three sessions.
        assert_eq!(taken.deliveries, 15);
        assert!(taken.latency.unwrap().max_ms > 0.0);
    }
}
