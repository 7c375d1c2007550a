//! The HTTP interface, as a client program uses it.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::sent::Sent;

/// How long one request may take before the client gives it up.
const REQUEST_WAIT: Duration = Duration::from_secs(15);
/// Messages in a page.
const PAGE_LEN: usize = 1_000;

/// One person's access.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It was done, now or before.
    Accepted(Accepted),
    /// It was not done: status and code.
    Refused(u16, String),
    /// Nobody knows: the connection broke, or the server said so. To be sent again with the same id.
    Unknown(String),
}

/// Where a command stands in the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Accepted {
    /// The position.
    pub offset: u64,
    /// The epoch of the log.
    pub epoch: String,
    /// The id of the event.
    pub event_id: String,
    /// Whether it had been done before.
    pub duplicate: bool,
}

/// One event of `GET /v1/conversations/{id}/events`: the line as it came, and what the tests look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLine {
    /// The bytes of the line.
    pub json: String,
    /// The position.
    pub offset: u64,
    /// The id.
    pub event_id: String,
    /// The type.
    pub kind: String,
}

#[derive(Deserialize)]
struct Envelope {
    code: String,
    data: Value,
}

impl Api {
    /// Access to the server at `url` with `token`.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn new(url: String, token: String) -> anyhow::Result<Self> {
        Self::waiting(url, token, REQUEST_WAIT)
    }

    /// The same for somebody who gives a request up after `wait`.
    ///
    /// # Errors
    /// The client cannot be set up.
    pub fn waiting(url: String, token: String, wait: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(wait).build()?;
        Ok(Self { http, url, token })
    }

    /// The token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Creates an open conversation.
    ///
    /// # Errors
    /// It was not accepted.
    pub async fn create(&self, conversation: &str) -> anyhow::Result<Accepted> {
        let body = json!({"conversation": conversation, "client_event_id": format!("create-{conversation}")});
        self.command(Method::POST, "/v1/conversations", &body).await.accepted()
    }

    /// Posts a message once, without trying again.
    pub async fn post(&self, conversation: &str, id: &str, text: &str) -> Answer {
        let path = format!("/v1/conversations/{conversation}/messages");
        self.command(Method::POST, &path, &json!({"client_message_id": id, "text": text})).await
    }

    /// Sends a command once, as its sender has it.
    pub async fn send(&self, sent: &Sent) -> Answer {
        let (method, path, body) = sent.request();
        self.command(method, &path, &body).await
    }

    /// Sends a command once.
    pub async fn command(&self, method: Method, path: &str, body: &Value) -> Answer {
        let sent = self.request(method, path).json(body).send().await;
        let (status, body) = match sent {
            Ok(response) => (response.status(), response.json::<Envelope>().await),
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        match body {
            Err(error) => Answer::Unknown(error.to_string()),
            Ok(envelope) if status.is_success() => match serde_json::from_value(envelope.data) {
                Ok(accepted) => Answer::Accepted(accepted),
                Err(error) => Answer::Refused(status.as_u16(), format!("unreadable: {error}")),
            },
            Ok(envelope) if status == StatusCode::SERVICE_UNAVAILABLE => Answer::Unknown(envelope.code),
            Ok(envelope) => Answer::Refused(status.as_u16(), envelope.code),
        }
    }

    /// Asks a question and reads its `data`.
    ///
    /// # Errors
    /// It was not answered with 200, or with something else.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let response = self.request(Method::GET, path).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "GET {path}: {status} {text}");
        let envelope: Envelope = serde_json::from_str(&text)?;
        Ok(serde_json::from_value(envelope.data)?)
    }

    /// All events of a conversation, in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn events(&self, conversation: &str) -> anyhow::Result<Vec<EventLine>> {
        let path = format!("/v1/conversations/{conversation}/events");
        let response = self.request(Method::GET, &path).send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "GET {path}: {status} {text}");
        text.lines().map(EventLine::read).collect()
    }

    /// All messages of a conversation as they look now, in order, page by page.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn messages(&self, conversation: &str) -> anyhow::Result<Vec<Value>> {
        #[derive(Deserialize)]
        struct Page {
            messages: Vec<Value>,
            more: bool,
        }
        let (mut all, mut after) = (Vec::new(), 0);
        loop {
            let path = format!("/v1/conversations/{conversation}/messages?limit={PAGE_LEN}&after={after}");
            let page: Page = self.ask(&path).await?;
            let last = page.messages.last().and_then(|message| message.get("offset")?.as_u64());
            all.extend(page.messages);
            match last {
                Some(last) if page.more => after = last,
                _ => return Ok(all),
            }
        }
    }

    /// The members of a conversation, in the order in which they are given.
    ///
    /// # Errors
    /// They cannot be read.
    pub async fn members(&self, conversation: &str) -> anyhow::Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Conversation {
            members: Vec<Member>,
        }
        #[derive(Deserialize)]
        struct Member {
            user: String,
        }
        let found: Conversation = self.ask(&format!("/v1/conversations/{conversation}")).await?;
        Ok(found.members.into_iter().map(|member| member.user).collect())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token)
    }
}

impl Answer {
    /// Where it stands.
    ///
    /// # Errors
    /// It was not accepted.
    pub fn accepted(self) -> anyhow::Result<Accepted> {
        match self {
            Self::Accepted(accepted) => Ok(accepted),
            other => bail!("not accepted: {other:?}"),
        }
    }

    /// Status and code of a refusal.
    ///
    /// # Errors
    /// It was not refused.
    pub fn refusal(self) -> anyhow::Result<(u16, String)> {
        match self {
            Self::Refused(status, code) => Ok((status, code)),
            other => bail!("not refused: {other:?}"),
        }
    }
}

impl EventLine {
    /// Reads one line.
    ///
    /// # Errors
    /// It is no event.
    pub fn read(line: &str) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Wire {
            offset: u64,
            event_id: String,
            r#type: String,
        }
        let wire: Wire = serde_json::from_str(line).with_context(|| format!("no event: {line}"))?;
        Ok(Self { json: line.to_owned(), offset: wire.offset, event_id: wire.event_id, kind: wire.r#type })
    }
}
