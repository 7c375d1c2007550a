//! Go, with the modules that a program needs.

use std::process::Command;

use super::{Kit, find, install::Source, skip};

/// Where the program is, in the kit's folder.
const PROGRAM: &str = "bin/program";

/// The program of the files of `folders` (of this package), with the modules that their `go.sum` locks. It takes the place
/// of an interpreter: the name of a script is its argument. `None`: the test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn go(test: &str, folders: &[&str]) -> anyhow::Result<Option<Kit>> {
    let Some(go) = find("go") else {
        return skip(test, "go is not installed").map(|()| None);
    };
    // All of them are compiled.
    let source = Source::of(folders, |_| true)?;
    let installed = source.install(move |to| {
        let mut command = Command::new(&go);
        command
            .args(["build", "-mod=readonly", "-buildvcs=false", "-o", PROGRAM, "."])
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .current_dir(to);
        Ok(vec![command])
    });
    Kit::of(test, installed.await, |folder| folder.join(PROGRAM))
}
