//! Node, with packages of npm.

use std::process::Command;

use super::{Kit, find, install::Source, skip};

/// Node with the packages that the `package-lock.json` among the files of `folders` (of this package) locks. `None`: the
/// test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn node(test: &str, folders: &[&str]) -> anyhow::Result<Option<Kit>> {
    let (Some(node), Some(npm)) = (find("node"), find("npm")) else {
        return skip(test, "node and npm are not installed").map(|()| None);
    };
    let source = Source::of(folders, |name| name == "package-lock.json")?;
    let installed = source.install(move |to| {
        let mut command = Command::new(&npm);
        command
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
            .arg(to)
            .current_dir(to);
        Ok(vec![command])
    });
    Kit::of(test, installed.await, |_| node)
}
