//! Files become lines, and lines requests, on a thread of their own.
//!
//! Invariant: memory is bounded whatever the files hold: lines by their longest, requests by the queue.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Cursor, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use serde::{Deserializer, de};
use tokio::sync::mpsc;

use super::requests::{LINE_LEN_MAX, Origin, Request, Requests};

/// Requests that wait to be sent.
const WAITING_MAX: usize = 2;
const BUFFER_LEN: usize = 64 * 1_024;
const GZIP: &[u8] = &[0x1f, 0x8b];
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What comes out of the files.
#[derive(Debug)]
pub(super) enum Step {
    /// Lines to be sent.
    Send(Request),
    /// A line that is no JSON object.
    Refused { origin: Origin, reason: String },
    /// A file that cannot be read, or not to its end.
    Unreadable { what: String },
}

/// The receiver is gone: nobody wants more.
struct Unwanted;

/// Counts the bytes that are read, for the progress.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

/// A line of a file.
enum ReadLine {
    /// In the buffer, without its line break.
    Line,
    /// Longer than [`LINE_LEN_MAX`]; skipped.
    TooLong,
    End,
}

/// Begins to read the files, in this order. `bytes` counts what was read of them, as it stands on disk.
pub(super) fn read(files: Vec<PathBuf>, bytes: Arc<AtomicU64>) -> anyhow::Result<mpsc::Receiver<Step>> {
    let (steps, receiver) = mpsc::channel(WAITING_MAX);
    // A thread that nobody waits for: reading a terminal may never end.
    thread::Builder::new()
        .name("import-read".to_owned())
        .spawn(move || {
            // It ends early when the receiver is gone.
            let _ = read_all(&files, &bytes, &steps);
        })
        .context("cannot start a thread to read the files")?;
    Ok(receiver)
}

fn read_all(files: &[PathBuf], bytes: &Arc<AtomicU64>, steps: &mpsc::Sender<Step>) -> Result<(), Unwanted> {
    let mut requests = Requests::default();
    for path in files {
        match open(path, bytes) {
            Ok(reader) => read_file(&name(path), reader, &mut requests, steps)?,
            Err(error) => give(steps, Step::Unreadable { what: format!("{}: {error}", name(path)) })?,
        }
    }
    requests.finish().map_or(Ok(()), |request| give(steps, Step::Send(request)))
}

fn read_file(
    name: &Arc<str>,
    mut reader: Box<dyn BufRead>,
    requests: &mut Requests,
    steps: &mpsc::Sender<Step>,
) -> Result<(), Unwanted> {
    let mut line = Vec::new();
    for number in 1.. {
        let origin = Origin { file: Arc::clone(name), line: number };
        match read_line(&mut reader, &mut line) {
            Ok(ReadLine::End) => break,
            Ok(ReadLine::TooLong) => {
                let reason = format!("the line has more than {LINE_LEN_MAX} bytes");
                give(steps, Step::Refused { origin, reason })?;
                continue;
            }
            Ok(ReadLine::Line) => {}
            Err(error) => {
                let what = format!("{origin}: cannot be read on: {error}; the lines before were taken");
                return give(steps, Step::Unreadable { what });
            }
        }
        let text = if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line) } else { &line };
        if text.trim_ascii().is_empty() {
            continue;
        }
        match check(text) {
            Ok(()) => requests.push(origin, text).map_or(Ok(()), |full| give(steps, Step::Send(full)))?,
            Err(reason) => give(steps, Step::Refused { origin, reason })?,
        }
    }
    Ok(())
}

fn give(steps: &mpsc::Sender<Step>, step: Step) -> Result<(), Unwanted> {
    steps.blocking_send(step).map_err(|_| Unwanted)
}

fn name(path: &Path) -> Arc<str> {
    if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string().into() }
}

fn open(path: &Path, bytes: &Arc<AtomicU64>) -> io::Result<Box<dyn BufRead>> {
    if path.as_os_str() == "-" {
        return decoded(Counted { inner: io::stdin(), bytes: Arc::clone(bytes) });
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder; name the files in it"));
    }
    decoded(Counted { inner: file, bytes: Arc::clone(bytes) })
}

/// What the reader holds, unpacked if it is gzip: told by the content, as names lie and pipes have none.
fn decoded(mut reader: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut first = Vec::new();
    let bytes = u64::try_from(GZIP.len()).unwrap_or(0);
    reader.by_ref().take(bytes).read_to_end(&mut first)?;
    let is_gzip = first == GZIP;
    let whole = BufReader::with_capacity(BUFFER_LEN, Cursor::new(first).chain(reader));
    if is_gzip {
        Ok(Box::new(BufReader::with_capacity(BUFFER_LEN, MultiGzDecoder::new(whole))))
    } else {
        Ok(Box::new(whole))
    }
}

