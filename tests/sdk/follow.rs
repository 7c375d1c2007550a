//! Somebody looks on while events are posted and the server is killed.

use anyhow::{Context, ensure};
use tests::{Api, api::Answer, wait::until};

use crate::{
    run::Run,
    stage::{CONVERSATION, Stage, ensure_sent},
    steps::{Done, RECOVERED, SENT_THE_LOG_OVER_KILLS},
};

/// Events that are posted; the server is killed twice in between.
const POSTS: usize = 300;

pub(crate) async fn play(run: &Run<'_>, done: &mut Done) -> anyhow::Result<()> {
    let mut stage = Stage::set().await?;
    let mut follower = run.start(&stage, &stage.server.socket_url())?;
    follower.expect("subscribed 1").await?;
    for number in 0..POSTS {
        if number == POSTS / 3 || number == 2 * POSTS / 3 {
            // The poster goes on while the server is away: what it sends then is sent again.
            stage.server.kill().await?;
            ensure!(matches!(post(&stage.ann, number).await, Answer::Unknown(_)), "nobody can have answered");
            stage.server.restart().await?;
        }
        until("an answer", async || match post(&stage.ann, number).await {
            Answer::Accepted(accepted) => Ok(Some(accepted)),
            Answer::Unknown(_) => Ok(None),
            Answer::Refused(status, code) => anyhow::bail!("refused: {status} {code}"),
        })
        .await?;
    }
    let log = stage.ann.events(CONVERSATION).await?;
    let last = log.last().context("the log is empty")?;
    follower.tell(&last.offset.to_string()).await?;
    let result = follower.result().await?;

    let recovered: Vec<bool> = serde_json::from_value(result.get("recovered").cloned().unwrap_or_default())?;
    ensure!(recovered.len() >= 3, "two kills are at least three subscriptions, not {recovered:?}");
    // The first has a position to recover only if it could be told one.
    let (first, others) = recovered.split_first().context("no subscription")?;
    ensure!(*first == run.release.from_start, "the first subscription: {recovered:?}");
    ensure!(others.iter().all(|recovered| *recovered), "a position was lost: {recovered:?}");
    done.add(RECOVERED)?;

    // The first event is older than a follower that begins where the log is.
    let begin = usize::from(!run.release.from_start);
    let log: Vec<String> = log.into_iter().skip(begin).map(|event| event.json).collect();
    ensure_sent(&result, "events", &log)?;
    done.add(SENT_THE_LOG_OVER_KILLS)
}

async fn post(api: &Api, number: usize) -> Answer {
    api.post(CONVERSATION, &format!("m-{number}"), &format!("number {number}: é \u{2028} 🍵 <b>")).await
}
