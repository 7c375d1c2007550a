//! The composition: settings become a running server.
//!
//! ```text
//!   log <- ingest <- HTTP, WebSocket
//!    |\
//!    | projector -> history <- store's HTTP
//!    \
//!     mirror -> fanout -> sessions
//! ```

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use fanout::Fanout;
use ingest::Ingest;
use kernel::{
    clock::{Clock, SystemClock},
    event_log::{SharedLog, sqlite::SqliteLog},
    history::{SharedHistory, sqlite::SqliteHistory},
    mirror::Mirror,
};
use store::{Projector, ProjectorHandle, Store};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

use warp::{Filter, filters::BoxedFilter, reply::Response};

use crate::{
    data_dir::{DataDir, DataLock},
    edge,
    health::{
        Check, Health,
        checks::{self, Tails},
    },
    routes::{self, Services},
    settings::{DRAIN_WINDOW, Settings},
    telemetry::metrics,
};

/// Partitions of the embedded log: one file has one writer, so more would bring nothing.
pub(crate) const EMBEDDED_PARTITIONS: u32 = 1;
/// How long requests at hand may take to finish at shutdown.
const REQUESTS_WAIT: Duration = Duration::from_secs(5);

/// What is told of a server that runs.
#[derive(Debug)]
struct Told {
    _health: Health,
    /// Serves the addresses for operators apart from the others, to the very end.
    edge: Option<JoinHandle<()>>,
    upkeep: JoinHandle<()>,
}

/// A server that runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    edge: JoinHandle<()>,
    told: Told,
    fanout: Arc<Fanout>,
    projector: ProjectorHandle,
    /// Released last: until then no other process may use the folder.
    lock: DataLock,
}

impl App {
    /// Opens the data folder, starts the services and listens. Nothing listens before everything else is well.
    ///
    /// # Errors
    /// The folder is in use, a file cannot be opened, or the address cannot be listened on.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        // Before anything takes a handle of a metric.
        metrics::install();
        let dir = DataDir::open(&settings.data)?;
        let Some(lock) = dir.lock()? else {
            let running = dir.address().map_or(String::new(), |address| format!(" at {address}"));
            bail!("a server{running} uses the data folder {} already", settings.data.display());
        };
        let key = Arc::new(dir.token_key()?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let log: SharedLog = Arc::new(SqliteLog::open(dir.log(), EMBEDDED_PARTITIONS, Arc::clone(&clock))?);
        let history: SharedHistory = Arc::new(SqliteHistory::open(dir.history())?);
        let projector = Projector::start(Arc::clone(&log), Arc::clone(&history));
        let mirror = Mirror::start(Arc::clone(&log), Arc::clone(&history)).await?;
        let ingest = Ingest::new(Arc::clone(&mirror), Arc::clone(&clock));
        let fanout_settings =
            fanout::Settings { shards: settings.shards, allowed_origins: settings.allowed_origins.clone() };
        let sink = Arc::clone(&ingest) as _;
        let fanout = Fanout::start(&mirror, sink, Arc::clone(&key), Arc::clone(&clock), fanout_settings)?;
        let store = Store::new(Arc::clone(&log), Arc::clone(&history));
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another with --listen", settings.listen))?;
        let address = listener.local_addr()?;
        let guests = settings.guests();
        let (stop, stopped) = watch::channel(false);
        let tails = Tails::of(&log);
        let checks = vec![
            checks::log(Arc::clone(&log), tails.clone()),
            checks::mirror(mirror, tails.clone()),
            checks::history(log, history, tails),
            checks::projector(projector.failure()),
            checks::draining(stopped.clone()),
        ];
        let (told, own) = Told::start(checks, &stopped, settings.metrics_listen).await?;
        let services = Services { ingest, store, fanout: Arc::clone(&fanout), key, clock, guests };
        let edge = tokio::spawn(edge::serve(listener, routes::all(&services, own), stopped));
        let app = Self { address, stop, edge, told, fanout, projector, lock };
        app.lock.announce(&app.url())?;
        Ok(app)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Resolves when something failed that the server cannot go on without.
    pub async fn failed(&self) -> anyhow::Error {
        anyhow::Error::new(self.projector.failed().await).context("the history cannot be written any more")
    }

    /// Takes no new requests, tells the sessions to come back elsewhere, finishes what is at hand.
    ///
    /// # Errors
    /// The projector had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        self.fanout.drain(DRAIN_WINDOW).await;
        if timeout(REQUESTS_WAIT, self.edge).await.is_err() {
            tracing::warn!("requests were still at hand and were cut off");
        }
        self.projector.stop().await?;
        drop(self.told);
        Ok(())
    }
}

impl Told {
    /// Begins the checks, and listens where `apart` says; gives the routes that belong beside all others.
    async fn start(
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
