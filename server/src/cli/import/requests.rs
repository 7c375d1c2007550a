//! Lines put together into requests.

use std::{fmt, mem, sync::Arc};

use schemas::caps;

/// Most bytes in a request: far below what the server takes, so that one arrives in time over slow networks too.
pub(super) const REQUEST_LEN_MAX: usize = 1_024 * 1_024;
/// Longest line, in bytes: as long as any command. One such line always fits into a request.
pub(super) const LINE_LEN_MAX: usize = 128 * 1_024;

const _: () = assert!(LINE_LEN_MAX < REQUEST_LEN_MAX && (REQUEST_LEN_MAX as u64) < caps::IMPORT_BODY_LEN_MAX);

/// Where a line stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    /// The file.
    pub(super) file: Arc<str>,
    /// From 1.
    pub(super) line: u64,
}

/// Lines that go to the server together.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The lines, each with its line break.
    pub(super) body: Vec<u8>,
    /// Where each line stands.
    pub(super) origins: Vec<Origin>,
}

/// Puts requests together, none larger than a server takes.
#[derive(Debug, Default)]
pub(super) struct Requests {
    next: Request,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl Requests {
    /// Adds a line without its line break; gives out a request that has no room for it any more. The line has at most
    /// [`LINE_LEN_MAX`] bytes.
    pub(super) fn push(&mut self, origin: Origin, line: &[u8]) -> Option<Request> {
        let Request { body, origins } = &self.next;
        let is_full =
            origins.len() == caps::IMPORT_LINES_MAX || body.len() + line.len() + 1 > REQUEST_LEN_MAX;
        let full = is_full.then(|| mem::take(&mut self.next));
        self.next.body.extend_from_slice(line);
        self.next.body.push(b'\n');
        self.next.origins.push(origin);
        full
    }

    /// What is left.
    pub(super) fn finish(self) -> Option<Request> {
        Some(self.next).filter(|request| !request.origins.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(lines: &[Vec<u8>]) -> Vec<Request> {
        let file: Arc<str> = "f".into();
        let mut requests = Requests::default();
        let mut done = Vec::new();
        for (line, number) in lines.iter().zip(1..) {
            done.extend(requests.push(Origin { file: Arc::clone(&file), line: number }, line));
        }
        done.extend(requests.finish());
        done
    }

    #[test]
    fn a_request_has_at_most_a_thousand_lines() {
        let at = requests(&vec![b"{}".to_vec(); 1_000]);
        assert_eq!(at.iter().map(|request| request.origins.len()).collect::<Vec<_>>(), [1_000]);
        let past = requests(&vec![b"{}".to_vec(); 1_001]);
        assert_eq!(past.iter().map(|request| request.origins.len()).collect::<Vec<_>>(), [1_000, 1]);
        assert_eq!(past[1].origins[0].to_string(), "f:1001");
        assert_eq!(past[1].body, b"{}\n");
    }

    #[test]
    fn a_request_has_at_most_its_bytes() {
        let line = vec![b'x'; LINE_LEN_MAX - 1];
        let at = requests(&vec![line.clone(); 8]);
        assert_eq!(at.iter().map(|request| request.body.len()).collect::<Vec<_>>(), [REQUEST_LEN_MAX]);
        let longer = [vec![line; 7], vec![vec![b'x'; LINE_LEN_MAX]]].concat();
        let past = requests(&longer);
        assert_eq!(past.iter().map(|request| request.origins.len()).collect::<Vec<_>>(), [7, 1]);
    }

    #[test]
    fn nothing_makes_no_request_and_nothing_is_lost() {
        assert!(requests(&[]).is_empty());
        let lines: Vec<Vec<u8>> = (0..2_500).map(|number: u32| number.to_string().into_bytes()).collect();
        let sent: Vec<u8> = requests(&lines).into_iter().flat_map(|request| request.body).collect();
        assert_eq!(sent, lines.iter().flat_map(|line| [&line[..], b"\n"].concat()).collect::<Vec<u8>>());
    }
}
