//! `tidings tail`: what happens in a conversation, as it happens.
//!
//! It asks again and again for what comes after the last position: often while something happens, seldom while it
//! is quiet. So a lost connection costs nothing but time: the next answer goes on where the last one ended.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use schemas::{ConversationId, Position};
use serde::Deserialize;
use tokio::{signal, time::sleep};

use super::{
    args::{TargetArgs, position},
    render::Renderer,
    replay::parse,
    text::visible,
};
use crate::client::{CallError, Client, EventsError, Selection, patiently};

/// Between two questions while something happens.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Between two questions while it is quiet, and while the server is away.
const INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How many messages are shown to begin with.
const MESSAGES_BEFORE: usize = 10;

const EXAMPLES: &str = "\
Examples:
  tidings tail --conversation tea                     the last messages, then what comes
  tidings tail --conversation tea --from 0 --json     all there ever was, then what comes, for a program

It goes on after a lost connection. It ends with Ctrl-C.";

/// Show what happens in a conversation, as it happens
///
/// It ends with Ctrl-C.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TailArgs {
    /// Which conversation
    #[arg(long, value_name = "ID")]
    conversation: ConversationId,
    /// Begin after this position [default: the last 10 messages]
    #[arg(long, value_name = "P", value_parser = position)]
    from: Option<Position>,
    /// One JSON object a line, as the server tells it
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// The newest page of messages, as far as it matters here.
#[derive(Deserialize)]
struct Newest {
    messages: Vec<Message>,
    epoch: String,
}

#[derive(Deserialize)]
struct Message {
    offset: Position,
}

/// What is followed, and how far it was shown.
struct Tail<'a> {
    client: &'a Client,
    conversation: ConversationId,
    last: Position,
    epoch: String,
    json: bool,
    renderer: Renderer,
}

/// Why a round of the tail ended early.
enum Interrupted {
    /// The connection was lost; the next round may do better.
    Passing(String),
    /// Going on is no use.
    Final(anyhow::Error),
}

/// Shows events until Ctrl-C.
pub(super) async fn run(args: TailArgs) -> anyhow::Result<()> {
    let client = Client::resolve(&args.target.to_read()).await?;
    let followed = tokio::select! {
        followed = follow(&client, args.conversation, args.from, args.json) => followed,
        _ = signal::ctrl_c() => Ok(()),
    };
    client.close().await?;
    followed
}

async fn follow(
    client: &Client,
    conversation: ConversationId,
    from: Option<Position>,
    json: bool,
) -> anyhow::Result<()> {
    let newest = patiently(|| newest(client, &conversation, MESSAGES_BEFORE))
        .await
        .with_context(|| format!("cannot read the conversation {conversation}"))?;
    let oldest = newest.messages.first().map(|message| message.offset.get().saturating_sub(1));
    let last = from.unwrap_or_else(|| oldest.map_or(Position::START, Position::new));
    let renderer = Renderer::for_stdout();
    let mut tail = Tail { client, conversation, last, epoch: newest.epoch, json, renderer };
    let mut interval = INTERVAL_MIN;
    let mut away = false;
    loop {
        let before = tail.last;
        let round = if away { tail.resume().await } else { tail.round().await };
        match round {
            Ok(()) if away => {
                say("connected again");
                away = false;
            }
            Err(Interrupted::Passing(cause)) if !away => {
                say(&format!("interrupted, trying again: {cause}"));
                away = true;
            }
            Err(Interrupted::Final(error)) => return Err(error),
            Ok(()) | Err(Interrupted::Passing(_)) => {}
        }
        interval = if tail.last > before { INTERVAL_MIN } else { (interval * 2).min(INTERVAL_MAX) };
        sleep(interval).await;
    }
}

impl Tail<'_> {
    /// Shows what came since the last round.
    async fn round(&mut self) -> Result<(), Interrupted> {
        let selection = Selection::after(self.conversation.clone(), self.last);
        let mut events = self.client.events(&selection).await?;
        let mut out = io::BufWriter::new(io::stdout());
        while let Some(line) = events.next().await? {
            if self.json {
                out.write_all(&line.json)?;
                out.write_all(b"\n")?;
            } else {
                out.write_all(self.renderer.line(&parse(&line)?).as_bytes())?;
            }
            self.last = line.position;
        }
        out.flush()?;
        Ok(())
    }

    /// The same after the server was away: positions mean something only in the log they come from.
    async fn resume(&mut self) -> Result<(), Interrupted> {
        if newest(self.client, &self.conversation, 1).await?.epoch != self.epoch {
            let replaced = "the server's log was replaced, and the position means nothing in the new one";
            return Err(anyhow::anyhow!("{replaced}: start again without --from").into());
        }
        self.round().await
    }
}

async fn newest(client: &Client, conversation: &ConversationId, limit: usize) -> Result<Newest, CallError> {
    let path = ["v1", "conversations", conversation.as_str(), "messages"];
    client.get(&path, &[("limit", limit.to_string())]).await
}

fn say(what: &str) {
    // Nobody listens to standard error: then nobody is told.
    let _ = writeln!(io::stderr(), "{}", visible(what));
}

impl From<CallError> for Interrupted {
    fn from(error: CallError) -> Self {
        if error.is_passing() { Self::Passing(error.to_string()) } else { Self::Final(error.into()) }
    }
}

impl From<EventsError> for Interrupted {
    fn from(error: EventsError) -> Self {
        Self::Passing(error.to_string())
    }
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Self {
        Self::Final(error.into())
    }
}

impl From<anyhow::Error> for Interrupted {
    fn from(error: anyhow::Error) -> Self {
        Self::Final(error)
    }
}
