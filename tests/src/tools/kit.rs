//! What scripts run on.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::time::timeout;

use super::{Script, jvm::JARS, script::SCRIPT_WAIT, skip};

/// An interpreter and a folder that holds scripts beside what they import.
#[derive(Debug, Clone)]
pub struct Kit {
    interpreter: PathBuf,
    folder: PathBuf,
}

impl Kit {
    /// What came of an installation. `None`: the test is skipped.
    pub(super) fn of(
        test: &str,
        installed: anyhow::Result<PathBuf>,
        interpreter: impl FnOnce(&Path) -> PathBuf,
    ) -> anyhow::Result<Option<Self>> {
        match installed {
            Ok(folder) => Ok(Some(Self { interpreter: interpreter(&folder), folder })),
            Err(error) => skip(test, &format!("its packages cannot be installed: {error:#}")).map(|()| None),
        }
    }

    /// The folder: the files of the kit's source, and the packages.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The interpreter.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// What Java takes as its class path, for a kit of [`super::java()`].
    pub fn class_path(&self) -> PathBuf {
        self.folder.join(JARS).join("*")
    }

    /// Starts a script of the folder. It is killed when dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, script: &str, variables: &[(&str, &str)]) -> anyhow::Result<Script> {
        let mut command = tokio::process::Command::new(&self.interpreter);
        command
            .arg(script)
            .current_dir(&self.folder)
            .envs(variables.iter().copied())
            .env("PYTHONUNBUFFERED", "1");
        Script::start(script, command)
    }

    /// Runs a script with arguments to its end, and gives what it printed.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub async fn print(&self, script: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let output = tokio::process::Command::new(&self.interpreter)
            .arg(script)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output =
            timeout(SCRIPT_WAIT, output).await.with_context(|| format!("{script} does not end"))??;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script} ended with {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs a script to its end; its result is its last line.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub async fn run(&self, script: &str, variables: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.start(script, variables)?.result().await
    }
}
