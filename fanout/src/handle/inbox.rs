//! The inbox: subscribed to like a channel, and listed by `rpc`.

use kernel::{
    command::wire::{Fields, WireError},
    inbox::Ask,
};
use schemas::{
    ConversationId,
    caps::{PAGE_LEN_DEFAULT, PAGE_LEN_MAX},
};

use super::{Asked, subscribe};
use crate::{
    inbox::InboxError,
    protocol::{ErrorCode, Outcome, REJECT_UNRECOVERED, SubscribeRequest, SubscribeResult},
    rpc::RpcError,
};

/// The method that lists it.
pub(super) const LIST: &str = "inbox.list";

/// From the reply on, the session is told what is new. There is nothing to recover: who comes back lists it again.
pub(super) async fn subscribe(
    at: &Asked<'_>,
    request: &SubscribeRequest,
) -> Result<SubscribeResult, ErrorCode> {
    subscribe::check(request)?;
    // A subscription token gives leave to read a conversation; nobody reads the inbox of others.
    if !request.token.is_empty() {
        return Err(ErrorCode::PERMISSION_DENIED);
    }
    if request.recover && request.flag & REJECT_UNRECOVERED != 0 {
        return Err(ErrorCode::UNRECOVERABLE_POSITION);
    }
    let user = &at.identity.user;
    let opened = at.shard.around.inboxes.open(user).await.map_err(|error| refusal(&error))?;
    at.shard.open_inbox(at.session, user, opened);
    Ok(SubscribeResult { was_recovering: request.recover, ..SubscribeResult::default() })
}

/// Some entries.
pub(super) async fn list(at: &Asked<'_>, data: &[u8]) -> Result<Outcome, RpcError> {
    let (after, limit, unread) = asked(data)?;
    let ask = Ask { after: after.as_ref(), limit, unread };
    let page = at.shard.around.inboxes.page(&at.identity.user, ask).await;
    let page = page.map_err(|error| RpcError::from(refusal(&error)))?;
    let data = serde_json::to_vec(&page).map_err(|_| RpcError::from(ErrorCode::INTERNAL))?;
    Ok(Outcome::Rpc(data.into()))
}

fn asked(data: &[u8]) -> Result<(Option<ConversationId>, usize, bool), WireError> {
    let fields = Fields::of_body(data, &["after", "limit", "unread"])?;
    let limit = fields.value::<usize>("limit", "a number")?.unwrap_or(PAGE_LEN_DEFAULT);
    if !(1..=PAGE_LEN_MAX).contains(&limit) {
        return Err(WireError::Invalid(format!("limit: 1 to {PAGE_LEN_MAX} entries make a page")));
    }
    Ok((fields.text("after")?, limit, fields.value::<bool>("unread", "true or false")?.unwrap_or(false)))
}

fn refusal(error: &InboxError) -> ErrorCode {
    match error {
        InboxError::TooMany => ErrorCode::LIMIT_EXCEEDED,
        InboxError::Behind(_) => subscribe::temporary(error),
    }
}
