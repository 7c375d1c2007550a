//! What a run brought, as a table and as JSON.

use std::io::{self, StdoutLock, Write};

use serde::Serialize;
use server::measure::{CameIn, Cores, Held, Percentiles, Row, Taken};

use crate::subject::Subject;

/// Bytes in a KiB.
const KIB: f64 = 1_024.0;

/// What was measured of somebody, or why it was not.
pub(crate) type Theirs<R> = Result<R, String>;

/// See the module. What is listed is in the order of `who`.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The processors that were chosen; `null`: there was no choice.
    server_processor: Option<usize>,
    load_processor: Option<usize>,
    /// Bytes of what the floor writes for a delivery.
    frame_bytes: usize,
    who: Vec<Subject>,
    pub(crate) deliveries: Vec<Delivered>,
    pub(crate) idle: Vec<Theirs<Held>>,
    pub(crate) connect: Vec<Theirs<CameIn>>,
}

/// What a delivery takes.
#[derive(Debug, Serialize)]
pub(crate) struct Delivered {
    work: Row,
    title: String,
    /// The cheaper of those before and after.
    floor: Taken,
    floor_before_us: f64,
    floor_after_us: f64,
    theirs: Vec<Theirs<Taken>>,
}

impl Delivered {
    pub(crate) fn new(work: Row, title: String, theirs: Vec<Theirs<Taken>>, floors: [Taken; 2]) -> Self {
        let [before, after] = floors;
        let (floor_before_us, floor_after_us) = (before.cpu_us, after.cpu_us);
        let floor = if after.cpu_us < before.cpu_us { after } else { before };
        Self { work, title, floor, floor_before_us, floor_after_us, theirs }
    }
}

impl Report {
    pub(crate) fn begin(cores: Option<Cores>, frame_bytes: usize, who: Vec<Subject>) -> Self {
        let (server_processor, load_processor) =
            (cores.map(|cores| cores.server), cores.map(|cores| cores.load));
        let (deliveries, idle, connect) = (Vec::new(), Vec::new(), Vec::new());
        Self { server_processor, load_processor, frame_bytes, who, deliveries, idle, connect }
    }
}

impl server::measure::Report for Report {
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()> {
        match self.server_processor.zip(self.load_processor) {
            Some((server, load)) => write!(out, "server on processor {server}, load on processor {load}")?,
            None => write!(out, "server and load on any processor")?,
        }
        writeln!(out, "; the floor writes frames of {} bytes", self.frame_bytes)?;
        if !self.deliveries.is_empty() {
            writeln!(
                out,
                "\nDELIVERIES   µs of the server's processor time for each, and how many times the floor that is"
            )?;
            self.head(out, &["floor", "(before, after)"])?;
        }
        for Delivered { title, floor, floor_before_us, floor_after_us, theirs, .. } in &self.deliveries {
            let both = format!("({floor_before_us:.2}, {floor_after_us:.2})");
            write!(out, "  {title:<26}{:>16.2}{both:>18}", floor.cpu_us)?;
            cells(out, theirs, |taken| format!("{:.2} {:>6.2}x", taken.cpu_us, taken.cpu_us / floor.cpu_us))?;
            if let Some(latency) = &floor.latency {
                let cell =
                    |Percentiles { p50_ms, p99_ms, .. }: &Percentiles| format!("{p50_ms:.2}, {p99_ms:.2}");
                write!(out, "  {:<26}{:>16}{:>18}", "  ms, p50 and p99", cell(latency), "")?;
                cells(out, theirs, |taken| taken.latency.as_ref().map_or(String::new(), cell))?;
            }
        }
        if !self.idle.is_empty() {
            writeln!(out, "\nIDLE         KiB of the server's memory for each session")?;
            self.head(out, &[])?;
            write!(out, "  {:<26}", "")?;
            cells(out, &self.idle, |held| format!("{:.2}", held.each / KIB))?;
        }
        if !self.connect.is_empty() {
            writeln!(
                out,
                "\nCONNECT      sessions that come in for a second of the server's processor time"
            )?;
            self.head(out, &[])?;
            write!(out, "  {:<26}", "")?;
            cells(out, &self.connect, |came_in| format!("{:.0}", came_in.per_cpu_s))?;
        }
        self.failures(out)
    }
}

impl Report {
    fn head(&self, out: &mut impl Write, before: &[&str]) -> io::Result<()> {
        write!(out, "  {:<26}", "")?;
        if let [floor, both] = before {
            write!(out, "{floor:>16}{both:>18}")?;
        }
        for subject in &self.who {
            write!(out, "{:>18}", subject.name())?;
        }
        writeln!(out)
    }

    /// Why something is not in the table.
    fn failures(&self, out: &mut impl Write) -> io::Result<()> {
        let of_deliveries = self.deliveries.iter().flat_map(|row| {
            self.who
                .iter()
                .zip(&row.theirs)
                .filter_map(|(who, theirs)| Some((who, row.title.as_str(), theirs.as_ref().err()?)))
        });
        let idle = self
            .who
            .iter()
            .zip(&self.idle)
            .filter_map(|(who, theirs)| Some((who, "idle", theirs.as_ref().err()?)));
        let connect = self
            .who
            .iter()
            .zip(&self.connect)
            .filter_map(|(who, theirs)| Some((who, "connect", theirs.as_ref().err()?)));
        for (who, what, error) in of_deliveries.chain(idle).chain(connect) {
            writeln!(out, "  {} failed at {what}: {error}", who.name())?;
        }
        Ok(())
    }
}

/// What of each stands in a line of the table.
fn cells<R>(out: &mut impl Write, theirs: &[Theirs<R>], cell: impl Fn(&R) -> String) -> io::Result<()> {
    for theirs in theirs {
        write!(out, "{:>18}", theirs.as_ref().map_or("failed".to_owned(), &cell))?;
    }
    Ok(writeln!(out)?)
}
