//! A script that runs, and the way in which a test talks with it.

use std::{
    fs::File,
    io::{Read, Seek},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// How long one script may take between two lines, and to end.
pub(super) const SCRIPT_WAIT: Duration = Duration::from_mins(2);

/// A script that runs. Its standard output is a protocol: words for the test, and a last line of JSON. What it writes to
/// the standard error is in the error when it fails.
#[derive(Debug)]
pub struct Script {
    name: String,
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    last: String,
    complaints: File,
}

impl Script {
    pub(super) fn start(name: &str, mut command: Command) -> anyhow::Result<Self> {
        // A file and not a pipe: nobody need read it for the script to go on.
        let complaints = tempfile::tempfile()?;
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(complaints.try_clone()?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let input = process.stdin.take().context("no standard input")?;
        let output = process.stdout.take().context("no standard output")?;
        let lines = BufReader::new(output).lines();
        Ok(Self { name: name.to_owned(), process, input, lines, last: String::new(), complaints })
    }

    /// Waits for a line that begins with `word`, and gives the rest of it.
    ///
    /// # Errors
    /// The script ends or falls silent.
    pub async fn expect(&mut self, word: &str) -> anyhow::Result<String> {
        while let Some(line) = self.line().await? {
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim().to_owned());
            }
        }
        let said = self.complaints();
        Err(anyhow::anyhow!("{} ended before {word:?}: {said}", self.name))
    }

    /// Waits for the next line. `None`: there is no more.
    ///
    /// # Errors
    /// The script falls silent.
    pub async fn line(&mut self) -> anyhow::Result<Option<String>> {
        let Ok(line) = timeout(SCRIPT_WAIT, self.lines.next_line()).await else {
            let said = self.complaints();
            return Err(anyhow::anyhow!("{} fell silent: {said}", self.name));
        };
        let line = line?;
        if let Some(line) = &line {
            self.last.clone_from(line);
        }
        Ok(line)
    }

    /// Hands the script a line.
    ///
    /// # Errors
    /// The script has ended.
    pub async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Waits until the script ends well; its result is its last line.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub async fn result(mut self) -> anyhow::Result<Value> {
        while self.line().await?.is_some() {}
        let status = timeout(SCRIPT_WAIT, self.process.wait()).await.context("the script does not end")??;
        let said = self.complaints();
        let Self { name, last, .. } = &self;
        ensure!(status.success(), "{name} ended with {status}; its last line: {last}\n{said}");
        serde_json::from_str(last).with_context(|| format!("{name}: no result: {last}"))
    }

    /// What it wrote to its standard error.
    fn complaints(&mut self) -> String {
        let mut said = String::new();
        // Moves the place where the script writes too; it is at its end, or has lost.
        let read = self.complaints.rewind().and_then(|()| self.complaints.read_to_string(&mut said));
        read.map_or_else(|error| error.to_string(), |_| said)
    }
}