/// Reads the next line into `line`. Of one that is too long no more than [`LINE_LEN_MAX`] is kept in memory.
fn read_line(reader: &mut dyn BufRead, line: &mut Vec<u8>) -> io::Result<ReadLine> {
    line.clear();
    let limit = u64::try_from(LINE_LEN_MAX).unwrap_or(u64::MAX) + 1;
    if reader.take(limit).read_until(b'\n', line)? == 0 {
        return Ok(ReadLine::End);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(ReadLine::Line);
    }
    if line.len() <= LINE_LEN_MAX {
        return Ok(ReadLine::Line);
    }
    reader.skip_until(b'\n')?;
    Ok(ReadLine::TooLong)
}

/// Whether the line is a JSON object at all; what stands in it is the server's to judge.
fn check(line: &[u8]) -> Result<(), String> {
    struct Object;

    impl<'de> de::Visitor<'de> for Object {
        type Value = ();

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
            Ok(())
        }
    }

    let text = std::str::from_utf8(line).map_err(|error| format!("the line is not UTF-8: {error}"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    json.deserialize_map(Object)
        .and_then(|()| json.end())
        .map_err(|error| format!("the line is not a JSON object: {error}"))
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes out of files with these contents: the lines, and what is said about the others.
    fn steps(contents: &[&[u8]]) -> (String, Vec<String>) {
        let dir = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = contents
            .iter()
            .enumerate()
            .map(|(number, content)| {
                let path = dir.path().join(number.to_string());
                std::fs::write(&path, content).unwrap();
                path
            })
            .collect();
        let mut receiver = read(files, Arc::default()).unwrap();
        let (mut sent, mut said) = (Vec::new(), Vec::new());
        let prefix = format!("{}/", dir.path().display());
        while let Some(step) = receiver.blocking_recv() {
            match step {
                Step::Send(request) => sent.extend(request.body),
                Step::Refused { origin, reason } => {
                    said.push(format!("{origin}: {reason}").replace(&prefix, ""));
                }
                Step::Unreadable { what } => said.push(what.replace(&prefix, "")),
            }
        }
        (String::from_utf8(sent).unwrap(), said)
    }

    #[test]
    fn gzip_is_told_by_its_content_also_where_several_are_joined() {
        let joined = [gzip(b"{\"a\":1}\n"), gzip(b"{\"a\":2}\n")].concat();
        assert_eq!(steps(&[&joined, b"{\"a\":3}"]), ("{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n".to_owned(), vec![]));
    }

    #[test]
    fn one_byte_at_a_time_is_still_gzip() {
        struct Slow(Cursor<Vec<u8>>);
        impl Read for Slow {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let one = buffer.len().min(1);
                self.0.read(&mut buffer[..one])
            }
        }
        let mut text = String::new();
        decoded(Slow(Cursor::new(gzip(b"hello")))).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
        for short in [&b""[..], b"\x1f"] {
            let mut bytes = Vec::new();
            decoded(Cursor::new(short.to_vec())).unwrap().read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, short);
        }
    }

    #[test]
    fn a_bad_line_costs_no_other() {
        let (sent, said) =
            steps(&[b"\xef\xbb\xbf{\"a\":1}\r\n\n{\"a\":\n[1]\n{} x\n\"\xff\"\n  \n{\"a\":2}"]);
        assert_eq!(sent, "{\"a\":1}\r\n{\"a\":2}\n");
        let lines: Vec<&str> = said.iter().filter_map(|line| line.get(..4)).collect();
        assert_eq!(lines, ["0:3:", "0:4:", "0:5:", "0:6:"], "{said:?}");
    }

    #[test]
    fn a_file_that_breaks_off_is_told_and_the_next_one_is_read() {
        let whole = gzip("{\"a\":1}\n".repeat(20_000).as_bytes());
        let (sent, said) = steps(&[&whole[..whole.len() - 9], b"{\"b\":1}\n"]);
        assert!(sent.starts_with("{\"a\":1}\n") && sent.ends_with("{\"b\":1}\n"));
        assert!(said.len() == 1 && said[0].contains("cannot be read on"), "{said:?}");
    }

    #[test]
    fn what_is_not_there_is_told() {
        let mut receiver = read(vec!["/nowhere/x".into(), "/".into()], Arc::default()).unwrap();
        for expected in ["/nowhere/x: ", "/: it is a folder"] {
            let step = receiver.blocking_recv();
            assert!(
                matches!(&step, Some(Step::Unreadable { what }) if what.starts_with(expected)),
                "{step:?}"
            );
        }
        assert!(receiver.blocking_recv().is_none());
    }

    #[test]
    fn a_line_may_have_its_limit_and_not_one_byte_more() {
        let object = |len: usize| format!("{{\"a\":\"{}\"}}\n", "x".repeat(len - 8));
        let (at, past) = (object(LINE_LEN_MAX), object(LINE_LEN_MAX + 1));
        let (sent, said) = steps(&[[&past[..], &at[..], &past[..], "{}"].concat().as_bytes()]);
        assert_eq!(sent.len(), at.len() + 3);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].starts_with("0:3: the line has more than"), "{said:?}");
    }
}
