//! Programs in other languages that the tests run, with their packages, and what happens where a tool is missing.
//!
//! Packages are installed once, into `target/tests-cache`, and again only when the list of them changes. Where
//! something is missing, the test says so on one line and passes; with `CI` set it fails.
//!
//! Four worlds: Node (npm), Python (pip), the browser, and the JVM (Maven).

use std::{
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    task::spawn_blocking,
    time::timeout,
};

/// How long one script may take between two lines, and to end.
const SCRIPT_WAIT: Duration = Duration::from_mins(2);
/// Maven gives a connection up that is silent for so long; its own limit is half an hour.
const MAVEN_WAIT_MS: u32 = 60_000;
/// The version of Java that both Apache Kafka 4 and Apache Cassandra 5 run on.
const JAVA_VERSION: &str = "17";
/// Where the jars of a kit are, in its folder.
const JARS: &str = "jars";

/// An interpreter and a folder that holds scripts beside what they import.
#[derive(Debug, Clone)]
pub struct Kit {
    interpreter: PathBuf,
    folder: PathBuf,
}

/// A script that runs. Its standard output is a protocol: words for the test, and a last line of JSON.
#[derive(Debug)]
pub struct Script {
    name: String,
    process: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

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

/// Node with the packages that `folder` (of this package) locks. `None`: the test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn node(test: &str, folder: &'static str) -> anyhow::Result<Option<Kit>> {
    let (Some(node), Some(npm)) = (find("node"), find("npm")) else {
        return skip(test, "node and npm are not installed").map(|()| None);
    };
    let installed = spawn_blocking(move || {
        install(folder, "package-lock.json", |to| {
            let mut command = Command::new(&npm);
            command
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix"])
                .arg(to)
                .current_dir(to);
            Ok(vec![command])
        })
    });
    kit(test, installed.await?, |_| node)
}

/// Python with the packages that `folder` (of this package) pins. `None`: the test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn python(test: &str, folder: &'static str) -> anyhow::Result<Option<Kit>> {
    let Some(python) = find("python3") else {
        return skip(test, "python3 is not installed").map(|()| None);
    };
    let installed = spawn_blocking(move || {
        install(folder, "requirements.txt", |to| {
            let mut venv = Command::new(&python);
            venv.args(["-m", "venv", "--clear"]).arg(to.join("venv"));
            let mut pip = Command::new(to.join("venv/bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
            pip.arg(to.join("requirements.txt"));
            Ok(vec![venv, pip])
        })
    });
    kit(test, installed.await?, |folder| folder.join("venv/bin/python"))
}

/// Java with the jars that the `pom.xml` in `folder` (of this package) pins. `None`: the test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn java(test: &str, folder: &'static str) -> anyhow::Result<Option<Kit>> {
    let (Some(java), Some(maven)) = (find_java(), find("mvn")) else {
        let why = format!("a Java {JAVA_VERSION} and Maven are not installed");
        return skip(test, &why).map(|()| None);
    };
    let installed = spawn_blocking(move || {
        install(folder, "pom.xml", |to| {
            let jars = to.join(JARS);
            if jars.exists() {
                // Two versions of a jar side by side would be worse than none.
                fs::remove_dir_all(&jars)?;
            }
            let mut command = Command::new(&maven);
            command
                .args(["--quiet", "--batch-mode", "dependency:copy-dependencies", "-DincludeScope=runtime"])
                .arg(format!("-DoutputDirectory={JARS}"))
                .arg(format!("-Dmaven.wagon.rto={MAVEN_WAIT_MS}"))
                .arg(format!("-Daether.connector.requestTimeout={MAVEN_WAIT_MS}"))
                .current_dir(to);
            Ok(vec![command])
        })
    });
    kit(test, installed.await?, |_| java)
}

/// A Java of the right version: that of `JAVA_HOME`, or the one in the path.
fn find_java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let java = home.filter(|java| java.is_file()).or_else(|| find("java"))?;
    let said = Command::new(&java).arg("-version").stdin(Stdio::null()).output().ok()?;
    let wanted = format!("version \"{JAVA_VERSION}.");
    String::from_utf8_lossy(&said.stderr).contains(&wanted).then_some(java)
}

