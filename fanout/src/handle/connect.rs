//! `connect`: who the client is, and what it wants to be subscribed to from the first moment.

use std::{collections::BTreeMap, rc::Rc};

use kernel::identity::TokenError;
use schemas::Timestamp;

use super::{
    Asked, grant, inbox,
    subscribe::{self, Subscribed},
};
use crate::{
    inbox::CHANNEL,
    protocol::{
        ConnectRequest, ConnectResult, Disconnect, ErrorCode, Outcome, SubscribeRequest, SubscribeResult,
    },
    session::{Session, Standing},
    shard::{PING_INTERVAL_S, Shard},
};

pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The longest time to live that clients are told, in seconds: their timers end at 2^31 ms.
const TTL_S_MAX: i64 = 2_000_000;
/// No more first pages go out with the reply once so many bytes of them do; clients close at frames of 1 MiB.
const FIRST_PAGES_BYTES_MAX: usize = 256 * 1_024;

pub(super) async fn connect(
    shard: &Rc<Shard>,
    session: &Rc<Session>,
    id: u32,
    request: &ConnectRequest,
) -> Result<(), Disconnect> {
    if id == 0 || request.token.is_empty() {
        return Err(Disconnect::BAD_REQUEST);
    }
    let identity = match shard.around.tokens.verify(&request.token) {
        Ok(identity) => identity,
        Err(error) => {
            if !matches!(error, TokenError::Expired) {
                tracing::info!(session.client = session.client(), %error, "a connection was refused");
            }
            reject(session, id, may_come_back(&error).ok_or(Disconnect::INVALID_TOKEN)?);
            return Ok(());
        }
    };
    let (expires, ttl) = life(identity.expires_at, shard.around.clock.now());
    session.set_standing(Standing::Connected(identity.clone()));
    let at = Asked { shard, session, identity, id };
    session.hold();
    match subscribe_to(&at, &request.subs).await {
        Ok((subs, subscribed)) => {
            let result = ConnectResult {
                client: session.client().to_owned(),
                version: VERSION.to_owned(),
                expires,
                ttl,
                subs,
                ping: PING_INTERVAL_S,
                pong: true,
                ..ConnectResult::default()
            };
            session.release(id, Outcome::Connect(result));
            for subscribed in subscribed {
                subscribed.begin(&at);
            }
        }
        Err(error) => reject(session, id, error),
    }
    Ok(())
}

fn reject(session: &Session, id: u32, error: ErrorCode) {
    session.set_standing(Standing::Rejected);
    session.drop_held();
    session.release(id, Outcome::Error(error.into()));
}

/// Subscribes to all that may be read; what may not is left out, which clients understand.
///
/// # Errors
/// One that passes: the client connects again.
async fn subscribe_to(
    at: &Asked<'_>,
    wanted: &BTreeMap<String, SubscribeRequest>,
) -> Result<(BTreeMap<String, SubscribeResult>, Vec<Subscribed>), ErrorCode> {
    let first_page = subscribe::first_page_by();
    let (mut results, mut subscribed, mut bytes) = (BTreeMap::new(), Vec::new(), 0);
    for (channel, request) in wanted {
        let first_page = (bytes < FIRST_PAGES_BYTES_MAX).then_some(first_page);
        let begun = if channel == CHANNEL {
            inbox::subscribe(at, request).await.map(|result| (result, None))
        } else {
            let begun = match grant::of(at, channel, &request.token) {
                Ok(grant) => subscribe::subscribe(at, channel, request, grant, first_page).await,
                // Nobody is sent away for what is only left out.
                Err(error) => Err(grant::refusal(&error).unwrap_or(ErrorCode::PERMISSION_DENIED)),
            };
            begun.map(|(result, one)| (result, Some(one)))
        };
        match begun {
            Ok((result, one)) => {
                bytes += result.publications.iter().map(|event| event.data.len()).sum::<usize>();
                results.insert(channel.clone(), result);
                subscribed.extend(one);
            }
            Err(error) if error.temporary => {
                at.shard.unsubscribe_all(at.session);
                return Err(error);
            }
            Err(_) => {}
        }
    }
    Ok((results, subscribed))
}

/// What a client is told that comes back on a new connection by itself: with the same token, or with a new one. `None`: it
/// is to stay away.
pub(super) fn may_come_back(error: &TokenError) -> Option<ErrorCode> {
    match error {
        TokenError::Awaited => Some(ErrorCode::INTERNAL),
        TokenError::Expired | TokenError::NotYet | TokenError::UnknownKey => Some(ErrorCode::TOKEN_EXPIRED),
        TokenError::Misplaced(_) | TokenError::Invalid(_) => None,
    }
}

/// Whether a token ends, and in how many seconds.
pub(super) fn life(expires_at: Option<Timestamp>, now: Timestamp) -> (bool, u32) {
    let left_s = |at: Timestamp| ((at.as_millis() - now.as_millis()) / 1_000).clamp(1, TTL_S_MAX);
    match expires_at {
        Some(at) => (true, u32::try_from(left_s(at)).unwrap_or(1)),
        None => (false, 0),
    }
}
