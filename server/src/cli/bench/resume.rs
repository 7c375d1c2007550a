//! `tidings bench resume`: a session that is far behind, and those that are not.

use std::{
    io::{self, StdoutLock, Write},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use clap::Args;
use parking_lot::Mutex;
use serde::Serialize;
use serde_json::json;
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    OwnServerArgs,
    caught_up::{CaughtUp, offset},
    filling,
    memory::watched,
};
use crate::{
    client::Client,
    cpu,
    measure::{Floor, Latencies, Schedule, Server, Session, pushes},
};

const DEEP: &str = "deep";
const LIVE: &str = "live";
/// Sessions that look on while one catches up.
const WITNESSES: usize = 10;
/// Bytes of a message.
const MESSAGE_LEN: usize = 200;
/// Longest payload of a frame of the floor.
const PAYLOAD_LEN_MAX: u64 = 65_535;
/// Between two looks at how far those who look on are.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// How long the session may wait for the next events.
const SILENCE_MAX: Duration = Duration::from_secs(30);
const MIB: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  tidings bench resume                     a million events behind
  tidings bench resume --events 100000 --json

A server in a process of its own, on a fresh folder beside the data folder, is filled
first; that takes a minute or two for a million events. Ten sessions watch another
conversation into which messages are posted at a steady rate; their latency, from when
a message was due until it is at a session, is taken without and with the session that
catches up. That one counts as complete if it got every event once and in order. The
floor is one thread that writes ready frames of the same length, with as many events,
to one connection, 128 KiB at a time, as fast as it is read; the same code reads them
and looks for each offset, but not at their order. It is taken twice, and the faster
counts. Server and load are on any processor.";

/// Measure how fast a session that is far behind catches up
///
/// And what that costs the server in memory, and others in latency.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResumeArgs {
    /// How many events the session is behind
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    events: u64,
    /// Messages a second that others post and see meanwhile
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    rate: u32,
    /// How long their latency is taken before, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    events: u64,
    bytes: u64,
    seconds: f64,
    events_per_s: f64,
    /// Of the server, for each event.
    cpu_us: Option<f64>,
    /// Of the server, before and at most while the session caught up.
    memory_before: Option<u64>,
    memory_most: Option<u64>,
    /// Events a second of the floor: the faster of two times.
    floor_per_s: f64,
    floors_per_s: [f64; 2],
    ratio: f64,
    before: Others,
    meanwhile: Others,
}

/// What came in frames, and in how many.
#[derive(Debug, Default, Clone, Copy)]
struct Frames {
    count: u64,
    bytes: u64,
    events: u64,
}

/// The latency of those who look on, in milliseconds.
#[derive(Debug, Serialize)]
struct Others {
    deliveries: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

pub(super) async fn run(args: ResumeArgs) -> anyhow::Result<ExitCode> {
    args.own.run(async |server| measure(server, &args).await).await
}

async fn measure(server: &Server, args: &ResumeArgs) -> anyhow::Result<Report> {
    let client = server.client().await?;
    let (last, epoch) = filling::fill(&client, DEEP, args.events, MESSAGE_LEN).await?;
    filling::fill(&client, LIVE, 1, MESSAGE_LEN).await?;
    let others = Others::begin(server, args.rate).await?;
    sleep(Duration::from_secs(args.seconds)).await;
    let before = others.end().await?;
    let others = Others::begin(server, args.rate).await?;
    let (memory_before, cpu_before) = (server.memory(), server.cpu());
    let begun = Instant::now();
    let (caught_up, memory_most) = watched(server, catch_up(server, last, &epoch)).await;
    let (caught_up, came) = caught_up?;
    let (took, cpu) = (begun.elapsed(), server.cpu());
    let meanwhile = others.end().await?;
    // The conversation's own beginning is an event too.
    ensure!(caught_up.events == args.events + 1, "{} events came, not {}", caught_up.events, args.events + 1);
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred million")]
    let events = caught_up.events as f64;
    let cpu = cpu::between(cpu_before, cpu);
    let floors_per_s = [floor(came).await?, floor(came).await?];
    let [first, second] = floors_per_s;
    let (events_per_s, fastest) = (events / took.as_secs_f64(), first.max(second));
    Ok(Report {
        events: caught_up.events,
        bytes: came.bytes,
        seconds: took.as_secs_f64(),
        events_per_s,
        floor_per_s: fastest,
        floors_per_s,
        ratio: events_per_s / fastest,
        cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / events),
        memory_before,
        memory_most,
        before,
        meanwhile,
    })
}

