//! Python, with packages of `PyPI`.

use std::process::Command;

use super::{Kit, find, install::Source, skip};

/// Python with the packages that the `requirements.txt` among the files of `folders` (of this package) pins. `None`: the
/// test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn python(test: &str, folders: &[&str]) -> anyhow::Result<Option<Kit>> {
    let Some(python) = find("python3") else {
        return skip(test, "python3 is not installed").map(|()| None);
    };
    let source = Source::of(folders, |name| name == "requirements.txt")?;
    let installed = source.install(move |to| {
        let mut venv = Command::new(&python);
        venv.args(["-m", "venv", "--clear"]).arg(to.join("venv"));
        let mut pip = Command::new(to.join("venv/bin/python"));
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
        pip.arg(to.join("requirements.txt"));
        Ok(vec![venv, pip])
    });
    Kit::of(test, installed.await, |folder| folder.join("venv/bin/python"))
}
