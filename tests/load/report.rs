//! What a run brought, as a table and as JSON.

use std::{
    fs,
    io::{self, StdoutLock, Write},
};

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    cpu::Spent,
    latency::{Latency, Ours, Percentiles},
    posts::Posts,
    projection::Projection,
};

/// What can be measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Durable posts in a second.
    Posts,
    /// From a post to a session.
    Latency,
    /// The store that catches up.
    Projection,
}

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Processors of the machine.
    pub(crate) cpus: usize,
    /// How busy it was in the minute before, and at the end: `/proc/loadavg`. Much more than the processors there are: others were at work.
    pub(crate) load_before: Option<f64>,
    pub(crate) load_after: Option<f64>,
    /// How long the servers were under load until they were warm. `null`: they were not when the measurements began.
    pub(crate) warm_after_s: Option<u64>,
    pub(crate) posts: Option<Posts>,
    pub(crate) latency: Option<Latency>,
    pub(crate) projection: Option<Projection>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        Self {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            load_before: load_average(),
            load_after: None,
            warm_after_s: None,
            posts: None,
            latency: None,
            projection: None,
        }
    }

    pub(crate) fn end(&mut self) {
        self.load_after = load_average();
    }
}

impl server::measure::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        let load = |load: Option<f64>| load.map_or("?".to_owned(), |load| format!("{load:.1}"));
        let (before, after) = (load(self.load_before), load(self.load_after));
        writeln!(
            out,
            "machine      {} processors; load average {before} before, {after} at the end",
            self.cpus
        )?;
        match self.warm_after_s {
            Some(after) => writeln!(out, "servers      warm after {after} s")?,
            None => writeln!(
                out,
                "servers      NOT warm: their compilers were still at work, so all is slower than it need be"
            )?,
        }
        if let Some(posts) = &self.posts {
            print_posts(posts, out)?;
        }
        if let Some(latency) = &self.latency {
            print_latency(latency, out)?;
        }
        if let Some(projection) = &self.projection {
            print_projection(projection, out)?;
        }
        if let (Some(posts), Some(projection)) = (&self.posts, &self.projection) {
            let single = posts.http.iter().map(|http| http.ours.per_s).fold(0.0, f64::max);
            let of = |rate: f64| projection.events_per_s / rate;
            writeln!(
                out,
                "the store takes {:.2} times what comes in over HTTP at best, {:.2} times what the import brings",
                of(single),
                of(posts.import.per_s)
            )?;
        }
        Ok(())
    }
}

fn print_posts(posts: &Posts, out: &mut impl Write) -> io::Result<()> {
    let Posts { partitions, record_bytes, saturated_per_s, saturated_cpu, http, import } = posts;
    writeln!(
        out,
        "\nPOSTS        durable in a second; records of {record_bytes} bytes, {partitions} partitions"
    )?;
    writeln!(
        out,
        "  {:<22} {:>9} {:>9} {:>7} {:>10} {:>9} {:>7}   µs of processor time for each",
        "", "a second", "floor", "ratio", "saturated", "bare HTTP", "ratio"
    )?;
    writeln!(
        out,
        "  {:<22} {saturated_per_s:>9.0} {:>9} {:>7} {:>10} {:>9} {:>7}   {}",
        "librdkafka, saturated",
        "",
        "",
        "1.00",
        "",
        "",
        spent(saturated_cpu)
    )?;
    for at in http {
        let name = format!("HTTP, {} connections", at.connections);
        let ours = &at.ours;
        writeln!(
            out,
            "  {name:<22} {:>9.0} {:>9.0} {:>7.2} {:>10.2} {:>9.0} {:>7.2}   {}",
            ours.per_s,
            at.floor_per_s,
            at.ratio,
            ours.ratio_to_saturated,
            at.bare_per_s,
            at.ratio_to_bare,
            spent(&ours.cpu)
        )?;
    }
    writeln!(
        out,
        "  {:<22} {:>9.0} {:>9} {:>7} {:>10.2} {:>9} {:>7}   {}",
        "import, 1,000 lines",
        import.per_s,
        "",
        "",
        import.ratio_to_saturated,
        "",
        "",
        spent(&import.cpu)
    )?;
    Ok(())
}

fn print_latency(latency: &Latency, out: &mut impl Write) -> io::Result<()> {
    let Latency { rate_per_s, messages, floor, bare, together, apart, yielding } = latency;
    writeln!(out, "\nLATENCY      ms, {messages} messages at {rate_per_s} a second, from when each was due")?;
    writeln!(
        out,
        "  {:<22} {:>9} {:>9} {:>9} {:>9}   {:>9} {:>9}   µs of processor time for each",
        "", "p50", "p99", "p99.9", "max", "p50 ratio", "p99 ratio"
    )?;
    for (name, row) in [("produce to consume", floor), ("bare HTTP to socket", bare)] {
        writeln!(out, "  {name:<22} {}", percentiles(row))?;
    }
    let yielding =
        yielding.iter().flat_map(|both| [("one node *", &both.together), ("a node for each *", &both.apart)]);
    for (name, ours) in
        [("one node, all roles", together), ("a node for each role", apart)].into_iter().chain(yielding)
    {
        let Ours { latency, p50_ratio, p99_ratio, cpu } = ours;
        let (row, cpu) = (percentiles(latency), spent(cpu));
        writeln!(out, "  {name:<22} {row}   {p50_ratio:>9.2} {p99_ratio:>9.2}   {cpu}")?;
    }
    if latency.yielding.is_some() {
        writeln!(
            out,
            "  * while Cassandra runs only when nobody else wants to, as if it had a machine of its own"
        )?;
    }
    Ok(())
}

fn percentiles(row: &Percentiles) -> String {
    let Percentiles { p50_ms, p99_ms, p999_ms, max_ms } = row;
    format!("{p50_ms:>9.2} {p99_ms:>9.2} {p999_ms:>9.2} {max_ms:>9.2}")
}

fn print_projection(projection: &Projection, out: &mut impl Write) -> io::Result<()> {
    let Projection { posts, events_per_s, rows_per_s, floors, floor_rows_per_s, ratio, cpu } = projection;
    writeln!(out, "\nPROJECTION   rows in a second; the store catches up with {posts} posts")?;
    for floor in floors {
        let name = format!("driver, {:?}", floor.shape).to_lowercase();
        let (rows, in_flight) = (floor.batch_rows, floor.in_flight);
        writeln!(out, "  {name:<22} {:>9.0}   batches of {rows}, {in_flight} in flight", floor.rows_per_s)?;
    }
    writeln!(out, "  {:<22} {floor_rows_per_s:>9.0}", "driver, one of each")?;
    writeln!(out, "  {:<22} {rows_per_s:>9.0}   {events_per_s:.0} events a second", "store")?;
    writeln!(out, "  {:<22} {ratio:>9.2}", "ratio")?;
    writeln!(out, "  µs of processor time for each event: {}", spent(cpu))?;
    Ok(())
}

fn spent(spent: &Spent) -> String {
    let Spent { client_us, tidings_us, kafka_us, cassandra_us } = spent;
    let parts =
        [("client", client_us), ("tidings", tidings_us), ("kafka", kafka_us), ("cassandra", cassandra_us)];
    let known = parts.into_iter().filter_map(|(name, us)| Some((name, (*us)?)));
    let known: Vec<_> =
        known.filter(|(_, us)| *us > 0.0).map(|(name, us)| format!("{name} {us:.0}")).collect();
    known.join(", ")
}

/// Processes that wanted to run, on average over the last minute.
fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