/// A session that begins at the start and reads until it has what stands before `last`.
async fn catch_up(server: &Server, last: u64, epoch: &str) -> anyhow::Result<(CaughtUp, Frames)> {
    let mut session = Session::connect(server.address(), server.token()).await?;
    let (mut seen, mut came) = (CaughtUp::default(), Frames::default());
    for offset in session.subscribe(DEEP, Some((0, epoch))).await? {
        seen.take(Some(offset))?;
    }
    while seen.last < last {
        came.read(&mut session, |offset| seen.take(offset)).await?;
    }
    Ok((seen, came))
}

/// Events a second that come from the floor, in frames like those that came.
async fn floor(came: Frames) -> anyhow::Result<f64> {
    let page = came.page()?;
    let each = pushes(&page).count() as u64;
    let floor = Floor::start_with(&page, None)?;
    let begun = Instant::now();
    let mut session = Session::at_the_floor(floor.address, came.events.div_ceil(each)).await?;
    let mut read = Frames::default();
    while read.events < came.events {
        read.read(&mut session, |offset| offset.map(drop).context("a push without an offset")).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "at most a hundred million")]
    Ok(read.events as f64 / begun.elapsed().as_secs_f64())
}

impl Frames {
    /// Reads what comes next, and shows the offset of each event.
    async fn read(
        &mut self,
        session: &mut Session,
        mut take: impl FnMut(Option<u64>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        let next = session.next(|payload, _| {
            self.bytes += payload.len() as u64;
            self.count += 1;
            for push in pushes(payload) {
                self.events += 1;
                let taken = take(offset(push));
                outcome = std::mem::replace(&mut outcome, Ok(())).and(taken);
            }
        });
        timeout(SILENCE_MAX, next).await.context("nothing comes any more")??;
        outcome
    }

    /// The payload of a frame that is like these on average: as many events, of the same length.
    fn page(&self) -> anyhow::Result<Vec<u8>> {
        ensure!(self.events > 0, "all events came with the first reply: take more");
        let len = self.bytes.div_ceil(self.events);
        let events = (self.events / self.count).min((PAYLOAD_LEN_MAX + 1) / len).max(1);
        let (begins, ends) =
            ("{\"push\":{\"channel\":\"deep\",\"pub\":{\"data\":\"", "\",\"offset\":4711}}}");
        let filler = usize::try_from(len)?.saturating_sub(begins.len() + ends.len() + 1);
        let push = format!("{begins}{:x<filler$}{ends}", "");
        Ok(vec![push; usize::try_from(events)?].join("\n").into_bytes())
    }
}

/// Those who look on, and the one who posts for them.
struct Onlookers {
    tasks: JoinSet<anyhow::Result<()>>,
    latencies: Arc<Mutex<Vec<Duration>>>,
    stop: oneshot::Sender<()>,
    posting: tokio::task::JoinHandle<anyhow::Result<u64>>,
}

impl Others {
    async fn begin(server: &Server, rate: u32) -> anyhow::Result<Onlookers> {
        let run = format!("r{}", kernel::random::name(6));
        let schedule = Schedule { start: Instant::now(), interval: Duration::from_secs(1) / rate };
        let latencies = Arc::<Mutex<Vec<_>>>::default();
        let mut tasks = JoinSet::new();
        let marked: Arc<str> = format!("\"text\":\"{run} ").into();
        for _ in 0..WITNESSES {
            let mut session = Session::connect(server.address(), server.token()).await?;
            session.subscribe(LIVE, None).await?;
            let (latencies, marked) = (Arc::clone(&latencies), Arc::clone(&marked));
            tasks.spawn(async move {
                loop {
                    session
                        .next(|payload, at| {
                            let late = |number| at.saturating_duration_since(schedule.due_at(number));
                            latencies.lock().extend(numbers(payload, marked.as_bytes()).map(late));
                        })
                        .await?;
                }
            });
        }
        let (stop, stopped) = oneshot::channel();
        let posting = tokio::spawn(post(server.client().await?, run, schedule, stopped));
        Ok(Onlookers { tasks, latencies, stop, posting })
    }
}

impl Onlookers {
    async fn end(mut self) -> anyhow::Result<Others> {
        // It may have failed, which it says itself.
        let _ = self.stop.send(());
        let posted = self.posting.await??;
        let wanted = usize::try_from(posted)? * WITNESSES;
        let deadline = Instant::now() + SILENCE_MAX;
        while self.latencies.lock().len() < wanted {
            ensure!(Instant::now() < deadline, "messages did not come to those who look on");
            tokio::select! {
                Some(ended) = self.tasks.join_next() => ended??,
                () = sleep(LOOK_PAUSE) => {}
            }
        }
        let latencies = Latencies::new(std::mem::take(&mut *self.latencies.lock()));
        let ms = |share| latencies.at(share).as_secs_f64() * 1e3;
        Ok(Others { deliveries: latencies.count(), p50_ms: ms(0.5), p99_ms: ms(0.99), max_ms: ms(1.0) })
    }
}

/// Posts whenever a message is due, until it is told to stop; says how many.
async fn post(
    client: Client,
    run: String,
    schedule: Schedule,
    mut stop: oneshot::Receiver<()>,
) -> anyhow::Result<u64> {
    let mut number = 0;
    loop {
        tokio::select! {
            _ = &mut stop => return Ok(number),
            () = tokio::time::sleep_until(schedule.due_at(number).into()) => {}
        }
        let text = format!("{run} {number} {:x<MESSAGE_LEN$}", "");
        let body = json!({"client_message_id": format!("{run}-{number}"), "text": text}).to_string();
        let path = ["v1", "conversations", LIVE, "messages"];
        let _: serde::de::IgnoredAny = client.post(&path, "application/json", body.into()).await?;
        number += 1;
    }
}

/// The numbers that stand behind `mark`.
fn numbers<'a>(payload: &'a [u8], mark: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
    let starts = payload.windows(mark.len()).enumerate().filter(move |(_, window)| *window == mark);
    starts.filter_map(move |(at, _)| {
        let digits = payload.get(at + mark.len()..)?.split(|byte| *byte == b' ').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    })
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { events, bytes, seconds, events_per_s, .. } = self;
        writeln!(
            out,
            "caught up    {events} events ({} MiB) in {seconds:.1} s, each once and in order",
            bytes / MIB
        )?;
        write!(out, "rate         {events_per_s:.0} events a second")?;
        match self.cpu_us {
            Some(cpu_us) => writeln!(out, ", {cpu_us:.1} µs of the server's processor time for each")?,
            None => writeln!(out)?,
        }
        let Self { floor_per_s, floors_per_s: [first, second], ratio, .. } = self;
        writeln!(
            out,
            "floor        {floor_per_s:.0} events a second ({first:.0}, {second:.0}); ratio {ratio:.2}"
        )?;
        if let Some((before, most)) = self.memory_before.zip(self.memory_most) {
            let (before, most) = (before / MIB, most / MIB);
            writeln!(out, "memory       {before} MiB before, {most} MiB at most")?;
        }
        for (name, others) in [("before", &self.before), ("meanwhile", &self.meanwhile)] {
            let Others { deliveries, p50_ms, p99_ms, max_ms } = others;
            writeln!(
                out,
                "others       {name:<9}   p50 {p50_ms:.2} ms   p99 {p99_ms:.2}   max {max_ms:.2}   ({deliveries} deliveries)"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_long_as_what_came_and_every_push_has_an_offset() {
        let came = Frames { count: 10, bytes: 10 * 100 * 500, events: 1_000 };
        let page = came.page().unwrap();
        assert_eq!(page.len(), 100 * 500 - 1);
        assert_eq!(pushes(&page).filter_map(offset).count(), 100);
        // What does not fit into a frame is left out.
        let came = Frames { count: 1, bytes: 1_000 * 500, events: 1_000 };
        let page = came.page().unwrap();
        assert_eq!(pushes(&page).count(), 131);
        assert!(page.len() <= 65_535);
        assert!(Frames::default().page().is_err());
    }

    #[test]
    fn numbers_stand_behind_their_mark() {
        let payload = br#"{"text":"r1 7 xxx"}{"text":"r2 8 x"}{"text":"r1 19 xxx"}"#;
        assert_eq!(numbers(payload, br#""text":"r1 "#).collect::<Vec<_>>(), [7, 19]);
    }
}
