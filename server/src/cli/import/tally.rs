//! What became of each line.

use std::io::{self, Write};

use super::{
    Report,
    progress::Progress,
    requests::{Origin, Request},
};
use crate::cli::visible;

/// So many refusals are told one by one; the rest are counted.
const TOLD_MAX: u64 = 20;

/// The count of it all.
#[derive(Debug)]
pub(super) struct Tally {
    read: u64,
    added: u64,
    already: u64,
    refused: u64,
    unreadable: u64,
    progress: Progress,
}

impl Tally {
    pub(super) fn new(progress: Progress) -> Self {
        Self { read: 0, added: 0, already: 0, refused: 0, unreadable: 0, progress }
    }

    /// What the server said to a request.
    pub(super) fn report(&mut self, request: &Request, report: &Report) {
        self.read += count(request.origins.len());
        self.added += count(report.added);
        self.already += count(report.already);
        for refused in &report.refused {
            let origin = refused.line.checked_sub(1).and_then(|index| request.origins.get(index));
            let at = origin.map_or_else(|| format!("line {} of a request", refused.line), Origin::to_string);
            self.refuse(&format!("{at}: {} ({})", refused.message, refused.code));
        }
        self.progress.lines(self.read);
    }

    /// A line that was not even sent.
    pub(super) fn refused_here(&mut self, origin: &Origin, reason: &str) {
        self.read += 1;
        self.refuse(&format!("{origin}: {reason}"));
    }

    /// A file that could not be read, or not to its end.
    pub(super) fn unreadable(&mut self, what: &str) {
        self.unreadable += 1;
        self.tell(&format!("error: {what}"));
    }

    /// Whether all is in.
    pub(super) fn is_clean(&self) -> bool {
        self.refused == 0 && self.unreadable == 0
    }

    /// The whole, on a line.
    pub(super) fn summary(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { read, added, already, refused, unreadable, progress } = self;
        if *refused > TOLD_MAX {
            self.tell(&format!("… and {} more lines were refused", refused - TOLD_MAX));
        }
        let (seconds, rate) = (progress.seconds(), progress.rate(*read));
        write!(out, "{read} lines read: {added} added, {already} already there, {refused} refused")?;
        if *unreadable > 0 {
            write!(out, "; {unreadable} files not read to their end")?;
        }
        writeln!(out, " ({seconds:.1} s, {rate:.0} lines a second)")
    }

    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        if self.refused <= TOLD_MAX {
            self.tell(&format!("refused: {why}"));
        }
    }

    /// Says something about the work. What it quotes may come from anywhere.
    fn tell(&self, what: &str) {
        let line = visible(what).replace('\n', " ");
        self.progress.aside(|| {
            let _ = writeln!(io::stderr(), "{line}");
        });
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::RefusedLine, *};

    fn tally() -> Tally {
        Tally::new(Progress::of(&[]))
    }

    fn request(lines: u64) -> Request {
        let file: Arc<str> = "f".into();
        let origins = (1..=lines).map(|line| Origin { file: Arc::clone(&file), line }).collect();
        Request { body: Vec::new(), origins }
    }

    fn summary(tally: &Tally) -> String {
        let mut out = Vec::new();
        tally.summary(&mut out).unwrap();
        let line = String::from_utf8(out).unwrap();
        line.split(" (").next().unwrap().to_owned()
    }

    #[test]
    fn every_line_is_counted_once() {
        let mut tally = tally();
        let refused = RefusedLine { line: 3, code: "invalid".to_owned(), message: "no".to_owned() };
        tally.report(&request(5), &Report { added: 3, already: 1, refused: vec![refused] });
        assert!(!tally.is_clean());
        tally.refused_here(&Origin { file: "f".into(), line: 6 }, "not JSON");
        assert_eq!(summary(&tally), "6 lines read: 3 added, 1 already there, 2 refused");
    }

    #[test]
    fn only_what_is_all_in_is_clean() {
        let mut tally = tally();
        tally.report(&request(5), &Report { added: 0, already: 5, refused: vec![] });
        assert!(tally.is_clean());
        tally.unreadable("x: gone");
        assert!(!tally.is_clean());
        assert_eq!(
            summary(&tally),
            "5 lines read: 0 added, 5 already there, 0 refused; 1 files not read to their end"
        );
    }
}
