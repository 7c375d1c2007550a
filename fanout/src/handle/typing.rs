//! `typing.start` and `typing.stop`: told to those who are here, and kept nowhere.

use bytes::Bytes;
use kernel::{
    command::{
        CommandError,
        wire::{Fields, WireError, required},
    },
    conversation::Refusal,
};
use schemas::ConversationId;
use tokio::time::Instant;

use super::{Asked, subscribe};
use crate::{
    protocol::{Outcome, RpcRequest},
    rpc::RpcError,
};

/// What a method says about typing; `None`: it is about something else.
pub(super) fn said(method: &str) -> Option<bool> {
    match method {
        "typing.start" => Some(true),
        "typing.stop" => Some(false),
        _ => None,
    }
}

/// Tells the others, if this person may post, and unless the session said the same a moment ago. As far as this node
/// knows: nobody waits for the log because somebody types.
pub(super) async fn typing(at: &Asked<'_>, request: &RpcRequest, typing: bool) -> Result<Outcome, RpcError> {
    let conversation = conversation(&request.data)?;
    // A grant to read lets nobody write.
    let (conversation, topic) = subscribe::open(at, conversation, None).await?;
    let may_post = topic.tracked.look(|state| match state {
        Some(state) => state.may_write(&at.identity.user),
        None => Err(Refusal::UnknownConversation),
    });
    may_post.map_err(CommandError::Refused)?;
    if at.session.may_tell_of_typing(&conversation, typing, Instant::now())
        && let Some(session) = at.session.here()
    {
        at.shard.around.presence.typing(&conversation, session, typing);
    }
    Ok(Outcome::Rpc(Bytes::from_static(b"{}")))
}

fn conversation(data: &[u8]) -> Result<ConversationId, WireError> {
    const CONVERSATION: &str = "conversation";
    let fields = Fields::of_body(data, &[CONVERSATION])?;
    required(CONVERSATION, fields.text(CONVERSATION)?)
}
