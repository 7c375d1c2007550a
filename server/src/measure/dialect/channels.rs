//! The client protocol in its JSON form (`docs/protocol.md`), with tokens or, where a server wants none, without.

use std::fmt;

use anyhow::Context;
use kernel::{
    clock::{Clock, SystemClock},
    identity::TokenKey,
};
use schemas::UserId;
use serde_json::json;

use super::{Dialect, Step, Until};
use crate::{
    measure::frame::{client_frame, pushes, upgrade},
    settings::DEV_USER,
};

/// What a server sends to see whether the session lives, and what it wants to hear.
const PING: &[u8] = b"{}";
/// Life of a token, in seconds: longer than any run.
const TOKEN_TTL_S: i64 = 24 * 3_600;
/// Commands of a connection before the first message.
const COMMANDS_BEFORE: u64 = 2;

/// See the module.
pub struct Channels {
    key: Option<TokenKey>,
}

impl Channels {
    /// Every session has a token of its own, for a person of its own with the scope `admin`; whoever publishes is
    /// [the owner of what is imported](DEV_USER).
    pub fn with_tokens(key: TokenKey) -> Self {
        Self { key: Some(key) }
    }

    /// Nobody needs a token.
    pub fn open() -> Self {
        Self { key: None }
    }

    /// What the person with this number says to come in and subscribe.
    pub(super) fn subscribing(&self, number: u64, request: &serde_json::Value) -> anyhow::Result<Vec<Step>> {
        let mut steps = self.connecting(&format!("person-{number}"))?;
        steps.push(command(2, "subscribe", request)?);
        Ok(steps)
    }

    /// What a user says to come in.
    fn connecting(&self, user: &str) -> anyhow::Result<Vec<Step>> {
        let request = match &self.key {
            Some(key) => {
                let user: UserId = user.parse().context("a user's name")?;
                json!({"token": key.mint(&user, true, SystemClock.now(), Some(TOKEN_TTL_S))?})
            }
            None => json!({}),
        };
        let upgraded = Step { says: upgrade("/connection/websocket"), until: Until::Upgraded };
        Ok(vec![upgraded, command(1, "connect", &request)?])
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels").field("tokens", &self.key.is_some()).finish()
    }
}

/// A command, up to its result.
fn command(id: u64, method: &str, request: &serde_json::Value) -> anyhow::Result<Step> {
    let says = client_frame(json!({"id": id, method: request}).to_string().as_bytes())?;
    // A result, and no error.
    Ok(Step { says, until: Until::Begins(format!("{{\"id\":{id},\"{method}\":")) })
}

impl Dialect for Channels {
    fn joining(&self, number: u64, conversation: &str) -> anyhow::Result<Vec<Step>> {
        self.subscribing(number, &json!({"channel": conversation}))
    }

    fn publishing(&self, _: u64, _: &str) -> anyhow::Result<Option<Vec<Step>>> {
        self.connecting(DEV_USER).map(Some)
    }

    fn publish(&self, number: u64, conversation: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        let id = COMMANDS_BEFORE + 1 + number;
        let command = json!({"id": id, "publish": {"channel": conversation, "data": {"text": text}}});
        client_frame(command.to_string().as_bytes())
    }

    fn deliveries(&self, payload: &[u8]) -> u64 {
        pushes(payload).count() as u64
    }

    fn pong(&self, payload: &[u8]) -> Option<&'static [u8]> {
        (payload == PING).then_some(PING)
    }

    /// `{"id":7,"error":…`
    fn is_refusal(&self, payload: &[u8]) -> bool {
        let behind_the_id =
            payload.strip_prefix(b"{\"id\":").and_then(|rest| rest.splitn(2, |byte| *byte == b',').nth(1));
        behind_the_id.is_some_and(|rest| rest.starts_with(b"\"error\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_told_from_a_result_and_from_a_push() {
        let channels = Channels::open();
        assert!(channels.is_refusal(br#"{"id":12,"error":{"code":103}}"#));
        assert!(!channels.is_refusal(br#"{"id":12,"publish":{}}"#));
        assert!(!channels.is_refusal(br#"{"push":{"channel":"tea","pub":{"data":{"id":1,"error":2}}}}"#));
    }

    #[test]
    fn only_the_empty_payload_wants_a_pong() {
        let channels = Channels::open();
        assert_eq!(channels.pong(b"{}"), Some(PING));
        assert_eq!(channels.pong(br#"{"push":{}}"#), None);
    }

    #[test]
    fn who_needs_a_token_shows_one_of_their_own() {
        let channels = Channels::with_tokens(TokenKey::new(&[7; 32]));
        let says = |number| {
            let steps = channels.joining(number, "tea").unwrap();
            String::from_utf8_lossy(&steps[1].says).into_owned()
        };
        assert!(says(1).contains("\"token\""));
        assert_ne!(says(1), says(2));
        let steps = Channels::open().joining(1, "tea").unwrap();
        assert!(steps[1].says.ends_with(br#"{"connect":{},"id":1}"#));
    }
}
