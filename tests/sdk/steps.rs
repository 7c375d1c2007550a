//! What shows that a client can do something: the steps of the scripts, and what is judged here.
//!
//! Invariant: a step is done when its script said so, or when what was seen was judged here; there is no other way.

use anyhow::{Context, ensure};

use crate::{
    matrix::{
        Capability::{self, Connect, History, Presence, Publish, Recovery, Refresh, Rpc, Subscribe},
        Release,
    },
    run::Part,
};

/// One step, and what it shows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) part: Part,
    pub(crate) name: &'static str,
    pub(crate) shows: &'static [Capability],
}

/// Only for releases that can be told where a subscription is to begin.
const FROM_START: &str = "a subscription from the start recovers everything";
/// Judged here.
pub(crate) const SENT_THE_LOG: &str = "what both were sent is the log, byte for byte";
/// Judged here.
pub(crate) const ASKED_TO_REFRESH: &str = "the server was asked to refresh, on the only connection";
/// Judged here.
pub(crate) const RECOVERED: &str = "after each kill the position was recovered";
/// Judged here.
pub(crate) const SENT_THE_LOG_OVER_KILLS: &str = "what was sent over the kills is the log, byte for byte";

const fn step(part: Part, name: &'static str, shows: &'static [Capability]) -> Step {
    Step { part, name, shows }
}

/// All steps, in order.
static STEPS: [Step; 18] = [
    step(Part::Protocol, "a wrong token is refused for good", &[Connect]),
    step(Part::Protocol, "an expired token is renewed", &[Connect]),
    step(Part::Protocol, "an expired token that nobody renews is the end", &[Connect]),
    step(Part::Protocol, FROM_START, &[Subscribe]),
    step(Part::Protocol, "an unknown conversation is refused for good", &[Subscribe]),
    step(Part::Protocol, "who comes is announced", &[Presence]),
    step(Part::Protocol, "a published message comes back to its sender, with its offset", &[Publish]),
    step(Part::Protocol, "a posted message is answered with its place", &[Rpc]),
    step(Part::Protocol, "refusals have their codes", &[Rpc, Publish]),
    step(Part::Protocol, "history pages both ways", &[History]),
    step(Part::Protocol, "presence tells who is here", &[Presence]),
    step(
        Part::Protocol,
        "who goes is announced, and finds on return what was missed",
        &[Subscribe, Presence],
    ),
    step(Part::Protocol, "a connection that was away finds what was missed", &[Connect, Subscribe]),
    step(Part::Protocol, SENT_THE_LOG, &[Subscribe, Publish, Rpc, History]),
    step(Part::Refresh, "tokens are renewed on one connection", &[Refresh]),
    step(Part::Refresh, ASKED_TO_REFRESH, &[Refresh]),
    step(Part::Follow, RECOVERED, &[Recovery]),
    step(Part::Follow, SENT_THE_LOG_OVER_KILLS, &[Recovery]),
];

/// The steps that a release goes through, in order.
pub(crate) fn steps(release: &Release) -> impl Iterator<Item = &'static Step> {
    let from_start = release.from_start;
    STEPS.iter().filter(move |step| from_start || step.name != FROM_START)
}

/// The steps that one run has done, in order.
#[derive(Debug)]
pub(crate) struct Done {
    due: Vec<&'static Step>,
    count: usize,
}

impl Done {
    /// None yet.
    pub(crate) fn none(release: &Release, part: Part) -> Self {
        Self { due: steps(release).filter(|step| step.part == part).collect(), count: 0 }
    }

    /// The next one is done.
    ///
    /// # Errors
    /// Another was due.
    pub(crate) fn add(&mut self, name: &str) -> anyhow::Result<()> {
        let due =
            self.due.get(self.count).with_context(|| format!("no step was due, but {name:?} was done"))?;
        ensure!(due.name == name, "{:?} was due, but {name:?} was done", due.name);
        self.count += 1;
        Ok(())
    }

    /// Those that are done.
    pub(crate) fn steps(&self) -> &[&'static Step] {
        self.due.get(..self.count).unwrap_or_default()
    }

    /// All that were due are done.
    ///
    /// # Errors
    /// Some were left out.
    pub(crate) fn all(&self) -> anyhow::Result<()> {
        let left = self.due.get(self.count..).unwrap_or_default();
        ensure!(left.is_empty(), "steps were left out: {left:?}");
        Ok(())
    }
}
