//! Where the binary `tidings` is. Cargo builds it: the tests of this package alone would not.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use anyhow::{Context, ensure};

/// The path of the binary that belongs to these sources, built at first use. `TIDINGS_BIN` names another one.
pub fn path() -> anyhow::Result<PathBuf> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    PATH.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

/// Runs a command of the binary to its end; standard input is empty.
///
/// # Errors
/// It cannot be started.
pub async fn output(args: &[&str]) -> anyhow::Result<Output> {
    let mut command = tokio::process::Command::new(path()?);
    Ok(command.args(args).stdin(Stdio::null()).kill_on_drop(true).output().await?)
}

/// The same, and gives what it printed.
///
/// # Errors
/// It failed; what it said is in the error.
pub async fn run(args: &[&str]) -> anyhow::Result<String> {
    let output = output(args).await?;
    let (stdout, stderr) = (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{args:?} ended with {}: {stdout}{stderr}", output.status);
    Ok(stdout)
}

fn build() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("TIDINGS_BIN") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--package",
        "server",
        "--bin",
        "tidings",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let built = command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo cannot be run")?;
    ensure!(built.status.success(), "the binary cannot be built: cargo ended with {}", built.status);
    let messages = String::from_utf8(built.stdout)?;
    let mut executables = messages.lines().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message.get("executable")?.as_str().map(PathBuf::from)
    });
    executables.next_back().context("cargo did not say where the binary is")
}
