//! Commands over a session: the methods of `rpc`, and `publish` as sugar for `message.post`.
//!
//! The data of each is the body of the HTTP command of the same meaning, with the `conversation` (and
//! `message_id`, `member`) beside it; the answer is the same too.

use kernel::{
    command::{CommandError, Request, wire, wire::WireError},
    conversation::Refusal,
    identity::Identity,
};

use crate::protocol::ErrorCode;

/// Why a command over a session was not done, as the client is told.
#[derive(Debug)]
pub(crate) struct RpcError {
    pub(crate) code: ErrorCode,
    pub(crate) message: String,
}

impl From<ErrorCode> for RpcError {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: code.message.to_owned() }
    }
}

impl From<CommandError> for RpcError {
    fn from(error: CommandError) -> Self {
        let code = match &error {
            CommandError::Refused(refusal) => code_of(*refusal),
            CommandError::Invalid(_) => ErrorCode::BAD_REQUEST,
            CommandError::Unavailable { .. } | CommandError::Unknown { .. } => ErrorCode::INTERNAL,
        };
        Self { code, message: format!("{}: {}", error.code(), error.for_client()) }
    }
}

impl From<WireError> for RpcError {
    fn from(error: WireError) -> Self {
        match error {
            WireError::UnknownMethod => ErrorCode::METHOD_NOT_FOUND.into(),
            WireError::BadJson(_) | WireError::Invalid(_) => {
                Self { code: ErrorCode::BAD_REQUEST, message: format!("{}: {error}", error.code()) }
            }
        }
    }
}

fn code_of(refusal: Refusal) -> ErrorCode {
    match refusal {
        Refusal::UnknownConversation => ErrorCode::UNKNOWN_CHANNEL,
        Refusal::NotAMember | Refusal::Removed | Refusal::RoleTooLow | Refusal::NotTheAuthor => {
            ErrorCode::PERMISSION_DENIED
        }
        Refusal::UnknownMessage | Refusal::NoSuchMember => ErrorCode::UNKNOWN_MESSAGE,
        Refusal::NothingToChange => ErrorCode::BAD_REQUEST,
        Refusal::ConversationExists
        | Refusal::LastOwner
        | Refusal::Archived
        | Refusal::Redacted
        | Refusal::IdTaken
        | Refusal::Full => ErrorCode::CONFLICT,
    }
}

/// What a `publish` to `channel` asks for: its data is a text alone, or the body of a post.
pub(crate) fn publish(identity: &Identity, channel: String, data: &[u8]) -> Result<Request, RpcError> {
    let text = serde_json::from_slice::<String>(data).ok();
    let text = text.map(|text| serde_json::json!({"text": text}).to_string().into_bytes());
    let body = text.as_deref().unwrap_or(data);
    Ok(wire::request(identity.clone(), "message.post", &[("conversation", channel)], body)?)
}

/// What an `rpc` asks for.
pub(crate) fn command(identity: &Identity, method: &str, data: &[u8]) -> Result<Request, RpcError> {
    Ok(wire::request(identity.clone(), method, &[], data)?)
}

#[cfg(test)]
mod tests {
    use kernel::command::Command;
    use serde_json::json;

    use super::*;

    fn ann() -> Identity {
        Identity { user: "ann".parse().unwrap(), admin: false, expires_at: None }
    }

    #[test]
    fn what_does_not_fit_is_a_bad_request_and_is_not_echoed() {
        for (method, json) in [
            ("message.post", json!({"conversation": "tea", "text": "  "})),
            ("message.post", json!({"conversation": "tea", "text": "x", "secret": "secret"})),
            ("message.post", json!("secret")),
            ("conversation.create", json!({"client_event_id": "c-1"})),
        ] {
            let error = command(&ann(), method, json.to_string().as_bytes()).unwrap_err();
            assert_eq!(error.code, ErrorCode::BAD_REQUEST, "{method} {json}");
            assert!(!error.message.contains("secret"), "{}", error.message);
        }
        assert_eq!(command(&ann(), "nonsense", b"").unwrap_err().code, ErrorCode::METHOD_NOT_FOUND);
    }

    #[test]
    fn a_publish_is_a_post() {
        let publish = |json: Option<serde_json::Value>, channel: &str| {
            publish(
                &ann(),
                channel.to_owned(),
                json.map_or(String::new(), |json| json.to_string()).as_bytes(),
            )
        };
        for json in [json!("hi \"\n"), json!({"text": "hi \"\n", "client_message_id": "m-1"})] {
            let request = publish(Some(json), "tea").unwrap();
            let Command::PostMessage { text, .. } = request.command else { panic!("no post") };
            assert_eq!((text.as_str(), request.conversation.as_str()), ("hi \"\n", "tea"));
        }
        let elsewhere = json!({"text": "hi", "conversation": "coffee"});
        for json in [None, Some(json!(3)), Some(json!(" ")), Some(elsewhere)] {
            assert_eq!(publish(json, "tea").unwrap_err().code, ErrorCode::BAD_REQUEST);
        }
        assert_eq!(publish(Some(json!("hi")), "no/id").unwrap_err().code, ErrorCode::BAD_REQUEST);
    }

    #[test]
    fn reasons_for_the_operator_do_not_reach_the_client() {
        let reason = "broker 10.0.0.7 is down".to_owned();
        for error in [CommandError::Unavailable { reason: reason.clone() }, CommandError::Unknown { reason }]
        {
            let told = RpcError::from(error);
            assert_eq!(told.code, ErrorCode::INTERNAL);
            assert!(!told.message.contains("10.0.0.7"), "{}", told.message);
        }
    }
}
