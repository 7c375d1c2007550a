//! Subscription tokens: leave to read one conversation, for a while.

use kernel::identity::{SubscriptionGrant, TokenError};

use super::{Asked, connect};
use crate::protocol::{Disconnect, ErrorCode, Outcome, SubRefreshRequest, SubRefreshResult};

/// The leave that a token for `channel` gives; `None`: none was sent.
///
/// # Errors
/// See [`TokenError`]. Who may read anyway is refused too.
pub(super) fn of(
    at: &Asked<'_>,
    channel: &str,
    token: &str,
) -> Result<Option<SubscriptionGrant>, TokenError> {
    if token.is_empty() {
        return Ok(None);
    }
    // What is no name is refused for that.
    let Ok(conversation) = channel.parse() else { return Ok(None) };
    at.shard.around.tokens.verify_subscription(token, &at.identity.user, Some(&conversation)).map(Some)
}

/// What a client is told whose `subscribe` is refused for its token.
///
/// # Errors
/// The token is for something else, and the connection is to be closed.
pub(super) fn refusal(error: &TokenError) -> Result<ErrorCode, Disconnect> {
    match error {
        TokenError::Awaited => Ok(ErrorCode::INTERNAL),
        TokenError::Expired | TokenError::NotYet | TokenError::UnknownKey => Ok(ErrorCode::TOKEN_EXPIRED),
        TokenError::Invalid(_) => Ok(ErrorCode::PERMISSION_DENIED),
        TokenError::Misplaced(_) => Err(Disconnect::INVALID_TOKEN),
    }
}

/// `sub_refresh`: another token in place of one that ends. Some clients do not say for which channel; the token does.
///
/// # Errors
/// The token is none for a subscription of this user, or has ended, and the connection is to be closed.
pub(super) fn refresh(at: &Asked<'_>, request: &SubRefreshRequest) -> Result<Outcome, Disconnect> {
    let refuse = |error: ErrorCode| Ok(Outcome::Error(error.into()));
    let named = match request.channel.as_str() {
        "" => None,
        channel => match channel.parse() {
            Ok(conversation) => Some(conversation),
            Err(_) => return refuse(ErrorCode::BAD_REQUEST),
        },
    };
    let tokens = &at.shard.around.tokens;
    let grant = match tokens.verify_subscription(&request.token, &at.identity.user, named.as_ref()) {
        Ok(grant) => grant,
        Err(TokenError::Awaited) => return refuse(ErrorCode::INTERNAL),
        // An error would end the subscription for good; closed, the client comes back, and is told to get a new token.
        Err(TokenError::Expired | TokenError::NotYet | TokenError::UnknownKey) => {
            return Err(Disconnect::SUBSCRIPTION_EXPIRED);
        }
        Err(TokenError::Invalid(_) | TokenError::Misplaced(_)) => return Err(Disconnect::INVALID_TOKEN),
    };
    let Some(subscription) = at.session.subscription(&grant.conversation) else {
        return refuse(ErrorCode::PERMISSION_DENIED);
    };
    let (expires, ttl) = connect::life(grant.expires_at, at.shard.around.clock.now());
    subscription.set_grant(Some(grant));
    Ok(Outcome::SubRefresh(SubRefreshResult { expires, ttl }))
}
