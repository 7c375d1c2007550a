//! `tidings bench ingest`: how many messages a server makes durable when it gets as many as it takes, next to its log alone.

use std::{
    fmt,
    io::{self, StdoutLock, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use futures_util::future::try_join_all;
use indicatif::ProgressBar;
use kernel::{
    clock::SystemClock,
    event_log::{EventLog, sqlite::SqliteLog},
};
use serde::Serialize;

use super::{
    OwnServerArgs, beside, delivering::Processors, filling, memory::watched, progress::steps,
    records::Records,
};
use crate::{
    backing::EMBEDDED_PARTITIONS,
    cpu,
    measure::{
        Channels, Cores, Door, OverHttp, OverSession, Posted, Posting, Server, in_place_of_a_server,
        make_room, on_the_load, unless_stopped,
    },
};

/// Conversations that are posted to.
const CONVERSATIONS: u32 = 16;
/// Connections, over which messages are posted and each waits for its answer.
const CONNECTIONS: [u32; 3] = [16, 64, 256];
/// Messages of each connection that are on their way, where it does not wait.
const PIPELINED: u32 = 16;
/// Those who append to the log alone, and how many records each at a time.
const APPENDS: [Append; 4] = [
    Append { callers: 1, records: 1 },
    Append { callers: 1, records: 100 },
    Append { callers: 64, records: 1 },
    Append { callers: 64, records: 100 },
];
/// What is done before anything counts, at most.
const WARM_UP: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  tidings bench ingest                          all ways, five seconds each
  tidings bench ingest --seconds 1 --json

A server in a process of its own, on a fresh folder beside the data folder, gets
messages of 200 bytes for 16 conversations, as fast as it takes them: over HTTP on
connections that are kept, each waiting for its answer, and with `publish` over
sessions. A message counts when it is accepted, which is when it is durable. The
processor time is that of the whole process until the history has all of them too. The
floor is the log alone, in this process and on the same disk: records of the same size,
appended one and 100 at a time by one caller and by 64, before and after, the faster of
the two. The ratio is to the fastest of the four. The server, and then the log, has one
processor and the load another, where there are two. A busy disk moves all of it.";

/// Measure how many messages are made durable
///
/// With as many on their way as the server takes, over HTTP and over sessions.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct IngestArgs {
    /// How long each way is measured, in seconds
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    #[command(flatten)]
    own: OwnServerArgs,
}

/// How messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Over {
    Http,
    Sessions,
}

/// A way to post.
#[derive(Debug, Clone, Copy, Serialize)]
struct Way {
    over: Over,
    connections: u32,
    /// Messages of each connection that are on their way.
    in_flight: u32,
}

/// A way to append to the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Append {
    callers: u32,
    records: u32,
}

/// What a run brought.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(flatten)]
    processors: Processors,
    ways: Vec<Taken>,
    floors: Vec<Appended>,
    /// The fastest of them.
    floor: Append,
}

