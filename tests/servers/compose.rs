//! The files of `docker/`, as far as they can be judged without an engine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use tests::tools;

#[test]
fn the_compose_file_is_one() -> anyhow::Result<()> {
    let client = tools::find("docker").filter(|docker| {
        let version = Command::new(docker).args(["compose", "version"]).stdin(Stdio::null()).output();
        version.is_ok_and(|output| output.status.success())
    });
    let Some(client) = client else {
        return tools::pass_over("the compose file", "docker with its plugin compose is not installed");
    };
    let file = folder().join("compose.yaml");
    // With every profile, or what belongs to one is not looked at.
    let output = Command::new(client)
        .args(["compose", "--profile", "*", "--file"])
        .arg(file)
        .args(["config", "--quiet"])
        .stdin(Stdio::null())
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The image that the tests stand for is the one that is deployed.
#[test]
fn the_compose_file_has_the_kafka_of_the_tests() -> anyhow::Result<()> {
    let pom = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/kafka/pom.xml"))?;
    let version = between(&pom, "<kafka.version>", "</kafka.version>").context("no version of Kafka")?;
    let compose = fs::read_to_string(folder().join("compose.yaml"))?;
    ensure!(compose.contains(&format!("image: apache/kafka:{version}\n")), "the image is not of {version}");
    Ok(())
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker")
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}
