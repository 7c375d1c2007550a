//! `bench-peers`: Tidings and two servers of others that deliver to sessions, next to the least that delivering can take.
//!
//! ```text
//!   the same load, on one processor --> floor, tidings, centrifuge, gin, floor: one after the other, on the other processor
//! ```
//!
//! - `subject`: who is measured;
//! - `gin`: how one speaks to one of them;
//! - `report`: the table.
//!
//! What they do differs: only Tidings writes each message to a log on the disk before it delivers it, and checks a token.
//! Nothing here is a test.

use std::{path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Parser, ValueEnum};
use server::measure::{Cores, Row, Work, come_in, hold, make_room, tell, unless_stopped};

mod gin;
mod report;
mod subject;

use report::{Delivered, Report, Theirs};
use subject::{Rig, Subject, on_floor};

const ABOUT: &str = "\
Examples:
  just bench-peers                                    all of it; some six minutes
  bench-peers --only one --only steady --who tidings --who gin
  bench-peers --sessions 100 --crowd 1000 --seconds 2 --json

The work is that of `tidings bench fanout`, `idle` and `connect`. Each server is a
process of its own that is started afresh for each measurement and has a processor to
itself; the load has the other. The floor writes a ready frame as long as those of
Tidings to each session; it is taken before and after, and the cheaper of the two counts.";

/// How long it takes to find how long a frame is.
const FRAME_TIME: Duration = Duration::from_millis(200);
/// Conversations that a crowd is spread over, if it has as many people.
const CROWD_CONVERSATIONS: u32 = 100;

/// Measures Tidings and servers of others that deliver to sessions
#[derive(Debug, Parser)]
#[command(name = "bench-peers", after_help = ABOUT)]
struct Args {
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
    /// What to measure; can be given again [default: all]
    #[arg(long, value_name = "WORK", value_enum)]
    only: Vec<Part>,
    /// Whom to measure; can be given again [default: all]
    #[arg(long, value_name = "WHO", value_enum)]
    who: Vec<Subject>,
    /// Sessions to which messages are delivered
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(10..=15_000))]
    sessions: u32,
    /// Sessions that only come in, or do nothing
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    crowd: u32,
    /// How long each delivery and each floor is measured, and how long the idle ones are, in seconds
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Folder of the Go programs `centrifuge` and `gin`
    #[arg(long, value_name = "DIR", default_value = "target/peers")]
    programs: PathBuf,
}

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// One conversation, one message on its way
    One,
    /// One conversation, 32 on their way, which may be delivered together
    Coalesced,
    /// One conversation, 47 a second
    Steady,
    /// A conversation for every ten sessions, one on its way in each
    Many,
    /// The same, 2,000 a second over all
    ManySteady,
    /// What a session holds that does nothing
    Idle,
    /// What it takes to let one in
    Connect,
}

impl Part {
    fn row(self) -> Option<Row> {
        match self {
            Self::One => Some(Row::One),
            Self::Coalesced => Some(Row::Coalesced),
            Self::Steady => Some(Row::Steady),
            Self::Many => Some(Row::Many),
            Self::ManySteady => Some(Row::ManySteady),
            Self::Idle | Self::Connect => None,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tell(&unless_stopped(measure(&args)).await?, args.json)
}

async fn measure(args: &Args) -> anyhow::Result<Report> {
    let wanted = |part: Part| args.only.is_empty() || args.only.contains(&part);
    let who = if args.who.is_empty() { Subject::ALL.to_vec() } else { args.who.clone() };
    let rig = Rig { cores: Cores::choose(), programs: args.programs.clone() };
    for subject in &who {
        subject.find(&rig)?;
    }
    let rows: Vec<_> =
        Part::value_variants().iter().filter(|part| wanted(**part)).filter_map(|part| part.row()).collect();
    let most = rows.iter().map(|row| row.work(args.sessions).connections()).max().unwrap_or_default();
    let crowded = wanted(Part::Idle) || wanted(Part::Connect);
    make_room(u64::from(most.max(if crowded { args.crowd } else { 0 })))?;
    let time = Duration::from_secs(args.seconds);
    let frame_bytes = frame_bytes(&rig).await?;
    let mut report = Report::begin(rig.cores, frame_bytes, who.clone());
    for row in rows {
        let work = row.work(args.sessions);
        eprintln!("measuring {}", work.title());
        report.deliveries.push(deliver(&rig, row, work, frame_bytes, &who, time).await?);
    }
    if wanted(Part::Idle) {
        eprintln!("measuring {} idle sessions", args.crowd);
        report.idle = crowd(&rig, &who, args.crowd, move |place, pid, sessions| {
            hold(place, pid, sessions, time, |_| {})
        })
        .await?;
    }
    if wanted(Part::Connect) {
        eprintln!("measuring how {} sessions come in", args.crowd);
        report.connect =
            crowd(&rig, &who, args.crowd, |place, _, sessions| Ok(come_in(place, sessions, |_| {})?.1))
                .await?;
    }
    Ok(report)
}

/// Bytes of a frame of Tidings that carries one message.
async fn frame_bytes(rig: &Rig) -> anyhow::Result<usize> {
    let work = Work::ONE_FRAME;
    let taken = Subject::Tidings.on(rig, work.conversations, move |place, _| work.measure(place, FRAME_TIME));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundred bytes")]
    Ok(taken.await?.bytes.round() as usize)
}

async fn deliver(
    rig: &Rig,
    row: Row,
    work: Work,
    frame_bytes: usize,
    who: &[Subject],
    time: Duration,
) -> anyhow::Result<Delivered> {
    let floor = || on_floor(rig, frame_bytes, work.conversations, move |place, _| work.measure(place, time));
    let before = floor().await.context("the floor")?;
    let mut theirs = Vec::new();
    for subject in who {
        let measured = subject.on(rig, work.conversations, move |place, _| work.measure(place, time));
        theirs.push(measured.await.map_err(|error| format!("{error:#}")));
    }
    Ok(Delivered::new(row, work.title(), theirs, [before, floor().await.context("the floor")?]))
}

async fn crowd<R: Send + 'static>(
    rig: &Rig,
    who: &[Subject],
    sessions: u32,
    work: impl Fn(&server::measure::Place<'_>, u32, u64) -> anyhow::Result<R> + Clone + Send + 'static,
) -> anyhow::Result<Vec<Theirs<R>>> {
    let mut all = Vec::new();
    for subject in who {
        let work = work.clone();
        let measured = subject.on(rig, CROWD_CONVERSATIONS.min(sessions), move |place, pid| {
            work(place, pid, u64::from(sessions))
        });
        all.push(measured.await.map_err(|error| format!("{error:#}")));
    }
    Ok(all)
}
