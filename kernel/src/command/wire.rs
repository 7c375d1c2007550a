//! From JSON to a [`Request`]: the one place that knows how commands are written.
//!
//! A method has a name and takes one JSON object ([`Fields`] says how strictly it is read). Texts that stood elsewhere, as in
//! an address, are given beside it; they count as fields, which the object then may not have again.
//!
//! Deliberately not here: who asks, and what depends on the conversation.

mod fields;

pub use fields::{Fields, Given, WireError, parse, required};

use fields::Read;
use schemas::{Emoji, EventId, Position, UserId, Visibility};

use super::{Command, Request};
use crate::{identity::Identity, random};

const CONVERSATION: &str = "conversation";
const EVENT_ID: &str = "client_event_id";
/// What the event id is called for a message.
const MESSAGE_ID: &str = "client_message_id";
/// Letters and digits of a conversation id that nobody chose: 100 bits.
const FRESH_ID_LEN: usize = 20;

/// How a command is written.
struct Method {
    name: &'static str,
    /// What its id is called.
    event_id: &'static str,
    /// Its fields besides that id and the conversation.
    fields: &'static [&'static str],
    command: fn(&Fields<'_>) -> Read<Command>,
}

/// What a method asks for on behalf of `identity`. `json` is its object; no bytes at all are as good as `{}`.
///
/// # Errors
/// See [`WireError`].
pub fn request(identity: Identity, method: &str, given: &[Given], json: &[u8]) -> Read<Request> {
    let method = METHODS.iter().find(|known| known.name == method).ok_or(WireError::UnknownMethod)?;
    let mut known = vec![CONVERSATION, method.event_id];
    known.extend(method.fields);
    known.retain(|name| given.iter().all(|(given, _)| given != name));
    let fields = Fields::of_body(json, &known)?.beside(given);
    let command = (method.command)(&fields)?;
    let event_id = fields.text(method.event_id)?;
    let conversation = match fields.text(CONVERSATION)? {
        Some(conversation) => conversation,
        None if !matches!(command, Command::CreateConversation { .. }) => required(CONVERSATION, None)?,
        None if event_id.is_some() => {
            let message = "name it too: with a fresh id each time, a retry would make another";
            return Err(WireError::Invalid(format!("{CONVERSATION}: {message}")));
        }
        None => parse(CONVERSATION, &random::name(FRESH_ID_LEN))?,
    };
    let event_id = event_id.unwrap_or_else(random::event_id);
    Ok(Request { identity, conversation, event_id, command })
}

const METHODS: &[Method] = &[
    method("conversation.create", &["title", "visibility", "members"], |fields| {
        Ok(Command::CreateConversation {
            title: fields.text("title")?,
            visibility: fields.choice("visibility", "open, private")?.unwrap_or(Visibility::Open),
            members: fields.texts("members")?.unwrap_or_default(),
        })
    }),
    method("conversation.change", &["title", "archived"], |fields| {
        let archived = fields.value("archived", "true or false")?;
        Ok(Command::ChangeConversation { title: fields.text("title")?, archived })
    }),
    method("conversation.join", &[], |_| Ok(Command::Join)),
    method("conversation.leave", &["parting_words"], |fields| {
        Ok(Command::Leave { parting_words: fields.text("parting_words")?.unwrap_or_default() })
    }),
    method("member.add", &["member"], |fields| Ok(Command::AddMember { member: member(fields)? })),
    method("member.remove", &["member"], |fields| Ok(Command::RemoveMember { member: member(fields)? })),
    method("member.role", &["member", "role"], |fields| {
        let role = required("role", fields.choice("role", "member, moderator, owner")?)?;
        Ok(Command::SetRole { member: member(fields)?, role })
    }),
    Method {
        event_id: MESSAGE_ID,
        ..method("message.post", &["text", "reply_to", "style"], |fields| {
            Ok(Command::PostMessage {
                text: required("text", fields.text("text")?)?,
                style: fields.choice("style", "plain, action")?.unwrap_or_default(),
                reply_to: fields.text("reply_to")?,
            })
        })
    },
    method("message.edit", &["message_id", "text"], |fields| {
        let text = required("text", fields.text("text")?)?;
        Ok(Command::EditMessage { message_id: message_id(fields)?, text })
    }),
    method("message.redact", &["message_id"], |fields| {
        Ok(Command::RedactMessage { message_id: message_id(fields)? })
    }),
    method("reaction.add", &["message_id", "emoji"], |fields| {
        Ok(Command::AddReaction { message_id: message_id(fields)?, emoji: emoji(fields)? })
    }),
    method("reaction.remove", &["message_id", "emoji"], |fields| {
        Ok(Command::RemoveReaction { message_id: message_id(fields)?, emoji: emoji(fields)? })
    }),
    method("read.move", &["up_to"], |fields| {
        let up_to: i64 = required("up_to", fields.value("up_to", "a whole number")?)?;
        let up_to =
            Position::try_from(up_to).map_err(|error| WireError::Invalid(format!("up_to: {error}")))?;
        Ok(Command::MoveReadMarker { up_to })
    }),
];

const fn method(
    name: &'static str,
    fields: &'static [&'static str],
    command: fn(&Fields<'_>) -> Read<Command>,
) -> Method {
    Method { name, event_id: EVENT_ID, fields, command }
}

fn member(fields: &Fields<'_>) -> Read<UserId> {
    required("member", fields.text("member")?)
}

fn message_id(fields: &Fields<'_>) -> Read<EventId> {
    required("message_id", fields.text("message_id")?)
}

fn emoji(fields: &Fields<'_>) -> Read<Emoji> {
    required("emoji", fields.text("emoji")?)
}

#[cfg(test)]
mod tests;
