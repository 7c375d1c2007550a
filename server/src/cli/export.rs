//! `tidings export`: a whole conversation, as it stands in the log.
//!
//! Invariant: a file bears its name only when the export is whole. What was cut stays beside it, as `NAME.part`.

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use schemas::{ConversationId, Position};

use super::{
    args::{TargetArgs, position},
    replay::parse,
};
use crate::client::{AsOf, Client, Selection, patiently};

mod container;

use container::Container;

const EXAMPLES: &str = "\
Examples:
  tidings export --conversation tea > tea.ndjson
  tidings export --conversation tea --format avro --output tea.avro
  tidings export --conversation tea --as-of 2024-02-29T10:00:00Z   as it stood then
  tidings export --conversation tea --from 1200                    what came after position 1200

ndjson is the form of docs/http.md, byte for byte. avro is an object container file with the schema of the topic: any
Avro tool reads it (it has no positions and no recorded_at, as the events on the topic have none).";

/// Take a conversation out, as it stands in the log
///
/// Every event, in its order: for programs, archives and audits.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExportArgs {
    /// Which conversation
    #[arg(long, value_name = "ID")]
    conversation: ConversationId,
    /// The form of the events
    #[arg(long, value_enum, default_value = "ndjson")]
    format: Format,
    /// Where to; - is standard output
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Begin after this position
    #[arg(long, value_name = "P", value_parser = position, default_value = "0")]
    from: Position,
    /// End at this position
    #[arg(long, value_name = "P", value_parser = position)]
    to: Option<Position>,
    /// As the conversation stood at this position or time
    #[arg(long, value_name = "P|TIME")]
    as_of: Option<AsOf>,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a line
    Ndjson,
    /// An Avro object container file
    Avro,
}

/// Where an export goes.
enum Output {
    Stdout,
    /// A device or a pipe: written as it is.
    Special(File),
    /// A file, under another name until it is whole.
    Part {
        file: File,
        part: PathBuf,
        whole: PathBuf,
    },
}

/// Writes the export.
pub(super) async fn run(args: ExportArgs) -> anyhow::Result<()> {
    let to_stdout = args.output.as_os_str() == "-";
    if args.format == Format::Avro && to_stdout && io::stdout().is_terminal() {
        bail!("avro is not for a terminal: name a file with --output, or send it through a pipe");
    }
    let client = Client::resolve(&args.target.to_read()).await?;
    let selection =
        Selection { conversation: args.conversation, from: args.from, to: args.to, as_of: args.as_of };
    let exported = export(&client, &selection, args.format, &args.output).await;
    client.close().await?;
    exported
}

async fn export(client: &Client, selection: &Selection, format: Format, path: &Path) -> anyhow::Result<()> {
    // The output is opened once it is clear that there is something to write.
    let mut events = patiently(|| client.events(selection)).await.with_context(|| selection.unread())?;
    let output = Output::open(path)?;
    let mut out = BufWriter::new(output.writer()?);
    match format {
        Format::Ndjson => {
            while let Some(line) = events.next().await? {
                out.write_all(&line.json)?;
                out.write_all(b"\n")?;
            }
        }
        Format::Avro => {
            let mut container = Container::begin(out)?;
            while let Some(line) = events.next().await? {
                container.push(&parse(&line)?.event)?;
            }
            out = container.finish()?;
        }
    }
    out.flush()?;
    drop(out);
    output.finish()?;
    let (count, last) = (events.count(), events.last());
    if !matches!(path.to_str(), Some("-")) {
        writeln!(io::stderr(), "{count} events, up to position {last}, in {}", path.display())?;
    }
    Ok(())
}

impl Output {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stdout);
        }
        let create =
            |path: &Path| File::create(path).with_context(|| format!("cannot write {}", path.display()));
        if path.metadata().is_ok_and(|there| !there.is_file()) {
            return create(path).map(Self::Special);
        }
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let part = PathBuf::from(name);
        Ok(Self::Part { file: create(&part)?, part, whole: path.to_owned() })
    }

    fn writer(&self) -> io::Result<Box<dyn Write>> {
        Ok(match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Special(file) | Self::Part { file, .. } => Box::new(file.try_clone()?),
        })
    }

    fn finish(self) -> anyhow::Result<()> {
        let Self::Part { file, part, whole } = self else { return Ok(()) };
        file.sync_all()
            .and_then(|()| std::fs::rename(&part, &whole))
            .with_context(|| format!("cannot finish {}", whole.display()))
    }
}
