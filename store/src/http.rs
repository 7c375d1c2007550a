//! The questions over HTTP, as `docs/http.md` has them.
//!
//! Each goes the same way: who asks (the filter that is handed in) → what is asked → wait until the history is fresh →
//! may they read it → answer. Every answer but a stream has the envelope of [`schemas::Answer`]; addresses and methods
//! that are not ours are left to the other routes of the server.

use std::sync::Arc;

use kernel::{
    conversation::{ConversationState, Refusal, Standing},
    event_log::{SharedLog, partition_of},
    history::{Depth, Freshness, SharedHistory, Snapshot},
    identity::Identity,
};
use percent_encoding::percent_decode_str;
use schemas::{Answer, ConversationId, Position, id::IdError};
use serde::Serialize;
use warp::{Filter, filters::BoxedFilter, reply::Response};

mod conversations;
mod events;
mod inbox;
mod messages;
mod query;
mod refused;
#[cfg(test)]
mod tests;

use query::Query;
use refused::Refused;

/// Answers questions about the history. Shared as `Arc<Store>`.
#[derive(Debug)]
pub struct Store {
    log: SharedLog,
    history: SharedHistory,
    freshness: Freshness,
}

/// A conversation that the one who asks may read.
struct Readable {
    id: ConversationId,
    /// As it is now, for looking at.
    state: ConversationState,
    /// The history has all before it.
    position: Position,
}

impl Store {
    /// For a history that a projector keeps up to date from this log.
    pub fn new(log: SharedLog, history: SharedHistory) -> Arc<Self> {
        let freshness = Freshness::new(SharedLog::clone(&log), SharedHistory::clone(&history));
        Arc::new(Self { log, history, freshness })
    }

    /// The conversation named in the path, as fresh as promised, if `identity` may read it.
    async fn readable(&self, identity: &Identity, segment: &str) -> Result<Readable, Refused> {
        let id = conversation_id(segment)?;
        let partition = partition_of(&id, self.log.partitions());
        self.freshness.reach(partition).await?;
        let Snapshot { state, position } = self.history.snapshot(partition, &id, Depth::Look).await?;
        let state = state.ok_or(Refusal::UnknownConversation)?;
        if !state.may_read(&identity.user) {
            if !identity.admin {
                let removed = state.standing(&identity.user) == Some(Standing::Removed);
                return Err(if removed { Refusal::Removed } else { Refusal::NotAMember }.into());
            }
            tracing::info!(user = %identity.user, conversation = %id, "an admin reads a conversation of others");
        }
        Ok(Readable { id, state, position })
    }
}

/// The routes of the questions. `identity` says who asks; its rejections are left to the caller, as are addresses and
/// methods that are not here.
pub fn routes(store: Arc<Store>, identity: BoxedFilter<(Identity,)>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let asked = warp::get().and(identity).and(query).and(warp::any().map(move || Arc::clone(&store)));
    let list = warp::path!("v1" / "conversations").and(asked.clone()).then(
        |identity: Identity, query: String, store: Arc<Store>| async move {
            respond(store.conversations(&identity, &query).await)
        },
    );
    let inbox = warp::path!("v1" / "inbox").and(asked.clone()).then(
        |identity: Identity, query: String, store: Arc<Store>| async move {
            respond(store.inbox(&identity, &query).await)
        },
    );
    let one = warp::path!("v1" / "conversations" / String).and(asked.clone()).then(
        |id: String, identity: Identity, query: String, store: Arc<Store>| async move {
            respond(store.conversation(&identity, &id, &query).await)
        },
    );
    let messages = warp::path!("v1" / "conversations" / String / "messages").and(asked.clone()).then(
        |id: String, identity: Identity, query: String, store: Arc<Store>| async move {
            respond(store.messages(&identity, &id, &query).await)
        },
    );
    let events = warp::path!("v1" / "conversations" / String / "events").and(asked).then(
        |id: String, identity: Identity, query: String, store: Arc<Store>| async move {
            respond(store.events(&identity, &id, &query).await)
        },
    );
    list.or(one).unify().or(inbox).unify().or(messages).unify().or(events).unify().boxed()
}

fn respond(result: Result<Response, Refused>) -> Response {
    result.unwrap_or_else(Refused::into_response)
}

fn ok(data: impl Serialize) -> Response {
    Answer::ok(data).into_response().map(Into::into)
}

/// The id in a segment of the path, which may be percent-encoded.
fn conversation_id(segment: &str) -> Result<ConversationId, Refused> {
    let decoded = percent_decode_str(segment).decode_utf8();
    let text = decoded.map_err(|_| Refused::invalid("the conversation id is not UTF-8"))?;
    text.parse().map_err(|error: IdError| Refused::invalid(error.to_string()))
}