#[derive(Debug, Serialize)]
struct Taken {
    #[serde(flatten)]
    way: Way,
    messages: u64,
    per_s: f64,
    /// Of the server, for each message, until the history has it too.
    cpu_us: Option<f64>,
    /// The most that the server held meanwhile.
    memory: Option<u64>,
    ratio: f64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Appended {
    #[serde(flatten)]
    append: Append,
    per_s: f64,
    /// Of this process, for each record.
    cpu_us: Option<f64>,
}

pub(super) async fn run(args: IngestArgs) -> anyhow::Result<ExitCode> {
    let ways = ways();
    let most = ways.iter().map(|way| way.connections).max().unwrap_or_default();
    make_room(u64::from(most))?;
    let (cores, time) = (Cores::choose(), Duration::from_secs(args.seconds));
    let progress = steps(ways.len() + 2 * APPENDS.len())?;
    let before = unless_stopped(floors(&args, cores, &progress)).await?;
    let posted = args.own.on_fresh(cores, &[], async |server| {
        let mut posted = Vec::new();
        for way in &ways {
            progress.set_message(way.to_string());
            posted.push(way.measure(server, cores, time).await?);
            progress.inc(1);
        }
        Ok(posted)
    });
    let posted = posted.await?;
    let after = unless_stopped(floors(&args, cores, &progress)).await?;
    progress.finish_and_clear();
    args.own.tell(&Report::new(cores, posted, before.into_iter().zip(after))?)
}

/// All ways to post.
fn ways() -> Vec<Way> {
    let of = |over| CONNECTIONS.map(|connections| Way { over, connections, in_flight: 1 });
    let pipelined = Way { over: Over::Sessions, connections: CONNECTIONS[0], in_flight: PIPELINED };
    [of(Over::Http), of(Over::Sessions)].into_iter().flatten().chain([pipelined]).collect()
}

impl Way {
    async fn measure(self, server: &Server, cores: Option<Cores>, time: Duration) -> anyhow::Result<Taken> {
        let conversations = server.fresh_conversations(CONVERSATIONS).await?;
        let (names, address) = (conversations.clone(), server.socket_address()?);
        let door: Box<dyn Door> = match self.over {
            Over::Http => Box::new(OverHttp::with_token(server.token().to_owned())),
            Over::Sessions => Box::new(OverSession::new(Channels::with_tokens(server.token_key()?))),
        };
        let clock = server.process().clock();
        let load = on_the_load(cores, move || {
            let mut posting = Posting::begin(&*door, address, &names, self.connections)?;
            let before = clock.now();
            let warm = posting.run(self.in_flight, WARM_UP.min(time))?;
            Ok((before, warm, posting.run(self.in_flight, time)?))
        });
        let (posted, memory) = watched(server, load).await;
        let (before, warm, Posted { messages, took }) = posted?;
        // What the history does for a message belongs to it.
        let client = server.client().await?;
        for conversation in &conversations {
            filling::newest(&client, conversation).await?;
        }
        let cpu = cpu::between(before, server.cpu());
        Ok(Taken {
            way: self,
            messages,
            per_s: per_s(messages, took),
            cpu_us: cpu.map(|cpu| each_us(warm.messages + messages, cpu)),
            memory,
            ratio: 0.0,
        })
    }
}

/// All ways to append to a log alone, each on a fresh file.
async fn floors(
    args: &IngestArgs,
    cores: Option<Cores>,
    progress: &ProgressBar,
) -> anyhow::Result<Vec<Appended>> {
    let mut appended = Vec::new();
    for append in APPENDS {
        progress.set_message(append.to_string());
        let folder = beside(&args.own.data)?;
        let (file, time) = (folder.path().join("log"), Duration::from_secs(args.seconds));
        appended.push(in_place_of_a_server(cores, move || append.measure(file, time)).await?);
        folder.close().context("cannot remove the temporary folder")?;
        progress.inc(1);
    }
    Ok(appended)
}

impl Append {
    async fn measure(self, file: PathBuf, time: Duration) -> anyhow::Result<Appended> {
        let log = SqliteLog::open(file, EMBEDDED_PARTITIONS, Arc::new(SystemClock))?;
        let (records, conversations) = (Records::new()?, Records::conversations(CONVERSATIONS.into())?);
        let in_turn = conversations.iter().cycle().zip(0..).take(usize::try_from(self.records)?);
        let batch = in_turn.map(|(conversation, number)| records.message(conversation, number));
        let batch = &batch.collect::<anyhow::Result<Vec<_>>>()?;
        let (begun, before) = (Instant::now(), cpu::of_this_process());
        let callers = (0..self.callers).map(async |_| {
            let mut appended = 0;
            // At least once, however slow the machine.
            loop {
                appended += log.append(batch.clone()).await?.len() as u64;
                if begun.elapsed() >= time {
                    return anyhow::Ok(appended);
                }
            }
        });
        let appended = try_join_all(callers).await?.into_iter().sum();
        let (took, cpu) = (begun.elapsed(), cpu::between(before, cpu::of_this_process()));
        let cpu_us = cpu.map(|cpu| each_us(appended, cpu));
        Ok(Appended { append: self, per_s: per_s(appended, took), cpu_us })
    }
}

fn per_s(count: u64, took: Duration) -> f64 {
    1e6 / each_us(count, took)
}

fn each_us(count: u64, took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of messages")]
    let count = count as f64;
    took.as_secs_f64() * 1e6 / count
}

impl Report {
    /// With each floor before and after.
    fn new(
        cores: Option<Cores>,
        mut ways: Vec<Taken>,
        floors: impl Iterator<Item = (Appended, Appended)>,
    ) -> anyhow::Result<Self> {
        let faster = |(one, other): (Appended, Appended)| if other.per_s > one.per_s { other } else { one };
        let floors: Vec<_> = floors.map(faster).collect();
        let floor = floors.iter().max_by(|one, other| one.per_s.total_cmp(&other.per_s));
        let floor = *floor.context("no floor was taken")?;
        for way in &mut ways {
            way.ratio = way.per_s / floor.per_s;
        }
        Ok(Self { processors: cores.into(), ways, floors, floor: floor.append })
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { over, connections, in_flight } = self;
        match over {
            Over::Http => write!(f, "HTTP, {connections} connections"),
            Over::Sessions => write!(f, "sessions, {connections}, {in_flight} in flight each"),
        }
    }
}

impl fmt::Display for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "log alone, {} at a time, callers: {}", self.records, self.callers)
    }
}

