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
use schemas::codec::RegisteredIds;
use store::{Projector, ProjectorHandle, Store};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle, time::timeout};

use crate::{
    data_dir::{DataDir, DataLock},
    edge,
    registry::Registry,
    routes::{self, Services},
    settings::{DRAIN_WINDOW, Settings},
};

/// Partitions of the embedded log: one file has one writer, so more would bring nothing.
pub(crate) const EMBEDDED_PARTITIONS: u32 = 1;
/// The name of the embedded log, for those who ask which schemas its records have.
const EMBEDDED_TOPIC: &str = "tidings.events";
/// How long requests at hand may take to finish at shutdown.
const REQUESTS_WAIT: Duration = Duration::from_secs(5);

/// A server that runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    edge: JoinHandle<()>,
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
        let store = Store::new(log, history);
        let listener = TcpListener::bind(settings.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another with --listen", settings.listen))?;
        let address = listener.local_addr()?;
        let guests = settings.guests();
        let registry = Arc::new(Registry::new(EMBEDDED_TOPIC, &RegisteredIds::default())?);
        let open_schemas = settings.open_schemas;
        let services = Services {
            ingest,
            store,
            fanout: Arc::clone(&fanout),
            key,
            clock,
            guests,
            registry,
            open_schemas,
        };
        let (stop, stopped) = watch::channel(false);
        let edge = tokio::spawn(edge::serve(listener, routes::all(&services), stopped));
        let app = Self { address, stop, edge, fanout, projector, lock };
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
        Ok(())
    }
}
