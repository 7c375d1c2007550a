//! `tidings topics`: makes the topics that a log on Kafka needs.

use std::io::{self, Write};

use anyhow::Context;
use clap::{Args, Subcommand};
use kernel::event_log::kafka::{Created, TopicPlan, create_topics};

use super::backing::{FileArgs, LogArgs};

const EXAMPLES: &str = "\
Examples:
  tidings topics create --log kafka://127.0.0.1:9092/tidings --replication 1
  tidings topics create --log kafka://k1:9092,k2:9092/tidings --partitions 64

Choose the number of partitions for years: it bounds how many processes can write and project side by side, and it cannot
be changed later, because conversations would move to other partitions and lose their order.";

/// Make the topics that a log on Kafka needs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TopicsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Create(CreateArgs),
}

/// Make the topics, or say what is there
///
/// PREFIX.events keeps every event for ever; PREFIX.signals keeps typing and presence for a short while. Topics that are
/// there already are left as they are; one with another number of partitions is an error.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
struct CreateArgs {
    /// Partitions of each topic
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// On how many brokers each record is kept
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    replication: u16,
    #[command(flatten)]
    file: FileArgs,
    #[command(flatten)]
    log: LogArgs,
}

/// Makes the topics.
pub(super) async fn run(args: TopicsArgs) -> anyhow::Result<()> {
    let What::Create(args) = args.what;
    let settings = args.log.settings(&args.file.read()?)?.context(
        "the embedded log has no topics to make; name a broker with --log kafka://HOST:PORT/TOPIC-PREFIX",
    )?;
    let Created { made, found } =
        create_topics(&settings, &TopicPlan::new(args.partitions, args.replication)).await?;
    let mut out = io::stdout().lock();
    for topic in made {
        writeln!(out, "{topic}: made, with {} partitions", args.partitions)?;
    }
    for topic in found {
        writeln!(
            out,
            "{topic}: was there, with {} partitions; its settings are as they were",
            args.partitions
        )?;
    }
    Ok(())
}