impl super::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let Self { processors, ways, floors, floor } = self;
        let us = |cpu_us: Option<f64>| cpu_us.map_or("?".to_owned(), |cpu_us| format!("{cpu_us:.1}"));
        writeln!(
            out,
            "{processors}; texts of 200 bytes, {CONVERSATIONS} conversations; processor time in µs for each"
        )?;
        writeln!(out, "  {:<36} {:>9} {:>8} {:>8} {:>12}", "", "a second", "µs", "ratio", "memory, MiB")?;
        for Taken { way, per_s, cpu_us, memory, ratio, .. } in ways {
            let (way, memory) =
                (way.to_string(), memory.map_or("?".to_owned(), |memory| (memory / MIB).to_string()));
            writeln!(out, "  {way:<36} {per_s:>9.0} {:>8} {ratio:>8.2} {memory:>12}", us(*cpu_us))?;
        }
        for Appended { append, per_s, cpu_us } in floors {
            let append_is = append.to_string();
            let mark = if append == floor { "1.00" } else { "" };
            writeln!(out, "  {append_is:<36} {per_s:>9.0} {:>8} {mark:>8}", us(*cpu_us))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_to_the_fastest_floor_of_all() {
        let way = Way { over: Over::Http, connections: 1, in_flight: 1 };
        let taken = Taken { way, messages: 1, per_s: 30.0, cpu_us: None, memory: None, ratio: 0.0 };
        let at = |append, per_s| Appended { append, per_s, cpu_us: None };
        let [slow, .., fast] = APPENDS;
        let floors = [(at(slow, 10.0), at(slow, 20.0)), (at(fast, 60.0), at(fast, 50.0))];
        let report = Report::new(None, vec![taken], floors.into_iter()).unwrap();
        assert_eq!(report.floors.iter().map(|floor| floor.per_s).collect::<Vec<_>>(), [20.0, 60.0]);
        assert_eq!(report.floor, fast);
        assert!((report.ways[0].ratio - 0.5).abs() < 1e-9);
        assert!(Report::new(None, Vec::new(), std::iter::empty()).is_err());
    }

    #[test]
    fn every_way_is_measured_once() {
        let ways: Vec<_> = ways().iter().map(ToString::to_string).collect();
        assert_eq!(ways.len(), 7);
        assert_eq!(ways[6], "sessions, 16, 16 in flight each");
    }

    #[tokio::test]
    async fn records_are_appended_by_all_callers() {
        let folder = tempfile::tempdir().unwrap();
        let append = Append { callers: 3, records: 2 };
        let appended = append.measure(folder.path().join("log"), Duration::from_millis(1)).await.unwrap();
        assert!(appended.per_s > 0.0);
    }
}
