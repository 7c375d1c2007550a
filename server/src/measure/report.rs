//! How a measurement ends, and how it is told.

use std::io::{self, StdoutLock, Write};

use serde::Serialize;

/// What a measurement brought.
pub trait Report: Serialize {
    /// Writes it for people.
    ///
    /// # Errors
    /// Those of the output.
    fn print(&self, out: &mut StdoutLock<'_>) -> io::Result<()>;
}

/// Writes it for people or, as one JSON object, for programs.
///
/// # Errors
/// Those of the output.
pub fn tell(report: &impl Report, json: bool) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
    } else {
        report.print(&mut out)?;
    }
    Ok(())
}

/// Lets a measurement end, or the one who waits for it: stopped by hand, what was made is still cleared away.
///
/// # Errors
/// Those of the measurement, or that it was stopped.
pub async fn unless_stopped<R>(measuring: impl Future<Output = anyhow::Result<R>>) -> anyhow::Result<R> {
    tokio::select! {
        measured = measuring => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped by Ctrl-C; nothing was measured")),
    }
}
