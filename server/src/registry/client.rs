//! Registers the schemas of events and signals with a registry that another program runs, and learns the ids it gives them.
//!
//! Done once, before the log is opened: without the ids nothing can be written that others could read. To
//! register a schema again changes nothing and gives the same id, so every start and every node does it.
//!
//! Invariant: versions are registered oldest first, so that the registry has them in our order. User and password of
//! the address appear in no error and no log.

use std::{fmt, str::FromStr, time::Duration};

use http::StatusCode;
use reqwest::{RequestBuilder, Url};
use schemas::codec::{RegisteredIds, SCHEMAS, SIGNAL_SCHEMAS, SchemaId, SharedId, SignalCodec};
use serde::Deserialize;
use serde_json::json;
use tokio::time::sleep;

use crate::client::said;

/// How long a connection may take to be made.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// How long one request may take.
const REQUEST_WAIT: Duration = Duration::from_secs(10);
/// How often a request is sent at most, where sending it again can help.
const TRIES_MAX: u32 = 5;
/// The pause before the second try; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(200);
/// How much of an answer that is none of a registry is quoted, in characters.
const QUOTE_LEN_MAX: usize = 200;

/// Where a registry is: `http(s)://[USER:PASSWORD@]HOST[:PORT][/PATH]`.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    /// Without user and password.
    url: Url,
    user: Option<String>,
    password: Option<String>,
}

/// The text is no address of a registry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an address of a schema registry: write http://HOST:PORT or https://USER:PASSWORD@HOST")]
pub struct NotAnAddress;

/// Why the schemas are not registered. It was tried again where that could help.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// It does not answer.
    #[error(
        "the schema registry at {address} does not answer ({reason}); start it, or correct --schema-registry"
    )]
    Unreachable {
        /// Where it should be.
        address: RegistryAddress,
        /// What happened instead.
        reason: String,
    },
    /// It wants to know who asks.
    #[error(
        "the schema registry at {address} lets us not in ({status}): write user and password into \
         --schema-registry, as in https://USER:PASSWORD@HOST"
    )]
    NotLetIn {
        /// Where it is.
        address: RegistryAddress,
        /// 401 or 403.
        status: StatusCode,
    },
    /// Somebody registered under our subject what does not go with our schemas.
    #[error(
        "the subject {subject} of the schema registry at {address} has schemas that version {version} of ours does \
         not go with ({message}): remove them there, or choose another topic prefix"
    )]
    Incompatible {
        /// Where it is.
        address: RegistryAddress,
        /// Under which subject.
        subject: String,
        /// Our version that was refused, from 1.
        version: usize,
        /// What the registry says.
        message: String,
    },
    /// It answers otherwise than a registry should, or refuses.
    #[error(
        "the schema registry at {address} did not register version {version} under {subject}: {status} {message}"
    )]
    Refused {
        /// Where it is.
        address: RegistryAddress,
        /// Under which subject.
        subject: String,
        /// Our version, from 1.
        version: usize,
        /// The status of its answer.
        status: StatusCode,
        /// What it says.
        message: String,
    },
    /// It gave one id to two versions.
    #[error("the schema registry gave ids that cannot be: {0}")]
    SharedId(#[from] SharedId),
}

/// What one request came to.
enum Outcome {
    Id(SchemaId),
    /// Sending it again can help.
    Again(String),
    Refused(StatusCode, String),
}

impl FromStr for RegistryAddress {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let mut url = Url::parse(text).map_err(|_| NotAnAddress)?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || url.query().is_some() {
            return Err(NotAnAddress);
        }
        let decoded = |text: &str| {
            percent_encoding::percent_decode_str(text)
                .decode_utf8()
                .map_err(|_| NotAnAddress)
                .map(String::from)
        };
        let password = url.password().map(decoded).transpose()?;
        let user = Some(decoded(url.username())?).filter(|user| !user.is_empty() || password.is_some());
        url.set_password(None).and_then(|()| url.set_username("")).map_err(|()| NotAnAddress)?;
        Ok(Self { url, user, password })
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryAddress").field("url", &self.to_string()).finish_non_exhaustive()
    }
}

