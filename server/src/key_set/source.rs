//! Where a key set is, and how it is read: whole, within a time, and no more of it than is allowed.

use std::{fmt, io, path::PathBuf, str::FromStr, time::Duration};

use http::{StatusCode, header};
use kernel::identity::{JWKS_LEN_MAX, KeySet, KeySetError};
use reqwest::Url;
use tokio::io::AsyncReadExt;

use crate::client::{is_local, said};

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long one reading may take.
const READ_WAIT: Duration = Duration::from_secs(10);

/// Where a key set is: a file, or `http(s)://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which may be replaced while the server runs.
    File(PathBuf),
    /// What the issuer calls its `jwks_uri`.
    Url(Url),
}

/// The text names no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "name a file, or an address like https://login.example.org/.well-known/jwks.json, without user and password"
)]
pub struct NotASource;

/// Why a key set was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("{0}")]
    File(#[from] io::Error),
    /// Nobody answers, or not to the end.
    #[error("{0}")]
    Unreachable(String),
    /// The answer is another than 200; redirections are not followed.
    #[error("the answer is {0}")]
    Refused(StatusCode),
    /// It is no key set.
    #[error("{0}")]
    Foreign(#[from] KeySetError),
}

impl ReadError {
    /// Whether it may be read if it is tried again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused(status) => status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS,
            Self::File(_) | Self::Foreign(_) => false,
        }
    }
}

impl KeySource {
    /// Whether somebody on the way could put in keys of their own.
    pub(super) fn is_exposed(&self) -> bool {
        matches!(self, Self::Url(url) if url.scheme() == "http" && !is_local(url))
    }
}

impl FromStr for KeySource {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        if !text.contains("://") {
            return if text.is_empty() { Err(NotASource) } else { Ok(Self::File(text.into())) };
        }
        let url = Url::parse(text).map_err(|_| NotASource)?;
        let is_plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if matches!(url.scheme(), "http" | "https") && is_plain {
            Ok(Self::Url(url))
        } else {
            Err(NotASource)
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

/// Reads a key set, as often as is wanted.
pub(super) enum Reader {
    File(PathBuf),
    Url(Url, reqwest::Client),
}

impl Reader {
    /// # Errors
    /// As for any HTTP client: the system has no randomness.
    pub(super) fn of(source: &KeySource) -> Result<Self, ReadError> {
        match source {
            KeySource::File(path) => Ok(Self::File(path.clone())),
            KeySource::Url(url) => {
                let http = reqwest::Client::builder()
                    .connect_timeout(CONNECT_WAIT)
                    .timeout(READ_WAIT)
                    // Between two readings any connection has ended.
                    .pool_max_idle_per_host(0)
                    .redirect(reqwest::redirect::Policy::none());
                let http = if is_local(url) { http.no_proxy() } else { http };
                Ok(Self::Url(url.clone(), http.build().map_err(|error| unreachable(&error))?))
            }
        }
    }

    /// What is there now.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(super) async fn keys(&self) -> Result<KeySet, ReadError> {
        let document = match self {
            Self::File(path) => {
                let mut document = Vec::new();
                // One byte more than is allowed tells that there are more.
                let file = tokio::fs::File::open(path).await?;
                file.take(JWKS_LEN_MAX as u64 + 1).read_to_end(&mut document).await?;
                document
            }
            Self::Url(url, http) => fetch(http, url).await?,
        };
        Ok(KeySet::parse(&document)?)
    }
}

async fn fetch(http: &reqwest::Client, url: &Url) -> Result<Vec<u8>, ReadError> {
    let request = http.get(url.clone()).header(header::ACCEPT, "application/jwk-set+json, application/json");
    let mut response = request.send().await.map_err(|error| unreachable(&error))?;
    if response.status() != StatusCode::OK {
        return Err(ReadError::Refused(response.status()));
    }
    let mut document = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(&error))? {
        if document.len() + chunk.len() > JWKS_LEN_MAX {
            return Err(KeySetError::TooLong.into());
        }
        document.extend_from_slice(&chunk);
    }
    Ok(document)
}

fn unreachable(error: &reqwest::Error) -> ReadError {
    ReadError::Unreachable(said(error))
}
