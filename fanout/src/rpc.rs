//! Commands over a session: the methods of `rpc`, and `publish` as sugar for `message.post`.
//!
//! The data of each is the body of the HTTP command of the same meaning, with the `conversation` (and
//! `message_id`, `member`) beside it; the answer is the same too.

use kernel::command::{Command, CommandError, Request};
use kernel::{conversation::Refusal, identity::Identity, random};
use schemas::{
    ConversationId, Emoji, EventId, MessageText, PartingWords, Position, Title, UserId, Visibility, caps,
    event::{Role, Style},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

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
        Self { code, message: format!("{}: {error}", error.code()) }
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    conversation: Option<ConversationId>,
    client_event_id: Option<EventId>,
    title: Option<Title>,
    visibility: Option<Visibility>,
    #[serde(default)]
    members: Vec<UserId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    conversation: ConversationId,
    client_event_id: Option<EventId>,
    title: Option<Title>,
    archived: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {
    conversation: ConversationId,
    client_event_id: Option<EventId>,
    #[serde(default)]
    parting_words: PartingWords,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMember {
    conversation: ConversationId,
    client_event_id: Option<EventId>,
    member: UserId,
    role: Option<Role>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Post {
    conversation: ConversationId,
    client_message_id: Option<EventId>,
    text: MessageText,
    #[serde(default)]
    style: Style,
    reply_to: Option<EventId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMessage {
    conversation: ConversationId,
    client_event_id: Option<EventId>,
    message_id: EventId,
    text: Option<MessageText>,
    emoji: Option<Emoji>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    conversation: ConversationId,
    client_event_id: Option<EventId>,
    up_to: Position,
}

/// The data of `publish`: a text alone, or the body of a post.
#[derive(Deserialize)]
#[serde(untagged)]
enum Published {
    Text(MessageText),
    Post(PublishedPost),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedPost {
    client_message_id: Option<EventId>,
    text: MessageText,
    #[serde(default)]
    style: Style,
    reply_to: Option<EventId>,
}

fn read<T: DeserializeOwned>(data: Option<&RawValue>) -> Result<T, RpcError> {
    let json = data.map_or("{}", RawValue::get);
    serde_json::from_str(json).map_err(|error| {
        let message = format!("bad request: the data is not what the method takes: {error}");
        RpcError { code: ErrorCode::BAD_REQUEST, message }
    })
}

fn needed<T>(field: Option<T>, name: &str) -> Result<T, RpcError> {
    field.ok_or_else(|| RpcError {
        code: ErrorCode::BAD_REQUEST,
        message: format!("bad request: `{name}` is missing"),
    })
}

/// What a `publish` to `conversation` asks for.
pub(crate) fn publish(
    identity: &Identity,
    conversation: ConversationId,
    data: Option<&RawValue>,
) -> Result<Request, RpcError> {
    let (event_id, command) = match read(data)? {
        Published::Text(text) => (None, Command::PostMessage { text, style: Style::Plain, reply_to: None }),
        Published::Post(post) => {
            let PublishedPost { client_message_id, text, style, reply_to } = post;
            (client_message_id, Command::PostMessage { text, style, reply_to })
        }
    };
    Ok(request(identity, conversation, event_id, command))
}

fn request(
    identity: &Identity,
    conversation: ConversationId,
    event_id: Option<EventId>,
    command: Command,
) -> Request {
    let event_id = event_id.unwrap_or_else(random::event_id);
    Request { identity: identity.clone(), conversation, event_id, command }
}

/// What an `rpc` asks for.
pub(crate) fn command(
    identity: &Identity,
    method: &str,
    data: Option<&RawValue>,
) -> Result<Request, RpcError> {
    match method {
        "conversation.create" => create(identity, read(data)?),
        "conversation.change" => {
            let Change { conversation, client_event_id, title, archived } = read(data)?;
            let command = Command::ChangeConversation { title, archived };
            Ok(request(identity, conversation, client_event_id, command))
        }
        "conversation.join" | "conversation.leave" => {
            let Bare { conversation, client_event_id, parting_words } = read(data)?;
            let leave = method == "conversation.leave";
            let command = if leave { Command::Leave { parting_words } } else { Command::Join };
            Ok(request(identity, conversation, client_event_id, command))
        }
        "member.add" | "member.remove" | "member.role" => {
            let OfMember { conversation, client_event_id, member, role } = read(data)?;
            let command = match method {
                "member.add" => Command::AddMember { member },
                "member.remove" => Command::RemoveMember { member },
                _ => Command::SetRole { member, role: needed(role, "role")? },
            };
            Ok(request(identity, conversation, client_event_id, command))
        }
        "message.post" => {
            let Post { conversation, client_message_id, text, style, reply_to } = read(data)?;
            let command = Command::PostMessage { text, style, reply_to };
            Ok(request(identity, conversation, client_message_id, command))
        }
        "message.edit" | "message.redact" | "reaction.add" | "reaction.remove" => {
            of_message(identity, method, read(data)?)
        }
        "read.move" => {
            let Read { conversation, client_event_id, up_to } = read(data)?;
            Ok(request(identity, conversation, client_event_id, Command::MoveReadMarker { up_to }))
        }
        _ => Err(ErrorCode::METHOD_NOT_FOUND.into()),
    }
}

fn create(identity: &Identity, create: Create) -> Result<Request, RpcError> {
    let Create { conversation, client_event_id, title, visibility, members } = create;
    if members.len() > caps::MEMBERS_AT_CREATION_MAX {
        let message = format!("bad request: at most {} members at creation", caps::MEMBERS_AT_CREATION_MAX);
        return Err(RpcError { code: ErrorCode::BAD_REQUEST, message });
    }
    let fresh = || random::name(16).parse().map_err(|_| RpcError::from(ErrorCode::INTERNAL));
    let conversation = conversation.map_or_else(fresh, Ok)?;
    let visibility = visibility.unwrap_or(Visibility::Open);
    let command = Command::CreateConversation { title, visibility, members };
    Ok(request(identity, conversation, client_event_id, command))
}

fn of_message(identity: &Identity, method: &str, of: OfMessage) -> Result<Request, RpcError> {
    let OfMessage { conversation, client_event_id, message_id, text, emoji } = of;
    let command = match method {
        "message.edit" => Command::EditMessage { message_id, text: needed(text, "text")? },
        "message.redact" => Command::RedactMessage { message_id },
        "reaction.add" => Command::AddReaction { message_id, emoji: needed(emoji, "emoji")? },
        _ => Command::RemoveReaction { message_id, emoji: needed(emoji, "emoji")? },
    };
    Ok(request(identity, conversation, client_event_id, command))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Identity {
        Identity { user: "ann".parse().unwrap(), admin: false, expires_at: None }
    }

    fn raw(json: &serde_json::Value) -> Box<RawValue> {
        RawValue::from_string(json.to_string()).unwrap()
    }

    #[test]
    fn every_method_becomes_its_command() {
        let data = |json| raw(&json);
        let cases = [
            ("conversation.create", serde_json::json!({"conversation": "tea"}), "ConversationCreated"),
            (
                "conversation.change",
                serde_json::json!({"conversation": "tea", "title": "T"}),
                "ConversationChanged",
            ),
            ("conversation.join", serde_json::json!({"conversation": "tea"}), "MemberJoined"),
            ("conversation.leave", serde_json::json!({"conversation": "tea"}), "MemberLeft"),
            ("member.add", serde_json::json!({"conversation": "tea", "member": "bob"}), "MemberJoined"),
            ("member.remove", serde_json::json!({"conversation": "tea", "member": "bob"}), "MemberRemoved"),
            (
                "member.role",
                serde_json::json!({"conversation": "tea", "member": "bob", "role": "owner"}),
                "RoleChanged",
            ),
            ("message.post", serde_json::json!({"conversation": "tea", "text": "hi"}), "MessagePosted"),
            (
                "message.edit",
                serde_json::json!({"conversation": "tea", "message_id": "m", "text": "hi"}),
                "MessageEdited",
            ),
            (
                "message.redact",
                serde_json::json!({"conversation": "tea", "message_id": "m"}),
                "MessageRedacted",
            ),
            (
                "reaction.add",
                serde_json::json!({"conversation": "tea", "message_id": "m", "emoji": "👍"}),
                "ReactionAdded",
            ),
            (
                "reaction.remove",
                serde_json::json!({"conversation": "tea", "message_id": "m", "emoji": "👍"}),
                "ReactionRemoved",
            ),
            ("read.move", serde_json::json!({"conversation": "tea", "up_to": 3}), "ReadMarkerMoved"),
        ];
        for (method, json, event_type) in cases {
            let request = command(&ann(), method, Some(&data(json))).unwrap();
            assert_eq!(request.command.event_type(), event_type, "{method}");
            assert_eq!(request.conversation.as_str(), "tea");
        }
    }

    #[test]
    fn what_does_not_fit_is_a_bad_request() {
        for (method, json) in [
            ("message.post", serde_json::json!({"conversation": "tea", "text": "  "})),
            ("message.post", serde_json::json!({"conversation": "tea", "text": "x", "extra": 1})),
            ("message.edit", serde_json::json!({"conversation": "tea", "message_id": "m"})),
            ("read.move", serde_json::json!({"conversation": "tea", "up_to": -1})),
            ("message.post", serde_json::json!("hi")),
        ] {
            let error = command(&ann(), method, Some(&raw(&json))).unwrap_err();
            assert_eq!(error.code, ErrorCode::BAD_REQUEST, "{method} {json}");
        }
        assert_eq!(command(&ann(), "nonsense", None).unwrap_err().code, ErrorCode::METHOD_NOT_FOUND);
    }

    #[test]
    fn a_publish_is_a_post() {
        for json in [serde_json::json!("hi"), serde_json::json!({"text": "hi", "client_message_id": "m-1"})] {
            let request = publish(&ann(), "tea".parse().unwrap(), Some(&raw(&json))).unwrap();
            assert_eq!(request.command.event_type(), "MessagePosted");
        }
        assert!(publish(&ann(), "tea".parse().unwrap(), None).is_err());
        assert!(publish(&ann(), "tea".parse().unwrap(), Some(&raw(&serde_json::json!(3)))).is_err());
    }
}
