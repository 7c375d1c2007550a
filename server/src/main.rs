//! The `tidings` program: reads the command line, runs one command, and says how it ended.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::Parser;
use server::cli::{self, Cli};
use tokio::runtime::Builder;

/// A sixth to a fifth less processor time for a post than with the allocator of the C library (`docs/adr/0016`).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let telemetry = match cli.start_telemetry() {
        Ok(telemetry) => telemetry,
        Err(error) => return failed(&error),
    };
    let threads = match cli.threads() {
        Ok(threads) => threads,
        Err(error) => return failed(&error),
    };
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(&anyhow::Error::new(error).context("cannot start")),
    };
    let done = runtime.block_on(cli.run());
    // With what is left on it, the last that holds the log: only when that is closed is all of it in its one file.
    drop(runtime);
    // Out of the runtime: it blocks.
    telemetry.end();
    match done {
        Ok(code) => code,
        // Whoever read the results has enough of them: `tidings export … | head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    // It may quote what a server or a file said, which must not steer the terminal.
    let line = cli::visible(&format!("{error:#}")).replace('\n', " ");
    let _ = writeln!(io::stderr(), "error: {line}");
    ExitCode::FAILURE
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
