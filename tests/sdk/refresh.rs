//! A connection outlives its tokens.

use anyhow::ensure;

use crate::{
    frames::{frames, refreshes},
    recorder::Recorder,
    run::Run,
    stage::Stage,
    steps::{ASKED_TO_REFRESH, Done},
};

/// As often at least is the server asked, and answers well: a script ends only when its SDK wants the token after that.
const REFRESHES_MIN: usize = 2;

pub(crate) async fn play(run: &Run<'_>, done: &mut Done) -> anyhow::Result<()> {
    let stage = Stage::set().await?;
    let recorder = Recorder::start(&stage.server).await?;
    let script = run.start(&stage, &recorder.socket_url())?;
    let result = stage.listen(script, done).await;
    let sent = recorder.end(run).await;
    result?;
    let sent = sent?;
    let [sent] = sent.as_slice() else { anyhow::bail!("{} connections instead of one", sent.len()) };
    let mut count = 0;
    for frame in frames(sent)? {
        count += refreshes(run.form, &frame)?;
    }
    ensure!(count >= REFRESHES_MIN, "the server was asked {count} times to refresh");
    done.add(ASKED_TO_REFRESH)
}
