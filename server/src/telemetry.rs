//! Logs: to standard error, so that standard output belongs to results.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

/// What a server says when nothing else is chosen: warnings, and what its own parts tell.
pub const SERVER: &str = "warn,server=info,ingest=info,fanout=info,store=info,kernel=info";
/// What a command says: what goes wrong in a server within its process. Its results speak for the rest.
pub const COMMAND: &str = "error";

/// Begins logging. `TIDINGS_LOG` chooses what (`debug`, `fanout=debug,info`); without it, `default` does.
pub fn start(default: &str) {
    let filter = EnvFilter::try_from_env("TIDINGS_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Only a test that starts twice in one process gets an error here, and its first start holds.
    let _ = builder.try_init();
}
