//! Chat logs from elsewhere: imported, shown, taken out again, and proved against the log.
//!
//! Reads the real archives where they are (`../shared/data` beside the repository, or `TIDINGS_SAMPLES`), and a generated
//! one everywhere.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use tests::binary;
use tokio::process::Command;

#[derive(Debug, Deserialize)]
struct Line {
    conversation: String,
    at: String,
    author: String,
    kind: String,
    text: String,
    reply_to: Option<String>,
    id: String,
}

#[derive(Debug, Deserialize)]
struct Exported {
    r#type: String,
    event_id: String,
    actor: String,
    occurred_at: String,
    body: serde_json::Value,
}

/// What a command printed.
struct Printed {
    stdout: String,
    stderr: String,
    success: bool,
}

async fn tidings(data: &Path, args: &[&str]) -> anyhow::Result<Printed> {
    let output = Command::new(binary::path()?).args(args).arg("--data").arg(data).output().await?;
    Ok(Printed {
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
        success: output.status.success(),
    })
}

fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for file in files {
        let reader = BufReader::new(MultiGzDecoder::new(File::open(file)?));
        for line in reader.lines() {
            lines.push(serde_json::from_str(&line?)?);
        }
    }
    Ok(lines)
}

/// Whether an exported event is what the line says.
fn matches(line: &Line, event: &Exported) -> bool {
    let expected_type = match line.kind.as_str() {
        "message" | "action" => "MessagePosted",
        "join" => "MemberJoined",
        "leave" => "MemberLeft",
        _ => "MemberRenamed",
    };
    let body = &event.body;
    let said = match line.kind.as_str() {
        "message" | "action" => {
            let style = if line.kind == "action" { "action" } else { "plain" };
            body["text"] == line.text
                && body["style"] == style
                && body["reply_to"] == serde_json::json!(line.reply_to)
        }
        "join" => body["member"] == line.author,
        "leave" => body["parting_words"] == line.text,
        _ => body["to"] == line.text,
    };
    let Exported { r#type, event_id, actor, occurred_at, .. } = event;
    said && r#type == expected_type
        && *event_id == line.id
        && *actor == line.author
        && *occurred_at == line.at
}

/// Imports twice, and compares what comes out with what went in, line by line.
async fn there_and_back(files: &[PathBuf], exported_len_max: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let lines = read(files)?;
    let mut import = vec!["import"];
    import.extend(files.iter().filter_map(|file| file.to_str()));
    let first = tidings(&data, &import).await?;
    let expected = format!("{0} lines read: {0} added, 0 already there, 0 refused", lines.len());
    let said = format!("{}{}", first.stdout, first.stderr);
    ensure!(first.success && said.contains(&expected), "{said}");
    let second = tidings(&data, &import).await?;
    let expected = format!("{0} lines read: 0 added, {0} already there, 0 refused", lines.len());
    let said = format!("{}{}", second.stdout, second.stderr);
    ensure!(second.success && said.contains(&expected), "{said}");

    let mut conversations: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    for line in &lines {
        conversations.entry(&line.conversation).or_default().push(line);
    }
    let listed = tidings(&data, &["list", "--json"]).await?;
    ensure!(listed.stdout.lines().count() == conversations.len(), "the list has other conversations");
    for (conversation, lines) in conversations.into_iter().take(exported_len_max) {
        let exported = tidings(&data, &["export", "--conversation", conversation]).await?;
        let events: Vec<Exported> = exported
            .stdout
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()
            .context(exported.stderr)?;
        // The conversation's own beginning stands before what the file has.
        ensure!(events.first().is_some_and(|event| event.r#type == "ConversationCreated"));
        ensure!(events.len() == lines.len() + 1, "{conversation}: {} events", events.len());
        let differing = lines.iter().zip(events.iter().skip(1)).find(|(line, event)| !matches(line, event));
        ensure!(differing.is_none(), "{conversation}: {differing:?}");
        let replayed = tidings(&data, &["replay", "--speed", "max", "--conversation", conversation]).await?;
        ensure!(replayed.success && replayed.stdout.lines().count() >= lines.len(), "{}", replayed.stderr);
    }
    let verified = tidings(&data, &["history", "verify"]).await?;
    ensure!(verified.success, "{}{}", verified.stdout, verified.stderr);
    Ok(())
}

#[tokio::test]
async fn a_generated_archive_comes_out_as_it_went_in() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("archive.ndjson.gz");
    let mut lines = String::new();
    for number in 0..3_000 {
        let kind = ["message", "message", "action", "join", "leave", "rename"][number % 6];
        let text = match kind {
            "join" => String::new(),
            "rename" => format!("anna_{number}"),
            "leave" => " so long «é» ".to_owned(),
            _ => format!("  number {number} \u{feff}«é»\n\t👋 "),
        };
        // The first of its conversation was a message.
        let reply_to = (kind == "action").then(|| format!("line-{}", number % 7));
        let line = serde_json::json!({
            "conversation": format!("c:{}", number % 7),
            "at": format!("2024-02-29T{:02}:{:02}:{:02}.{:03}Z", number / 600, number / 10 % 60, number % 60, number % 1_000),
            "author": format!("ann^{}", number % 5),
            "kind": if number < 7 { "message" } else { kind },
            "text": if number < 7 { "first".to_owned() } else { text },
            "reply_to": if number < 7 { None } else { reply_to },
            "id": format!("line-{number}"),
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    let mut packed = flate2::write::GzEncoder::new(File::create(&path)?, flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, lines.as_bytes())?;
    packed.finish()?;
    there_and_back(&[path], usize::MAX).await
}

#[tokio::test]
async fn the_real_archives_come_out_as_they_went_in() -> anyhow::Result<()> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let folder = std::env::var_os("TIDINGS_SAMPLES").map_or(beside, PathBuf::from);
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: no archives in {}; the generated one was tested", folder.display());
        return Ok(());
    };
    let mut files: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.retain(|path| path.to_str().is_some_and(|path| path.ends_with(".ndjson.gz")));
    files.sort();
    ensure!(!files.is_empty(), "no archive in {}", folder.display());
    // A process a command: the list is compared whole, the contents of the first conversations.
    there_and_back(&files, 60).await
}

#[tokio::test]
async fn a_history_that_was_tampered_with_is_found_and_mended() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, file) = (folder.path().join("data"), folder.path().join("one.ndjson"));
    let line = |n: u32| {
        format!(
            r#"{{"conversation":"tea","at":"2024-02-29T00:00:0{n}.000Z","author":"ann","kind":"message","text":"hi {n}","reply_to":null,"id":"m-{n}"}}"#
        )
    };
    fs::write(&file, (0..5).map(|n| line(n) + "\n").collect::<String>())?;
    ensure!(tidings(&data, &["import", file.to_str().context("a path")?]).await?.success);
    let verified = tidings(&data, &["history", "verify"]).await?;
    ensure!(verified.success && verified.stdout.contains("is what the log says"), "{}", verified.stderr);
    rusqlite::Connection::open(data.join("history.sqlite"))?
        .execute("UPDATE messages SET text = 'forged' WHERE message_id = 'm-3'", [])?;
    let found = tidings(&data, &["history", "verify"]).await?;
    ensure!(!found.success && found.stdout.contains("DIFFERENT"), "{}", found.stdout);
    ensure!(tidings(&data, &["history", "rebuild"]).await?.success);
    ensure!(tidings(&data, &["history", "verify"]).await?.success);
    Ok(())
}
