//! Ends a server when whoever started it ends, even by `kill -9`.
//!
//! A small shell script reads from a pipe whose other end is ours. When the pipe closes, it kills the process that it was
//! told of last and removes the folder that it was given. Not `prctl(PR_SET_PDEATHSIG)`: that is unsafe code, knows only
//! Linux, and kills when the *thread* ends that started the process.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::Context;

/// `$1`: the folder to remove at the end, or nothing. A file that the dying process still makes is met by the next try.
const SCRIPT: &str = r#"
while read -r line; do pid=$line; done
[ -z "$pid" ] || kill -s KILL "$pid"
[ -z "$1" ] || for _ in 1 2 3 4 5; do rm -rf -- "$1" && break; done
"#;

/// See the module. Does its work when it is dropped, too.
#[derive(Debug)]
pub(super) struct Watcher {
    script: Child,
    pipe: Option<ChildStdin>,
}

impl Watcher {
    /// Starts one that removes `folder` at the end.
    pub(super) fn start(folder: Option<&Path>) -> anyhow::Result<Self> {
        let mut script = Command::new("sh")
            .args(["-c", SCRIPT, "watcher"])
            .arg(folder.unwrap_or_else(|| Path::new("")))
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("no watcher can be started")?;
        let pipe = script.stdin.take();
        Ok(Self { script, pipe })
    }

    /// Watches over this process from here on.
    pub(super) fn watch(&mut self, pid: u32) -> anyhow::Result<()> {
        self.tell(&pid.to_string())
    }

    /// Watches over nothing: the process has been waited for, and its id may become another's.
    pub(super) fn rest(&mut self) -> anyhow::Result<()> {
        self.tell("")
    }

    fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        let pipe = self.pipe.as_mut().context("the watcher has no pipe")?;
        pipe.write_all(format!("{line}\n").as_bytes()).context("the watcher has ended")
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.pipe = None;
        // So that the folder is gone when we are.
        self.script.wait().ok();
    }
}