/// Registers every version of the event schema under `subject` and gives their ids. Takes at most about a minute for each
/// version.
///
/// # Errors
/// See [`RegisterError`]; what was registered before stays so.
pub async fn register(address: &RegistryAddress, subject: &str) -> Result<RegisteredIds, RegisterError> {
    Ok(RegisteredIds::new(register_all(address, subject, SCHEMAS).await?)?)
}

/// The same for the schema of signals.
///
/// # Errors
/// As [`register`].
pub async fn register_signals(
    address: &RegistryAddress,
    subject: &str,
) -> Result<SignalCodec, RegisterError> {
    Ok(SignalCodec::registered(register_all(address, subject, SIGNAL_SCHEMAS).await?))
}

async fn register_all<const LEN: usize>(
    address: &RegistryAddress,
    subject: &str,
    schemas: &[&str],
) -> Result<[SchemaId; LEN], RegisterError> {
    let unusable =
        |error: &reqwest::Error| RegisterError::Unreachable { address: address.clone(), reason: said(error) };
    let http = reqwest::Client::builder()
        .connect_timeout(CONNECT_WAIT)
        .timeout(REQUEST_WAIT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|error| unusable(&error))?;
    let mut ids = [SchemaId(0); LEN];
    for ((version, text), id) in (1..).zip(schemas).zip(&mut ids) {
        *id = register_one(address, subject, version, || {
            let request = http.post(address.versions_of(subject)).json(&json!({"schema": text}));
            address
                .signed(request.header("accept", "application/vnd.schemaregistry.v1+json, application/json"))
        })
        .await?;
        tracing::info!(%address, subject, version, id = id.0, "a schema is registered");
    }
    Ok(ids)
}

async fn register_one(
    address: &RegistryAddress,
    subject: &str,
    version: usize,
    request: impl Fn() -> RequestBuilder,
) -> Result<SchemaId, RegisterError> {
    let mut pause = PAUSE;
    let mut tries = 1;
    loop {
        match send(request()).await {
            Outcome::Id(id) => return Ok(id),
            Outcome::Again(reason) if tries < TRIES_MAX => {
                tracing::warn!(%address, reason, tries, "the schema registry does not answer yet");
                sleep(pause).await;
                (pause, tries) = (pause * 2, tries + 1);
            }
            Outcome::Again(reason) => {
                return Err(RegisterError::Unreachable { address: address.clone(), reason });
            }
            Outcome::Refused(status, message) => {
                let (address, subject) = (address.clone(), subject.to_owned());
                return Err(match status {
                    StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                        RegisterError::NotLetIn { address, status }
                    }
                    StatusCode::CONFLICT => {
                        RegisterError::Incompatible { address, subject, version, message }
                    }
                    _ => RegisterError::Refused { address, subject, version, status, message },
                });
            }
        }
    }
}

async fn send(request: RequestBuilder) -> Outcome {
    #[derive(Deserialize)]
    struct Given {
        id: u32,
    }
    #[derive(Deserialize)]
    struct Fault {
        message: String,
    }
    let answer = match request.send().await {
        Ok(response) => (response.status(), response.text().await),
        Err(error) => return Outcome::Again(said(&error)),
    };
    match answer {
        (_, Err(error)) => Outcome::Again(said(&error)),
        (StatusCode::OK, Ok(text)) => match serde_json::from_str::<Given>(&text) {
            Ok(given) => Outcome::Id(SchemaId(given.id)),
            Err(_) => Outcome::Refused(StatusCode::OK, format!("without an id: {}", quoted(&text))),
        },
        (status, Ok(text)) => {
            let message =
                serde_json::from_str(&text).map_or_else(|_| quoted(&text), |Fault { message }| message);
            if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
                Outcome::Again(format!("{status} {message}"))
            } else {
                Outcome::Refused(status, message)
            }
        }
    }
}

impl RegistryAddress {
    fn versions_of(&self, subject: &str) -> Url {
        let mut url = self.url.clone();
        // An http URL always has a path.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["subjects", subject, "versions"]);
        }
        url
    }

    fn signed(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.user {
            Some(user) => request.basic_auth(user, self.password.as_ref()),
            None => request,
        }
    }
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTE_LEN_MAX).collect()
}

#[cfg(test)]
mod tests;
