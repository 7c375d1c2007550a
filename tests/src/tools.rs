//! Programs in other languages that the tests run, with their packages, and what happens where a tool is missing.
//!
//! Packages are installed once, into `target/tests-cache`, and again only when the list of them changes. Where
//! something is missing, the test says so on one line and passes; with `CI` set it fails.
//!
//! Five worlds: Node (npm), Python (pip), Go (its modules), the JVM (Maven), and the browser.

use std::{
    env,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::bail;

mod go;
mod install;
mod jvm;
mod kit;
mod node;
mod python;
mod script;

pub use go::go;
pub use install::target;
pub use jvm::java;
pub use kit::Kit;
pub use node::node;
pub use python::python;
pub use script::Script;

/// Whether a program is in the path, and where.
pub fn find(program: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The browser: what `TIDINGS_CHROMIUM` names, or one in the path.
pub fn find_browser() -> Option<PathBuf> {
    let named = env::var_os("TIDINGS_CHROMIUM").map(PathBuf::from);
    named.or_else(|| ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(find))
}

/// Says that a test is skipped.
///
/// # Errors
/// `CI` is set: there everything must run.
pub fn skip(test: &str, why: &str) -> anyhow::Result<()> {
    if env::var_os("CI").is_some() {
        bail!("{test} cannot run, and with CI set it must: {why}");
    }
    pass_over(test, why)
}

/// As [`skip`], for what need not be there, not even with `CI`.
///
/// # Errors
/// It cannot be said.
pub fn pass_over(test: &str, why: &str) -> anyhow::Result<()> {
    // Not by the macro, whose output the test runner keeps to itself when a test passes.
    writeln!(io::stderr(), "skipped: {test} because {why}")?;
    Ok(())
}
