//! How commands reach a server: one HTTP path for all of them, whichever server it is.
//!
//! ```text
//!   --url URL --token T           that server
//!   --data DIR, a server runs     the server of the folder, with a token from the folder's key
//!   --data DIR, none runs         a server in this process, for as long as the command takes
//! ```
//!
//! Invariant: nothing here opens the log or the history; what a command can do is what `docs/http.md` says.
//! Deliberately not here: a WebSocket. Commands read what is there, and ask again for what comes.

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{StatusCode, header};
use kernel::clock::{Clock, SystemClock};
use reqwest::{RequestBuilder, Response, Url};
use schemas::{UserId, answer};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time::{Instant, sleep};

use crate::{app::App, data_dir::DataDir, settings::Settings};

mod backoff;
mod events;

pub use backoff::Backoff;
pub use events::{AsOf, Events, EventsError, Line, Selection};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(5);
/// How long a server may be silent within an answer.
const READ_WAIT: Duration = Duration::from_secs(30);
/// How long one call may take; longer than any deadline of the server.
const CALL_WAIT: Duration = Duration::from_mins(1);
/// How long a server that holds the folder may take to say where it listens.
const ADDRESS_WAIT: Duration = Duration::from_secs(10);
/// Pause between two looks for it.
const ADDRESS_PAUSE: Duration = Duration::from_millis(50);
/// Life of the token that a command makes for itself, in seconds: a long replay still fits in.
const TOKEN_TTL_S: i64 = 7 * 24 * 3_600;

/// Which server a command goes to.
#[derive(Clone)]
pub enum Target {
    /// The server of a data folder; one in this process if none runs.
    Folder {
        /// The folder.
        data: PathBuf,
        /// Who acts, with the scope `admin`.
        user: UserId,
        /// Whether the folder is made if there is none.
        create: bool,
    },
    /// Any server.
    Url {
        /// Where it is: `http://…` or `https://…`.
        url: Url,
        /// Who asks.
        token: String,
    },
}

/// A way to a server; it may carry the server itself. Finish with [`Client::close`].
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: String,
    /// The server, where it runs in this process.
    own: Option<App>,
}

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The server said no.
    #[error("{message} ({code})")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The stable name of the refusal.
        code: String,
        /// What happened and what to do.
        message: String,
        /// When to try again, where the server says that this helps.
        retry_after: Option<Duration>,
    },
    /// No answer, or a part of one. Whether the command happened is not known.
    #[error("no answer from {url}: {cause}; see that the server runs and can be reached")]
    Unreachable {
        /// Where the server should be.
        url: String,
        /// What went wrong, at the bottom of it.
        cause: String,
    },
    /// An answer that no Tidings server gives.
    #[error("{url} does not answer like a Tidings server ({what}); check the address")]
    Foreign {
        /// Who answered.
        url: String,
        /// What is wrong with it.
        what: String,
    },
}

/// The envelope of every answer but a stream.
#[derive(Deserialize)]
struct Envelope<T> {
    code: String,
    message: String,
    data: Option<T>,
}

impl CallError {
    /// Whether the same call may succeed when it is sent again. Commands bear ids, so that this does no harm.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Refused { status, .. } => {
                *status == StatusCode::SERVICE_UNAVAILABLE || *status == StatusCode::REQUEST_TIMEOUT
            }
            Self::Unreachable { .. } => true,
            Self::Foreign { .. } => false,
        }
    }

    /// When the server asks to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { data, user, .. } => write!(f, "Folder({}, {user})", data.display()),
            Self::Url { url, .. } => write!(f, "Url({url})"),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.base)
    }
}

impl Client {
    /// Finds the server, or starts one. The server answered when this returns.
    ///
    /// # Errors
    /// There is no folder, nobody answers, or the server in this process cannot start.
    pub async fn resolve(target: &Target) -> anyhow::Result<Self> {
        let client = match target {
            Target::Url { url, token } => Self::new(url.clone(), token.clone(), None)?,
            Target::Folder { data, user, create } => Self::of_folder(data, user, *create).await?,
        };
        client.is_there().await?;
        Ok(client)
    }

    /// A server in this process on the folder `data`, at a free port of this machine.
    ///
    /// # Errors
    /// As [`App::start`].
    pub async fn in_process(data: &Path, user: &UserId) -> anyhow::Result<Self> {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings { listen, guests: Some(false), ..Settings::on(data.to_owned()) };
        let app = Box::pin(App::start(&settings)).await?;
        let token = admin_token(&DataDir::open(data)?, user)?;
        Self::new(app.url().parse().context("the server's own address")?, token, Some(app))
    }

    async fn of_folder(data: &Path, user: &UserId, create: bool) -> anyhow::Result<Self> {
        let dir = if create { DataDir::open(data)? } else { DataDir::open_existing(data)? };
        let started = Instant::now();
        while dir.lock()?.is_none() {
            if let Some(client) = Self::at_address_of(&dir, user).await? {
                return Ok(client);
            }
            if started.elapsed() > ADDRESS_WAIT {
                bail!(
                    "a server has the data folder {} but cannot be reached: wait until it is up, or stop it",
                    data.display()
                );
            }
            sleep(ADDRESS_PAUSE).await;
        }
        Self::in_process(data, user).await
    }

