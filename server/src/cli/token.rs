//! `tidings token`: who somebody is, signed with the key of a data folder.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use jiff::{Span, SpanRelativeTo, Unit};
use kernel::clock::{Clock, SystemClock};
use schemas::{ConversationId, UserId};

use super::args::DATA_DEFAULT;
use crate::data_dir::token_key;

const EXAMPLES: &str = "\
Examples:
  tidings token --user ann                        ann, for a day
  tidings token --user ann --conversation tea     lets ann subscribe to tea without being a member
  tidings token --user auditor --admin --ttl 1h   may read, import and export every conversation
  TIDINGS_TOKEN=$(tidings token --user ann) tidings list --url http://127.0.0.1:8000

Whoever has a token is that user until it ends: it cannot be taken back, so give it a short life.";

/// Make a token that proves who somebody is
///
/// It is printed alone, for `Authorization: Bearer TOKEN`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TokenArgs {
    /// Who the token speaks for
    #[arg(long, value_name = "NAME")]
    user: UserId,
    /// Give it the scope admin: read every conversation, import
    #[arg(long)]
    admin: bool,
    /// Make a subscription token instead: it lets the user read this conversation, and proves nothing else
    #[arg(long, value_name = "ID", conflicts_with = "admin")]
    conversation: Option<ConversationId>,
    /// Data folder whose key signs it; made if there is none
    #[arg(long, value_name = "DIR", env = "TIDINGS_DATA", default_value = DATA_DEFAULT)]
    data: PathBuf,
    /// File of the key that signs it, where it is not that of the folder
    #[arg(long, value_name = "FILE", env = "TIDINGS_TOKEN_KEY")]
    token_key: Option<PathBuf>,
    /// How long it is valid: 90s, 30m, 24h, 7d … or never-ending (`forever`)
    #[arg(long, value_name = "TIME", default_value = "24h")]
    ttl: Ttl,
}

/// The life of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ttl {
    Seconds(i64),
    Forever,
}

impl std::str::FromStr for Ttl {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "forever" {
            return Ok(Self::Forever);
        }
        let wrong = || "write it like 90s, 30m, 24h or 7d, at least a second, or forever".to_owned();
        let span: Span = text.parse().map_err(|_| wrong())?;
        let seconds = span.total((Unit::Second, SpanRelativeTo::days_are_24_hours())).map_err(|_| wrong())?;
        #[expect(clippy::cast_possible_truncation, reason = "a span is below 2^43 seconds")]
        let seconds = seconds.trunc() as i64;
        if seconds < 1 { Err(wrong()) } else { Ok(Self::Seconds(seconds)) }
    }
}

/// Prints the token.
pub(super) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let ttl_s = match args.ttl {
        Ttl::Seconds(seconds) => Some(seconds),
        Ttl::Forever => None,
    };
    let key = token_key(&args.data, args.token_key.as_deref())?;
    let now = SystemClock.now();
    let token = match &args.conversation {
        Some(conversation) => key.mint_subscription(&args.user, conversation, now, ttl_s),
        None => key.mint(&args.user, args.admin, now, ttl_s),
    };
    let token = token.context("cannot make the token")?;
    writeln!(io::stdout(), "{token}").context("cannot print the token")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_are_written_as_people_write_them() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), ("1h 30m", 5_400)]
        {
            assert_eq!(text.parse(), Ok(Ttl::Seconds(seconds)), "{text}");
        }
        assert_eq!("forever".parse(), Ok(Ttl::Forever));
        for wrong in ["", "0s", "-1h", "24", "soon", "999ms", "1y"] {
            assert!(wrong.parse::<Ttl>().is_err(), "{wrong}");
        }
    }
}
