//! What operators are told of a server that runs: its checks and its metrics, on its own address or apart.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    edge,
    health::{Check, Health},
    routes,
    telemetry::metrics,
};

/// Ends with the value.
#[derive(Debug)]
pub(super) struct Told {
    _health: Health,
    /// Serves the addresses for operators apart from the others, to the very end.
    edge: Option<JoinHandle<()>>,
    upkeep: JoinHandle<()>,
}

impl Told {
    /// Begins the checks, and listens where `apart` says; gives the routes that belong beside all others.
    pub(super) async fn start(
        checks: Vec<Check>,
        stopped: &watch::Receiver<bool>,
        apart: Option<SocketAddr>,
    ) -> anyhow::Result<(Self, BoxedFilter<(Response,)>)> {
        let health = Health::start(checks, stopped.clone());
        let beside = routes::livez().or(health.routes()).unify().boxed();
        let all = beside.clone().or(metrics::routes()).unify().boxed();
        let upkeep = metrics::keep_up();
        let Some(address) = apart else { return Ok((Self { _health: health, edge: None, upkeep }, all)) };
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address} for metrics; choose another with --metrics-listen")
        })?;
        tracing::info!(address = %listener.local_addr()?, "metrics are served apart");
        // It answers to the end, so that those who ask see that the node stops.
        let edge = tokio::spawn(async move {
            let (_never, stopped) = watch::channel(false);
            edge::serve(listener, routes::answering(all), stopped).await;
        });
        Ok((Self { _health: health, edge: Some(edge), upkeep }, beside))
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.upkeep.abort();
        if let Some(edge) = &self.edge {
            edge.abort();
        }
    }
}
