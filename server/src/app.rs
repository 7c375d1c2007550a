//! The composition: settings become a running server.
//!
//! ```text
//!   log <- ingest <- HTTP, WebSocket
//!    |\
//!    | projector -> history <- store's HTTP
//!    \
//!     mirror -> fanout -> sessions
//!                 |
//!              signals <-> other nodes
//! ```
//!
//! Which of these a process has, its roles say. `told` is what operators are told of it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use fanout::Fanout;
use ingest::Ingest;
use kernel::{
    clock::{Clock, SystemClock},
    event_log::SharedLog,
    history::SharedHistory,
    identity::Tokens,
    mirror::Mirror,
    signals::SharedSignals,
};
use store::{Projector, ProjectorHandle, Store};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

use crate::{
    backing::{Opened, open_signals},
    data_dir::{DataDir, DataLock, token_key},
    edge,
    health::checks::{self, Tails},
    key_set::Keeper,
    routes::{self, Services},
    settings::{Backing, DRAIN_WINDOW, Role, Settings},
    telemetry::metrics,
};

mod door;
mod told;

use told::Told;

/// How long requests at hand may take to finish at shutdown.
const REQUESTS_WAIT: Duration = Duration::from_secs(5);

/// A server that runs.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    edge: JoinHandle<()>,
    told: Told,
    /// With the role fanout.
    fanout: Option<Arc<Fanout>>,
    /// With the role store.
    projector: Option<ProjectorHandle>,
    /// With an issuer.
    _keeper: Option<Keeper>,
    /// Where log and history are embedded. Released last: until then no other process may use the folder.
    lock: Option<DataLock>,
}

/// What follows the log at this node for commands and sessions.
struct Followers {
    mirror: Arc<Mirror>,
    /// With the role ingest.
    ingest: Option<Arc<Ingest>>,
    /// With the role fanout.
    fanout: Option<Arc<Fanout>>,
}

impl App {
    /// Opens the log and the history, starts the services of the roles and listens. Nothing listens before everything
    /// else is well.
    ///
    /// # Errors
    /// The folder is in use, a file or a server cannot be used, or the address cannot be listened on.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        // Before anything takes a handle of a metric.
        metrics::install();
        let dir = DataDir::open(&settings.data)?;
        let lock = match settings.backing {
            Backing::Embedded => Some(lock(&dir, settings)?),
            // Whatever is in the folder then is the same for all processes.
            Backing::Servers(_) => None,
        };
        let key = token_key(&settings.data, settings.token_key.as_deref())?;
        let tokens = Arc::new(Tokens::new(key, &settings.expected));
        let keeper = keeper(settings, &tokens).await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Opened { log, history, registry, signal_codec } =
            Opened::of(&settings.backing, &dir, &clock).await?;
        let stores = settings.roles.has(Role::Store);
        let projector = stores.then(|| Projector::start(Arc::clone(&log), Arc::clone(&history)));
        let store = stores.then(|| Store::new(Arc::clone(&log), Arc::clone(&history)));
        let signals = if settings.roles.has(Role::Fanout) {
            Some(open_signals(&settings.backing, signal_codec, &clock).await?)
        } else {
            None
        };
        let followers = Followers::start(settings, &log, &history, &tokens, &clock, signals).await?;
        let listener = door::open(settings.listen)
            .with_context(|| format!("cannot listen on {}; choose another with --listen", settings.listen))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = watch::channel(false);
        let tails = Tails::of(&log);
        let mut asked = vec![checks::log(Arc::clone(&log), tails.clone())];
        if let Some(followers) = &followers {
            asked.push(checks::mirror(Arc::clone(&followers.mirror), tails.clone()));
        }
        asked.push(checks::history(log, history, tails));
        if let Some(projector) = &projector {
            asked.push(checks::projector(projector.failure()));
        }
        if keeper.is_some() {
            asked.push(checks::keys(Arc::clone(&tokens)));
        }
        asked.push(checks::draining(stopped.clone()));
        let (told, own) = Told::start(asked, &stopped, settings.metrics_listen).await?;
        let guests = settings.guests();
        let (ingest, fanout) =
            followers.map_or((None, None), |followers| (followers.ingest, followers.fanout));
        let registry = Arc::new(registry);
        let services = Services { ingest, store, fanout: fanout.clone(), tokens, clock, guests, registry };
        let edge = tokio::spawn(edge::serve(listener, routes::all(&services, own), stopped));
        let app = Self { address, stop, edge, told, fanout, projector, _keeper: keeper, lock };
        if let Some(lock) = &app.lock {
            lock.announce(&app.url())?;
        }
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
        let Some(projector) = &self.projector else { return std::future::pending().await };
        anyhow::Error::new(projector.failed().await).context("the history cannot be written any more")
    }

    /// Takes no new requests, tells the sessions to come back elsewhere, finishes what is at hand. What is still open afterwards ends with
    /// the runtime.
    ///
    /// # Errors
    /// The projector had failed.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.send_replace(true);
        if let Some(fanout) = &self.fanout {
            fanout.drain(DRAIN_WINDOW).await;
        }
        if timeout(REQUESTS_WAIT, self.edge).await.is_err() {
            tracing::warn!("requests were still at hand and were cut off");
        }
        if let Some(projector) = self.projector {
            projector.stop().await?;
        }
        if let Some(fanout) = &self.fanout {
            fanout.end().await;
        }
        drop(self.told);
        Ok(())
    }
}

