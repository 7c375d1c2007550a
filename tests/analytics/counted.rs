//! What the example must count, taken from the chat logs that were imported.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use schemas::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Lines of the generated log.
const GENERATED_LEN: usize = 2_000;
/// The real log that is read where it is.
const REAL: &str = "irc-gitter.ndjson.gz";

/// Messages by conversation and hour.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts(BTreeMap<(String, String), u64>);

#[derive(Deserialize)]
struct Line {
    conversation: String,
    at: String,
    kind: String,
}

impl Counts {
    /// Adds the messages of a chat log.
    pub(crate) fn add(&mut self, archive: &Path) -> anyhow::Result<()> {
        let file = File::open(archive)?;
        let packed = archive.extension().is_some_and(|ending| ending == "gz");
        let reader: Box<dyn Read> = if packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        for line in BufReader::new(reader).lines() {
            let Line { conversation, at, kind } = serde_json::from_str(&line?)?;
            if matches!(kind.as_str(), "message" | "action") {
                let hour = format!("{}:00Z", at.get(..13).context("no time")?);
                *self.0.entry((conversation, hour)).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Reads the CSV of the example.
    pub(crate) fn read(csv: &str) -> anyhow::Result<Self> {
        let rows = csv.lines().skip(1).map(|row| {
            let parts: Vec<_> = row.split(',').collect();
            let [conversation, hour, messages] = parts[..] else { anyhow::bail!("not a row: {row}") };
            Ok(((conversation.to_owned(), hour.to_owned()), messages.parse()?))
        });
        Ok(Self(rows.collect::<anyhow::Result<_>>()?))
    }
}

/// The chat logs to import: a generated one, and a real one where it is (`../shared/data` beside the repository, or
/// `TIDINGS_SAMPLES`).
pub(crate) fn archives(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let generated = folder.join("generated.ndjson");
    fs::write(&generated, (0..GENERATED_LEN).map(|number| line(number) + "\n").collect::<String>())?;
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let real = env::var_os("TIDINGS_SAMPLES").map_or(beside, PathBuf::from).join(REAL);
    Ok([generated, real].into_iter().filter(|archive| archive.exists()).collect())
}

/// A line every 37 s in turn over some conversations: over twenty hours.
fn line(number: usize) -> String {
    let at = Timestamp::from_millis(1_709_164_800_000 + 37_000 * i64::try_from(number).unwrap_or_default());
    let kind = ["message", "action", "join", "message", "leave"][number % 5];
    let text = if kind == "join" { "" } else { "hi" };
    json!({"conversation": format!("generated:{}", number % 7), "at": at, "author": format!("ann{}", number % 3),
        "kind": kind, "text": text, "reply_to": null, "id": format!("line-{number}")})
    .to_string()
}

/// A time of the interface in milliseconds.
pub(crate) fn millis(time: &Value) -> anyhow::Result<i64> {
    Ok(serde_json::from_value::<Timestamp>(time.clone())?.as_millis())
}
