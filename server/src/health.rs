//! Whether this node can do its work: a list of named checks, asked in the background.
//!
//! Invariants: a question to `/readyz` asks nobody and takes no time; rounds follow each other and never pile up, since
//! each check has a time limit. Which checks a node has is decided where it is put together.

use std::{future::Future, time::Duration};

use futures_util::future::{BoxFuture, FutureExt, join_all};
use http::StatusCode;
use kernel::metric;
use schemas::Answer;
use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};
use warp::{Filter, Reply, filters::BoxedFilter, reply::Response};

pub(crate) mod checks;

/// Pause between two rounds.
const ROUND_PAUSE: Duration = Duration::from_secs(2);
/// How long one check may take.
const CHECK_WAIT: Duration = Duration::from_secs(3);

/// Something that must hold for the node to be ready.
pub(crate) struct Check {
    name: &'static str,
    run: Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>,
}

/// What came of a check the last time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Outcome {
    name: &'static str,
    ok: bool,
    /// Why it failed.
    reason: Option<String>,
}

#[derive(Serialize)]
struct Report {
    checks: Vec<Outcome>,
}

/// The last outcomes. Dropping it ends the rounds.
#[derive(Debug)]
pub(crate) struct Health {
    outcomes: watch::Receiver<Vec<Outcome>>,
    rounds: JoinHandle<()>,
}

impl Check {
    /// `run` says what is wrong, for the operator.
    pub(crate) fn new<F>(name: &'static str, run: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, run: Box::new(move || run().boxed()) }
    }

    async fn outcome(&self) -> Outcome {
        let done = timeout(CHECK_WAIT, (self.run)()).await;
        let done = done.unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_WAIT.as_secs())));
        metric::READY.gauge_of([self.name]).set(u8::from(done.is_ok()));
        Outcome { name: self.name, ok: done.is_ok(), reason: done.err() }
    }
}

impl Health {
    /// Begins the rounds; one more begins at once when `stop` turns true.
    pub(crate) fn start(checks: Vec<Check>, mut stop: watch::Receiver<bool>) -> Self {
        let unasked = |check: &Check| {
            let reason = Some("it was not asked yet".to_owned());
            Outcome { name: check.name, ok: false, reason }
        };
        let (told, outcomes) = watch::channel(checks.iter().map(unasked).collect());
        let rounds = tokio::spawn(async move {
            loop {
                told.send_replace(join_all(checks.iter().map(Check::outcome)).await);
                let stopping = async {
                    if stop.changed().await.is_err() {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! { () = sleep(ROUND_PAUSE) => {} () = stopping => {} }
            }
        });
        Self { outcomes, rounds }
    }

    /// `GET /readyz`.
    pub(crate) fn routes(&self) -> BoxedFilter<(Response,)> {
        let outcomes = self.outcomes.clone();
        warp::path!("readyz").and(warp::get()).map(move || answer(outcomes.borrow().clone())).boxed()
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.rounds.abort();
    }
}

fn answer(checks: Vec<Outcome>) -> Response {
    let failed =
        checks.iter().filter_map(|check| Some(format!("{}: {}", check.name, check.reason.as_ref()?)));
    let message = failed.collect::<Vec<_>>().join("; ");
    let report = Report { checks };
    let answer = if message.is_empty() {
        Answer::ok(report)
    } else {
        Answer::refusal_with(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message, report)
    };
    answer.into_response().into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kernel::{
        identity::{KeySet, TokenKey, Tokens},
        testing::issuer::{Issuer, jwks},
    };

    use super::*;

    async fn ask(health: &Health) -> (u16, serde_json::Value) {
        let response = warp::test::request().path("/readyz").reply(&health.routes()).await;
        (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_ready_when_every_check_passes_and_says_which_did_not() {
        let (well, is_well) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let checks = vec![
            Check::new("log", || async { Ok(()) }),
            Check::new("history", move || {
                let well = *is_well.borrow();
                async move { if well { Ok(()) } else { Err("no node answers".to_owned()) } }
            }),
        ];
        let mut health = Health::start(checks, stopped);
        assert_eq!(ask(&health).await.0, 503, "nothing was asked yet");
        health.outcomes.changed().await.unwrap();
        let (status, body) = ask(&health).await;
        assert_eq!((status, &body["code"]), (503, &"not_ready".into()));
        assert_eq!(body["message"], "history: no node answers");
        let log = serde_json::json!({"name": "log", "ok": true, "reason": null});
        assert_eq!(body["data"]["checks"][0], log);
        well.send_replace(true);
        stop.send_replace(true);
        health.outcomes.changed().await.unwrap();
        assert_eq!(ask(&health).await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_whose_issuer_has_no_keys_is_not_ready() {
        let tokens = Arc::new(Tokens::from(TokenKey::new(&[7; 32])));
        let (_stop, stopped) = watch::channel(false);
        let mut health = Health::start(vec![checks::keys(Arc::clone(&tokens))], stopped);
        let issuer = Issuer::new("ES256").jwk();
        for (keys, expected) in [(None, 200), (Some(vec![]), 503), (Some(vec![issuer]), 200)] {
            if let Some(keys) = keys {
                tokens.replace(KeySet::parse(jwks(&keys).as_bytes()).unwrap());
            }
            health.outcomes.changed().await.unwrap();
            assert_eq!(ask(&health).await.0, expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_fails_and_the_next_round_comes() {
        let (_stop, stopped) = watch::channel(false);
        let mut health = Health::start(vec![Check::new("log", std::future::pending)], stopped);
        for _ in 0..2 {
            health.outcomes.changed().await.unwrap();
            let (status, body) = ask(&health).await;
            assert_eq!(status, 503);
            assert!(body["message"].as_str().unwrap().contains("no answer within 3 s"), "{body}");
        }
    }
}
