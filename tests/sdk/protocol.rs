//! Everything that an SDK offers, for two people.

use crate::{
    recorder::Recorder,
    run::Run,
    stage::{Stage, ensure_sent},
    steps::{Done, SENT_THE_LOG},
};

pub(crate) async fn play(run: &Run<'_>, done: &mut Done) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let recorder = Recorder::start(&stage.server).await?;
    let script = run.start(&stage, &recorder.socket_url())?;
    let result = stage.listen(script, done).await;
    let sent = recorder.end(run).await;
    let result = result?;
    sent?;
    let log = stage.log().await?;
    // The conversation was created, which is the first event, before anybody came.
    let rest = log.get(1..).unwrap_or_default();
    let sent_to_ann = if run.release.from_start { &log } else { rest };
    ensure_sent(&result, "ann", sent_to_ann)?;
    ensure_sent(&result, "bob", rest)?;
    done.add(SENT_THE_LOG)
}
