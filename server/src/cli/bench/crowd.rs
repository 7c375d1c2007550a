//! Many sessions, and where they are.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::measure::{Cores, Place, Server, make_room};

/// How many sessions come, and to how many conversations.
#[derive(Debug, Clone, Args)]
pub(super) struct CrowdArgs {
    /// Sessions; each is an open file, here and at the server
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    sessions: u32,
    /// Conversations that they are spread over, each session in one
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    conversations: u32,
}

impl CrowdArgs {
    /// Makes room for the sessions, before the server starts.
    pub(super) fn make_room(&self) -> anyhow::Result<()> {
        make_room(u64::from(self.sessions))
    }

    /// Does something with a server that has the conversations, on the thread that is the load; `work` gets the place, how many
    /// sessions come, and a bar for those that are in.
    pub(super) async fn on<R: Send + 'static>(
        &self,
        server: &Server,
        cores: Option<Cores>,
        work: impl FnOnce(&Place<'_>, u64, &ProgressBar) -> anyhow::Result<R> + Send + 'static,
    ) -> anyhow::Result<R> {
        let conversations = server.fresh_conversations(self.conversations).await?;
        let sessions = u64::from(self.sessions);
        let style = ProgressStyle::with_template("coming in {bar:30} {human_pos} of {human_len} sessions")?;
        let progress = ProgressBar::new(sessions).with_style(style);
        let work = move |place: &Place<'_>| {
            let done = work(place, sessions, &progress);
            progress.finish_and_clear();
            done
        };
        server.under_load(cores, conversations, work).await
    }
}
