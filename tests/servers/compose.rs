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

/// What only one role has goes there, and not where all other questions go.
#[test]
fn the_front_sends_each_address_to_the_role_that_has_it() -> anyhow::Result<()> {
    let front = fs::read_to_string(folder().join("nginx.conf"))?;
    let locations: Vec<_> =
        front.split("location ").skip(1).filter_map(|rest| rest.split_once(" {")).collect();
    for (path, role) in [
        ("/connection/websocket", "fanout"),
        ("/v1/conversations/tea/stream", "fanout"),
        ("/v1/conversations/stream", "$role"),
        ("/v1/conversations/tea/messages", "$role"),
        ("/v1/conversations/tea/messages/stream", "$role"),
        ("/v1/inbox", "$role"),
        ("/subjects", "store"),
    ] {
        // An expression goes before the prefixes, and of these the longest counts.
        let by_expression = locations.iter().find(|(pattern, _)| {
            pattern.strip_prefix("~ ").is_some_and(|expression| matches(expression, path))
        });
        let prefixes = locations.iter().filter(|(pattern, _)| path.starts_with(pattern));
        let chosen = by_expression.or(prefixes.max_by_key(|(pattern, _)| pattern.len()));
        let (_, rest) = chosen.with_context(|| format!("{path}: no location"))?;
        let upstream =
            between(rest, "proxy_pass http://", ";").with_context(|| format!("{path}: not passed on"))?;
        ensure!(upstream == role, "{path} goes to {upstream}");
    }
    Ok(())
}

/// Who may open a WebSocket depends on the host that was asked for. A location that sets any header inherits none.
#[test]
fn the_front_tells_the_processes_which_host_was_asked_for() -> anyhow::Result<()> {
    let front = fs::read_to_string(folder().join("nginx.conf"))?;
    let (_, blocks) = front.split_once("server {\n    listen").context("no server")?;
    for block in blocks.split("location ") {
        let sets = block.contains("proxy_set_header");
        ensure!(!sets || block.contains("proxy_set_header Host $http_host;"), "no host in: {block}");
    }
    Ok(())
}

/// Whether `path` is of an expression `^…[^/]+…$`: a segment between two texts.
fn matches(expression: &str, path: &str) -> bool {
    let whole = expression.strip_prefix('^').and_then(|expression| expression.strip_suffix('$'));
    let Some((before, after)) = whole.and_then(|whole| whole.split_once("[^/]+")) else { return false };
    let segment = path.strip_prefix(before).and_then(|path| path.strip_suffix(after));
    segment.is_some_and(|segment| !segment.is_empty() && !segment.contains('/'))
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docker")
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}