    /// The server that announced itself in the folder, if it answers. It may just be starting, and the address
    /// one that an earlier server left.
    async fn at_address_of(dir: &DataDir, user: &UserId) -> anyhow::Result<Option<Self>> {
        let Some(url) = dir.address().and_then(|address| address.parse().ok()) else { return Ok(None) };
        // Who listens there is not proved yet, so it is asked without the token.
        let stranger = Self::new(url, String::new(), None)?;
        if stranger.is_there().await.is_err() {
            return Ok(None);
        }
        Ok(Some(Self { token: admin_token(dir, user)?, ..stranger }))
    }

    fn new(base: Url, token: String, own: Option<App>) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_WAIT)
            .read_timeout(READ_WAIT)
            .tcp_nodelay(true)
            .redirect(reqwest::redirect::Policy::none());
        // A proxy has no business between two programs of one machine.
        let builder = if is_local(&base) { builder.no_proxy() } else { builder };
        let http = builder.build().context("cannot make an HTTP client")?;
        Ok(Self { http, base, token, own })
    }

    /// Where the server is.
    pub fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether the server runs in this process.
    pub fn is_in_process(&self) -> bool {
        self.own.is_some()
    }

    /// Another client of the same server, with connections of its own.
    ///
    /// # Errors
    /// As for any HTTP client: the system has no randomness or no certificates.
    pub fn another(&self) -> anyhow::Result<Self> {
        Self::new(self.base.clone(), self.token.clone(), None)
    }

    /// Stops the server, if it runs in this process.
    ///
    /// # Errors
    /// As [`App::stop`].
    pub async fn close(self) -> anyhow::Result<()> {
        match self.own {
            Some(app) => app.stop().await,
            None => Ok(()),
        }
    }

    /// Asks a question. Once; see [`patiently`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, String)],
    ) -> Result<T, CallError> {
        self.call(self.http.get(self.address(path)).query(query)).await
    }

    /// Sends a command, or lines to import. Once; see [`patiently`].
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        content_type: &'static str,
        body: Bytes,
    ) -> Result<T, CallError> {
        let request = self.http.post(self.address(path)).header(header::CONTENT_TYPE, content_type);
        self.call(request.body(body)).await
    }

    /// Begins to read events of a conversation.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn events(&self, selection: &Selection) -> Result<Events, CallError> {
        let address = self.address(&["v1", "conversations", selection.conversation.as_str(), "events"]);
        let request = self.http.get(address).query(&selection.query()).bearer_auth(&self.token);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(Events::of(response, selection.from));
        }
        let foreign = self.foreign("a stream was to come");
        Err(self.data::<serde::de::IgnoredAny>(response).await.err().unwrap_or(foreign))
    }

    async fn is_there(&self) -> Result<(), CallError> {
        self.get::<serde::de::IgnoredAny>(&["livez"], &[]).await.map(drop)
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // `--url` takes only addresses that can have a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let request = if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        let request = request.timeout(CALL_WAIT);
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.data(response).await
    }

    /// What is in the envelope.
    async fn data<T: DeserializeOwned>(&self, response: Response) -> Result<T, CallError> {
        let status = response.status();
        let retry_after = retry_after(&response);
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        let envelope: Envelope<T> = match serde_json::from_slice(&body) {
            Ok(envelope) => envelope,
            // What stands before a server (a proxy) may say that it is away for a moment, in its own way.
            Err(_) if status == StatusCode::SERVICE_UNAVAILABLE => {
                let (code, message) = ("unavailable".to_owned(), "the server is not available".to_owned());
                return Err(CallError::Refused { status, code, message, retry_after });
            }
            Err(error) => return Err(self.foreign(&format!("status {status}, {error}"))),
        };
        match envelope {
            Envelope { data: Some(data), code, .. } if code == answer::OK => Ok(data),
            Envelope { code, message, .. } if !status.is_success() => {
                Err(CallError::Refused { status, code, message, retry_after })
            }
            _ => Err(self.foreign(&format!("status {status} without data"))),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Unreachable { url: self.url().to_owned(), cause: root_cause(error) }
    }

    fn foreign(&self, what: &str) -> CallError {
        CallError::Foreign { url: self.url().to_owned(), what: what.to_owned() }
    }
}

/// Calls again while that may help, for about a minute.
///
/// # Errors
/// The last one, when it does not help or the minute is over.
pub async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let started = Instant::now();
    let mut backoff = Backoff::default();
    loop {
        let error = match call().await {
            Err(error) if error.is_passing() => error,
            done => return done,
        };
        match backoff.next(started.elapsed(), error.retry_after()) {
            Some(pause) => sleep(pause).await,
            None => return Err(error),
        }
    }
}

fn admin_token(dir: &DataDir, user: &UserId) -> anyhow::Result<String> {
    Ok(dir.token_key()?.mint(user, true, SystemClock.now(), Some(TOKEN_TTL_S))?)
}

/// Whether an address is that of this machine.
pub(crate) fn is_local(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// Why a request brought no answer, or not the whole of one.
pub(crate) fn said(error: &reqwest::Error) -> String {
    if error.is_timeout() { "no answer in time".to_owned() } else { root_cause(error) }
}

/// What lies at the bottom of an error; the layers above it only say that something failed.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests;