impl Followers {
    /// Starts what the roles want. A session may send commands, so where there are sessions there is an [`Ingest`] too;
    /// without its role nobody reaches it over HTTP.
    async fn start(
        settings: &Settings,
        log: &SharedLog,
        history: &SharedHistory,
        tokens: &Arc<Tokens>,
        clock: &Arc<dyn Clock>,
        signals: Option<SharedSignals>,
    ) -> anyhow::Result<Option<Self>> {
        let (commands, sessions) = (settings.roles.has(Role::Ingest), settings.roles.has(Role::Fanout));
        if !commands && !sessions {
            return Ok(None);
        }
        let threads = if sessions { Some(fanout::Threads::start(settings.shards)?) } else { None };
        let mirror = Mirror::start(Arc::clone(log), Arc::clone(history));
        let mirror = match threads.as_ref().and_then(fanout::Threads::beside_the_shard) {
            Some(runtime) => runtime.spawn(mirror).await??,
            None => mirror.await?,
        };
        let ingest = Ingest::new(Arc::clone(&mirror), Arc::clone(clock));
        let fanout = threads.zip(signals).map(|(threads, signals)| {
            let allowed_origins = settings.allowed_origins.clone();
            let settings = fanout::Settings { threads, allowed_origins, streams_max: edge::STREAMS_MAX };
            let sink = Arc::clone(&ingest) as _;
            Fanout::start(&mirror, sink, Arc::clone(tokens), Arc::clone(clock), signals, settings)
        });
        Ok(Some(Self { mirror, ingest: commands.then_some(ingest), fanout }))
    }
}

/// Brings the keys of the issuer, if there is one.
async fn keeper(settings: &Settings, tokens: &Arc<Tokens>) -> anyhow::Result<Option<Keeper>> {
    let Some(source) = &settings.jwks else { return Ok(None) };
    let keeper = Keeper::start(source, Arc::clone(tokens)).await?;
    if settings.expected.audiences.is_empty() {
        tracing::warn!("tokens that the issuer made for other services pass too; say --token-audience");
    }
    Ok(Some(keeper))
}

fn lock(dir: &DataDir, settings: &Settings) -> anyhow::Result<DataLock> {
    let Some(lock) = dir.lock()? else {
        let running = dir.address().map_or(String::new(), |address| format!(" at {address}"));
        bail!("a server{running} uses the data folder {} already", settings.data.display());
    };
    Ok(lock)
}
