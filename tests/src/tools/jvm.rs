//! Java, with jars of Maven.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Kit, find, install::Source, skip};

/// Maven gives a connection up that is silent for so long; its own limit is half an hour.
const MAVEN_WAIT_MS: u32 = 60_000;
/// The version of Java that both Apache Kafka 4 and Apache Cassandra 5 run on.
const JAVA_VERSION: &str = "17";
/// Where the jars of a kit are, in its folder.
pub(super) const JARS: &str = "jars";

/// Java with the jars that the `pom.xml` among the files of `folders` (of this package) pins. `None`: the test is skipped.
///
/// # Errors
/// As [`skip`].
pub async fn java(test: &str, folders: &[&str]) -> anyhow::Result<Option<Kit>> {
    let (Some(java), Some(maven)) = (find_java(), find("mvn")) else {
        let why = format!("a Java {JAVA_VERSION} and Maven are not installed");
        return skip(test, &why).map(|()| None);
    };
    let source = Source::of(folders, |name| name == "pom.xml")?;
    let installed = source.install(move |to| {
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
    });
    Kit::of(test, installed.await, |_| java)
}

/// A Java of the right version: that of `JAVA_HOME`, or the one in the path.
fn find_java() -> Option<PathBuf> {
    let home = env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java"));
    let java = home.filter(|java| java.is_file()).or_else(|| find("java"))?;
    let said = Command::new(&java).arg("-version").stdin(Stdio::null()).output().ok()?;
    let wanted = format!("version \"{JAVA_VERSION}.");
    String::from_utf8_lossy(&said.stderr).contains(&wanted).then_some(java)
}