fn kit(
    test: &str,
    installed: anyhow::Result<PathBuf>,
    interpreter: impl FnOnce(&Path) -> PathBuf,
) -> anyhow::Result<Option<Kit>> {
    match installed {
        Ok(folder) => Ok(Some(Kit { interpreter: interpreter(&folder), folder })),
        Err(error) => skip(test, &format!("its packages cannot be installed: {error:#}")).map(|()| None),
    }
}

/// Copies the files of `folder` into the cache, and runs `commands` there if `list` is not the one of the last time.
fn install(
    folder: &str,
    list: &str,
    commands: impl FnOnce(&Path) -> anyhow::Result<Vec<Command>>,
) -> anyhow::Result<PathBuf> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let to = cache()?.join(folder.replace('/', "-"));
    fs::create_dir_all(&to)?;
    // Other tests may want the same packages at the same time.
    let lock = File::create(to.join(".lock"))?;
    lock.lock()?;
    for entry in fs::read_dir(&from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            replace(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    let (wanted, stamp) = (fs::read(from.join(list))?, to.join(".installed"));
    if fs::read(&stamp).ok().as_ref() == Some(&wanted) {
        return Ok(to);
    }
    for mut command in commands(&to)? {
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} ended with {}: {said}{}",
            name(command.get_program()),
            output.status,
            // Maven complains there.
            String::from_utf8_lossy(&output.stdout)
        );
    }
    fs::write(stamp, wanted)?;
    Ok(to)
}

/// Copies a file in one step: a script that starts meanwhile must not read half of it.
fn replace(from: &Path, to: &Path) -> anyhow::Result<()> {
    let new = to.with_extension("new");
    fs::copy(from, &new)?;
    Ok(fs::rename(new, to)?)
}

fn name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or(program).to_string_lossy().into_owned()
}

/// `target/tests-cache`: this program is `target/PROFILE/NAME` or `target/PROFILE/deps/NAME`.
fn cache() -> anyhow::Result<PathBuf> {
    let program = env::current_exe()?;
    let mut folders = program.ancestors().skip(1).skip_while(|folder| folder.ends_with("deps"));
    let target = folders.nth(1).context("this program is not in a target folder")?;
    Ok(target.join("tests-cache"))
}

impl Kit {
    /// The folder: what stands in that of the package, and the packages.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The interpreter.
    pub fn interpreter(&self) -> &Path {
        &self.interpreter
    }

    /// What Java takes as its class path, for a kit of [`java()`].
    pub fn class_path(&self) -> PathBuf {
        self.folder.join(JARS).join("*")
    }

    /// Starts a script of the folder. It is killed when dropped.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(&self, script: &str, variables: &[(&str, &str)]) -> anyhow::Result<Script> {
        let mut process = tokio::process::Command::new(&self.interpreter)
            .arg(script)
            .current_dir(&self.folder)
            .envs(variables.iter().copied())
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{script} cannot be started"))?;
        let input = process.stdin.take().context("no standard input")?;
        let output = process.stdout.take().context("no standard output")?;
        Ok(Script { name: script.to_owned(), process, input, lines: BufReader::new(output).lines() })
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

impl Script {
    /// Waits for a line that begins with `word`, and gives the rest of it.
    ///
    /// # Errors
    /// The script ends or falls silent.
    pub async fn expect(&mut self, word: &str) -> anyhow::Result<String> {
        loop {
            let line = self.line().await?.with_context(|| format!("{} ended before {word:?}", self.name))?;
            if let Some(rest) = line.strip_prefix(word) {
                return Ok(rest.trim().to_owned());
            }
        }
    }

    /// Hands the script a line.
    ///
    /// # Errors
    /// The script has ended.
    pub async fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Waits until the script ends well; its result is its last line.
    ///
    /// # Errors
    /// It failed, or took too long.
    pub async fn result(mut self) -> anyhow::Result<Value> {
        let mut last = String::new();
        while let Some(line) = self.line().await? {
            last = line;
        }
        let status = timeout(SCRIPT_WAIT, self.process.wait()).await.context("the script does not end")??;
        ensure!(status.success(), "{} ended with {status}; its last line: {last}", self.name);
        serde_json::from_str(&last).with_context(|| format!("{}: no result: {last}", self.name))
    }

    async fn line(&mut self) -> anyhow::Result<Option<String>> {
        let line = timeout(SCRIPT_WAIT, self.lines.next_line()).await;
        Ok(line.with_context(|| format!("{} fell silent", self.name))??)
    }
}
