//! Signals to processes that the tests started.

use std::process::Stdio;

use anyhow::ensure;
use tokio::process::Command;

/// Sends `signal` (`TERM`, `KILL`, `STOP`, `CONT`) to a process that has not been waited for yet: so the id is still its own.
///
/// # Errors
/// There is no such process.
pub async fn send(pid: u32, signal: &str) -> anyhow::Result<()> {
    let sent = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .await?;
    ensure!(sent.success(), "SIG{signal} cannot be sent to the process {pid}");
    Ok(())
}
