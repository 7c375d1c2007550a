//! Logs: to standard error, so that standard output belongs to results.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

/// Begins logging. `TIDINGS_LOG` chooses what (`debug`, `fanout=debug,info`); the default is warnings, and what the
/// server itself says.
pub fn start() {
    let filter = EnvFilter::try_from_env("TIDINGS_LOG").unwrap_or_else(|_| {
        EnvFilter::new("warn,server=info,ingest=info,fanout=info,store=info,kernel=info")
    });
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // Only a test that starts twice in one process gets an error here, and its first start holds.
    let _ = builder.try_init();
}
