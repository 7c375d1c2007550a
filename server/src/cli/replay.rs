//! `tidings replay`: a conversation again, at the pace it had.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::Args;
use schemas::{ConversationId, Position, json::EventFromJson};
use tokio::time::sleep;

use super::{
    args::{TargetArgs, position},
    pace::{Pace, Speed},
    render::Renderer,
};
use crate::client::{AsOf, Client, EventsError, Line, Selection, patiently};

/// Seconds of the past in one second, for somebody who watches.
const SPEED_AT_TERMINAL: f64 = 60.0;

const EXAMPLES: &str = "\
Examples:
  tidings replay --conversation tea                       a minute a second
  tidings replay --conversation tea --speed 1             as it was
  tidings replay --conversation tea --speed max | less    at once
  tidings replay --conversation tea --as-of 2024-02-29T10:00:00Z

No pause is longer than 3 seconds, so that quiet nights pass.";

/// Show a conversation again, at the pace it had
///
/// Event by event, for people: when, who, what. For programs there is `export`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReplayArgs {
    /// Which conversation
    #[arg(long, value_name = "ID")]
    conversation: ConversationId,
    /// How fast: 1 is as it was, 60 a minute a second, max without waiting [default: 60 at a terminal, otherwise max]
    #[arg(long, value_name = "N|max")]
    speed: Option<Speed>,
    /// Begin after this position
    #[arg(long, value_name = "P", value_parser = position, default_value = "0")]
    from: Position,
    /// End where the conversation stood at this position or time
    #[arg(long, value_name = "P|TIME")]
    as_of: Option<AsOf>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Shows the conversation.
pub(super) async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    let speed = args.speed.unwrap_or_else(|| {
        if io::stdout().is_terminal() { Speed::Times(SPEED_AT_TERMINAL) } else { Speed::Max }
    });
    let client = Client::resolve(&args.target.to_read()).await?;
    let selection =
        Selection { conversation: args.conversation, from: args.from, to: None, as_of: args.as_of };
    let shown = show(&client, selection, Pace::new(speed)).await;
    client.close().await?;
    shown
}

/// A slow replay may outlive its stream: it is begun again from where it was cut, as long as it comes further.
async fn show(client: &Client, mut selection: Selection, mut pace: Pace) -> anyhow::Result<()> {
    loop {
        match show_stream(client, &selection, &mut pace).await? {
            None => return Ok(()),
            Some(cut) if cut.last > selection.from => selection.from = cut.last,
            Some(cut) => return Err(cut.into()),
        }
    }
}

/// Shows a stream to its end, or to where it is cut.
async fn show_stream(
    client: &Client,
    selection: &Selection,
    pace: &mut Pace,
) -> anyhow::Result<Option<EventsError>> {
    let renderer = Renderer::for_stdout();
    let mut events = patiently(|| client.events(selection)).await.with_context(|| selection.unread())?;
    let mut out = io::BufWriter::new(io::stdout());
    loop {
        let line = match events.next().await {
            Ok(Some(line)) => line,
            Ok(None) => break,
            Err(cut) => {
                out.flush()?;
                return Ok(Some(cut));
            }
        };
        let event = parse(&line)?;
        let pause = pace.pause(event.event.occurred_at);
        if !pause.is_zero() {
            out.flush()?;
            sleep(pause).await;
        }
        out.write_all(renderer.line(&event).as_bytes())?;
    }
    out.flush()?;
    Ok(None)
}

/// The event on a line.
pub(super) fn parse(line: &Line) -> anyhow::Result<EventFromJson> {
    serde_json::from_slice(&line.json).with_context(|| {
        format!(
            "the event at position {} cannot be read: this program may be older than the server",
            line.position
        )
    })
}
