//! The console in a real browser, and its own tests.

use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tests::{Server, tools};

/// Steps that `chat.mjs` goes through.
const STEPS: usize = 9;

#[tokio::test]
async fn two_people_chat_in_a_browser_and_a_kill_costs_them_nothing() -> anyhow::Result<()> {
    const TEST: &str = "the console in a browser";
    let Some(browser) = tools::find_browser() else {
        return tools::skip(TEST, "chromium is not installed (TIDINGS_CHROMIUM may name it)");
    };
    let Some(kit) = tools::node(TEST, &["browser/js"]).await? else { return Ok(()) };
    let mut server = Server::start().await?;
    let url = server.url();
    let browser = browser.to_string_lossy();
    let mut chat = kit.start("chat.mjs", &[("URL", &url), ("BROWSER", &browser)])?;
    chat.expect("kill").await?;
    server.kill().await?;
    chat.tell("done").await?;
    chat.expect("restart").await?;
    server.restart().await?;
    chat.tell("done").await?;
    let result = chat.result().await?;
    let steps = result.get("steps").and_then(Value::as_array).context("no steps")?;
    ensure!(steps.len() == STEPS, "some steps were left out: {steps:?}");
    let history = server.api("ann").await?.messages("tea").await?;
    let history: Vec<_> =
        history.iter().map(|message| (message.get("message_id"), message.get("text"))).collect();
    let page = result.get("messages").and_then(Value::as_array).context("no messages")?;
    let page: Vec<_> = page.iter().map(|message| (message.get("id"), message.get("text"))).collect();
    ensure!(page == history, "the page does not show the history:\n{page:#?}\n{history:#?}");
    Ok(())
}

#[test]
fn the_tests_of_the_console_itself_pass() -> anyhow::Result<()> {
    let Some(node) = tools::find("node") else {
        return tools::skip("the tests of the console", "node is not installed");
    };
    let console = concat!(env!("CARGO_MANIFEST_DIR"), "/../server/console");
    let output = Command::new(node).arg("--test").current_dir(console).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{said}");
    // A runner that finds nothing to run is content too.
    let passed = said.lines().find_map(|line| line.trim_start_matches(['#', 'ℹ', ' ']).strip_prefix("pass "));
    let passed: usize = passed.context("no count of passed tests")?.trim().parse()?;
    ensure!(passed > 0, "no test was run:\n{said}");
    Ok(())
}
