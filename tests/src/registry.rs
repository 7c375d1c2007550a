//! A schema registry of another program's making: takes schemas, and gives each an id of its own choice.

use std::sync::Arc;

use anyhow::Context;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use crate::http::{Listening, Request, Response};

/// The first id that is given.
pub const FIRST_ID: u32 = 1_000;

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Registry {
    listening: Listening,
    schemas: Arc<Mutex<Vec<Registered>>>,
}

/// A schema under its subject; its place in the list is its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// `TOPIC-value`.
    pub subject: String,
    /// Its text.
    pub schema: String,
}

impl Registry {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> anyhow::Result<Self> {
        let schemas: Arc<Mutex<Vec<Registered>>> = Arc::default();
        let kept = Arc::clone(&schemas);
        let listening = Listening::start(move |request| {
            let kept = Arc::clone(&kept);
            async move {
                let mut schemas = kept.lock().await;
                answer(&request, &mut schemas)
            }
        });
        Ok(Self { listening: listening.await?, schemas })
    }

    /// What `--schema-registry` is to say.
    pub fn url(&self) -> String {
        self.listening.url()
    }

    /// What was registered so far, by rising id.
    pub async fn registered(&self) -> Vec<Registered> {
        self.schemas.lock().await.clone()
    }
}

fn answer(request: &Request, schemas: &mut Vec<Registered>) -> anyhow::Result<Response> {
    #[derive(Deserialize)]
    struct Sent {
        schema: String,
    }
    let subject =
        request.line.strip_prefix("POST /subjects/").and_then(|rest| rest.strip_suffix("/versions"));
    let Some(subject) = subject else {
        let body = json!({"error_code": 404, "message": "HTTP 404 Not Found"});
        return Ok(json_response("404 Not Found", &body));
    };
    let Sent { schema } = serde_json::from_slice(&request.body)?;
    let wanted = Registered { subject: subject.to_owned(), schema };
    let known = schemas.iter().position(|registered| *registered == wanted);
    let place = known.unwrap_or_else(|| {
        schemas.push(wanted);
        schemas.len() - 1
    });
    let id = FIRST_ID.checked_add(u32::try_from(place)?).context("an id")?;
    Ok(json_response("200 OK", &json!({"id": id})))
}

fn json_response(status: &'static str, body: &serde_json::Value) -> Response {
    Response { status, content_type: "application/vnd.schemaregistry.v1+json", body: body.to_string().into() }
}
