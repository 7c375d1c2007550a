//! One script of one release, in one form, on its own server.

use tests::tools::{Kit, Script};

use crate::{
    follow,
    matrix::{Form, Release},
    protocol, refresh,
    stage::Stage,
    steps::{Done, Step},
};

/// What a run goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything that the SDK offers, for two people.
    Protocol,
    /// A connection outlives its tokens.
    Refresh,
    /// Somebody looks on while the server is killed.
    Follow,
}

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) release: &'static Release,
    pub(crate) kit: &'a Kit,
    pub(crate) form: Form,
    pub(crate) part: Part,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) release: &'static Release,
    pub(crate) form: Form,
    pub(crate) part: Part,
    /// The steps that were done.
    pub(crate) done: Vec<&'static Step>,
    /// Why it went no further.
    pub(crate) failure: Option<anyhow::Error>,
}

impl Part {
    pub(crate) const ALL: [Self; 3] = [Self::Protocol, Self::Refresh, Self::Follow];

    /// The name of its scripts.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Protocol => "protocol",
            Self::Refresh => "refresh",
            Self::Follow => "follow",
        }
    }
}

impl Run<'_> {
    /// Runs it.
    pub(crate) async fn go(self) -> Outcome {
        let Self { release, form, part, .. } = self;
        let mut done = Done::none(release, part);
        let played = match part {
            Part::Protocol => Box::pin(protocol::play(&self, &mut done)).await,
            Part::Refresh => Box::pin(refresh::play(&self, &mut done)).await,
            Part::Follow => Box::pin(follow::play(&self, &mut done)).await,
        };
        let failure = played.and_then(|()| done.all()).err();
        Outcome { release, form, part, done: done.steps().to_vec(), failure }
    }

    /// Starts the script, which is to connect to `socket_url`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self, stage: &Stage, socket_url: &str) -> anyhow::Result<Script> {
        let mut settings = stage.settings();
        let Release { version, .. } = &self.release;
        settings.extend([("RELEASE", *version), ("FORM", self.form.name()), ("SOCKET_URL", socket_url)]);
        self.kit.start(&self.release.sdk.script(self.part), &settings)
    }

    /// Where the frames of its SDK are kept, and how their names begin.
    pub(crate) fn frames(&self) -> (String, &'static str) {
        let Self { release, form, part, .. } = self;
        (format!("{}-{}-{}", release.sdk.name(), release.version, form.name()), part.name())
    }
}
