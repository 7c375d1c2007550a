//! What operators see: metrics and health.

use std::process::Stdio;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Observer, Server, address::free_address, scrape::Scrape, tools, wait::until};
use tokio::{io::AsyncWriteExt, process::Command};

/// Everything that a server counts after some traffic.
async fn after_traffic() -> anyhow::Result<(Server, Scrape)> {
    let server = Server::start().await?;
    let ann = server.api("ann").await?;
    ann.create("tea").await?;
    let session = Observer::start(&server.url(), ann.token(), "tea");
    session.subscribed(1).await?;
    session.reached(1).await?;
    for number in 0..5 {
        ann.post("tea", &format!("m-{number}"), "hi").await.accepted()?;
    }
    ann.post("tea", "m-0", "hi").await.accepted()?;
    ann.post("nowhere", "m-0", "hi").await.refusal()?;
    ann.messages("tea").await?;
    session.reached(6).await?;
    // Positions are looked up every few seconds.
    let scrape = until("the positions", async || {
        let scrape = Scrape::of(&server.url()).await?;
        let level = ["tidings_log_tail_position", "tidings_mirror_position", "tidings_history_position"];
        let sums = level.into_iter().map(|name| scrape.sum(name, &["partition=\"0\""]));
        let all = sums.collect::<anyhow::Result<Vec<_>>>()?.into_iter().all(|position| position >= 6.0);
        Ok(all.then_some(scrape))
    });
    let scrape = scrape.await?;
    Ok((server, scrape))
}

#[tokio::test]
async fn traffic_is_counted() -> anyhow::Result<()> {
    let (_server, scrape) = after_traffic().await?;
    for (name, labels, expected) in [
        ("tidings_commands_total", &["type=\"MessagePosted\"", "code=\"ok\""][..], 5.0),
        ("tidings_commands_total", &["code=\"repeated\""], 1.0),
        ("tidings_commands_total", &["code=\"unknown_conversation\""], 1.0),
        ("tidings_command_duration_seconds_count", &[], 8.0),
        ("tidings_append_duration_seconds_count", &[], 6.0),
        ("tidings_history_events_total", &[], 6.0),
        ("tidings_deliveries_total", &[], 5.0),
        ("tidings_delivery_latency_seconds_count", &[], 5.0),
        ("tidings_delivery_latency_seconds_bucket", &["le=\"+Inf\""], 5.0),
        ("tidings_sessions", &[], 1.0),
        ("tidings_subscriptions", &[], 1.0),
        ("tidings_resumes_total", &["outcome=\"recovered\""], 1.0),
        ("tidings_mirror_lag_records", &[], 0.0),
        ("tidings_http_requests_total", &["route=\"command\"", "status=\"201\""], 6.0),
        ("tidings_http_requests_total", &["route=\"command\"", "status=\"404\""], 1.0),
        ("tidings_build_info", &[], 1.0),
    ] {
        let sum = scrape.sum(name, labels)?;
        ensure!((sum - expected).abs() < 0.5, "{name} {labels:?}: {sum}\n{}", scrape.text());
    }
    for name in [
        "tidings_history_apply_duration_seconds_count",
        "tidings_fill_pages_total",
        "tidings_ready",
        "process_resident_memory_bytes",
        "process_open_fds",
    ] {
        ensure!(scrape.sum(name, &[])? >= 1.0, "{name}\n{}", scrape.text());
    }
    for personal in ["tea", "ann", "nowhere"] {
        ensure!(!scrape.text().contains(&format!("\"{personal}\"")), "{personal}\n{}", scrape.text());
    }
    Ok(())
}

#[tokio::test]
async fn prometheus_has_nothing_to_complain_of() -> anyhow::Result<()> {
    let Some(promtool) = tools::find("promtool") else {
        return tools::skip("the check of the metrics", "promtool is not installed (package prometheus)");
    };
    let (_server, scrape) = after_traffic().await?;
    let mut process = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = process.stdin.take().context("no standard input")?;
    input.write_all(scrape.text().as_bytes()).await?;
    drop(input);
    let output = process.wait_with_output().await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.trim().is_empty(), "{said}\n{}", scrape.text());
    Ok(())
}

#[tokio::test]
async fn a_node_says_that_it_is_ready_and_by_which_checks() -> anyhow::Result<()> {
    let server = Server::start().await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let checks = until("the node to be ready", async || {
        let answer = http.get(format!("{}/readyz", server.url())).send().await?;
        let ready = answer.status().is_success();
        let body: Value = answer.json().await?;
        Ok(ready.then_some(body))
    });
    let body = checks.await?;
    let checks = body.pointer("/data/checks").and_then(Value::as_array).context("no checks")?;
    let names: Vec<_> = checks.iter().filter_map(|check| check.get("name")?.as_str()).collect();
    ensure!(names == ["log", "mirror", "history", "projector", "draining"], "{names:?}");
    Ok(())
}

#[tokio::test]
async fn metrics_that_are_served_apart_are_not_served_beside_the_rest() -> anyhow::Result<()> {
    let address = free_address()?;
    let server = Server::start_with(&["--metrics-listen", &address.to_string()]).await?;
    let apart = format!("http://{address}");
    ensure!(Scrape::of(&apart).await?.sum("tidings_build_info", &[])? > 0.5, "no metrics at {apart}");
    ensure!(Scrape::of(&server.url()).await.is_err(), "they are served beside the rest too");
    let http = reqwest::Client::builder().no_proxy().build()?;
    let command = http.post(format!("{apart}/v1/conversations")).send().await?;
    ensure!(command.status() == 404, "commands are taken there: {}", command.status());
    Ok(())
}
