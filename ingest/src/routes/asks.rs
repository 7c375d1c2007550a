//! The table of routes: from an address and the fields of a body to a command.

use kernel::{command::Command, random};
use schemas::{ConversationId, EventId, Position, Visibility};

use super::{fault::Fault, path::Captured};
use crate::fields::{FieldError, Fields, parse, required};

const EVENT_ID: &str = "client_event_id";
/// What the event id is called for a message.
const MESSAGE_ID: &str = "client_message_id";
/// Letters and digits of a conversation id that nobody chose: 100 bits.
const FRESH_ID_LEN: usize = 20;

/// Methods of HTTP that change something.
#[derive(Debug, Clone, Copy)]
pub(super) enum Verb {
    Post,
    Patch,
    Put,
    Delete,
}

/// One route.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    /// Its address; `{…}` stands for one segment.
    pub(super) path: &'static str,
    /// The fields that its body may have.
    pub(super) fields: &'static [&'static str],
    /// Whether no body at all is as good as `{}`.
    pub(super) body_may_be_empty: bool,
    pub(super) ask: fn(&Captured, &Fields<'_>) -> Result<Ask, Fault>,
}

/// What is asked for; who asks comes from elsewhere.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) conversation: ConversationId,
    pub(super) event_id: EventId,
    pub(super) command: Command,
}

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Post,
        path: "/v1/conversations/{conversation}/messages",
        fields: &[MESSAGE_ID, "text", "reply_to", "style"],
        body_may_be_empty: false,
        ask: post,
    },
    Route {
        verb: Verb::Put,
        path: "/v1/conversations/{conversation}/read_marker",
        fields: &[EVENT_ID, "up_to"],
        body_may_be_empty: false,
        ask: mark_read,
    },
    Route {
        verb: Verb::Put,
        path: "/v1/conversations/{conversation}/messages/{message_id}/reactions/{emoji}",
        fields: &[EVENT_ID],
        body_may_be_empty: true,
        ask: react,
    },
    Route {
        verb: Verb::Delete,
        path: "/v1/conversations/{conversation}/messages/{message_id}/reactions/{emoji}",
        fields: &[EVENT_ID],
        body_may_be_empty: true,
        ask: take_back,
    },
    Route {
        verb: Verb::Patch,
        path: "/v1/conversations/{conversation}/messages/{message_id}",
        fields: &[EVENT_ID, "text"],
        body_may_be_empty: false,
        ask: edit,
    },
    Route {
        verb: Verb::Delete,
        path: "/v1/conversations/{conversation}/messages/{message_id}",
        fields: &[EVENT_ID],
        body_may_be_empty: true,
        ask: redact,
    },
    Route {
        verb: Verb::Post,
        path: "/v1/conversations",
        fields: &[EVENT_ID, "conversation", "title", "visibility", "members"],
        body_may_be_empty: false,
        ask: create,
    },
    Route {
        verb: Verb::Patch,
        path: "/v1/conversations/{conversation}",
        fields: &[EVENT_ID, "title", "archived"],
        body_may_be_empty: false,
        ask: change,
    },
    Route {
        verb: Verb::Post,
        path: "/v1/conversations/{conversation}/join",
        fields: &[EVENT_ID],
        body_may_be_empty: true,
        ask: join,
    },
    Route {
        verb: Verb::Post,
        path: "/v1/conversations/{conversation}/leave",
        fields: &[EVENT_ID, "parting_words"],
        body_may_be_empty: true,
        ask: leave,
    },
    Route {
        verb: Verb::Post,
        path: "/v1/conversations/{conversation}/members",
        fields: &[EVENT_ID, "member"],
        body_may_be_empty: false,
        ask: add_member,
    },
    Route {
        verb: Verb::Delete,
        path: "/v1/conversations/{conversation}/members/{user}",
        fields: &[EVENT_ID],
        body_may_be_empty: true,
        ask: remove_member,
    },
    Route {
        verb: Verb::Patch,
        path: "/v1/conversations/{conversation}/members/{user}",
        fields: &[EVENT_ID, "role"],
        body_may_be_empty: false,
        ask: set_role,
    },
];

/// An ask about the conversation of the address. The id is the client's, or a fresh one.
fn about(captured: &Captured, fields: &Fields<'_>, command: Command) -> Result<Ask, Fault> {
    Ok(Ask { conversation: captured.get("conversation")?, event_id: event_id(fields)?, command })
}

fn event_id(fields: &Fields<'_>) -> Result<EventId, FieldError> {
    let given = match fields.text(EVENT_ID)? {
        None => fields.text(MESSAGE_ID)?,
        given => given,
    };
    Ok(given.unwrap_or_else(random::event_id))
}

fn create(_: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let conversation = match fields.text("conversation")? {
        Some(conversation) => conversation,
        None => parse("conversation", &random::name(FRESH_ID_LEN))?,
    };
    let visibility = fields.choice("visibility", "open, private")?.unwrap_or(Visibility::Open);
    let title = fields.text("title")?;
    let members = fields.texts("members")?.unwrap_or_default();
    let command = Command::CreateConversation { title, visibility, members };
    Ok(Ask { conversation, event_id: event_id(fields)?, command })
}

fn change(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let title = fields.text("title")?;
    let archived = fields.value("archived", "true or false")?;
    about(captured, fields, Command::ChangeConversation { title, archived })
}

fn join(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    about(captured, fields, Command::Join)
}

fn leave(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let parting_words = fields.text("parting_words")?.unwrap_or_default();
    about(captured, fields, Command::Leave { parting_words })
}

fn add_member(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let member = required("member", fields.text("member")?)?;
    about(captured, fields, Command::AddMember { member })
}

fn remove_member(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let member = captured.get("user")?;
    about(captured, fields, Command::RemoveMember { member })
}

fn set_role(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let member = captured.get("user")?;
    let role = required("role", fields.choice("role", "member, moderator, owner")?)?;
    about(captured, fields, Command::SetRole { member, role })
}

fn post(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let text = required("text", fields.text("text")?)?;
    let style = fields.choice("style", "plain, action")?.unwrap_or_default();
    let reply_to = fields.text("reply_to")?;
    about(captured, fields, Command::PostMessage { text, style, reply_to })
}

fn edit(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let message_id = captured.get("message_id")?;
    let text = required("text", fields.text("text")?)?;
    about(captured, fields, Command::EditMessage { message_id, text })
}

fn redact(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let message_id = captured.get("message_id")?;
    about(captured, fields, Command::RedactMessage { message_id })
}

fn react(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let (message_id, emoji) = (captured.get("message_id")?, captured.get("emoji")?);
    about(captured, fields, Command::AddReaction { message_id, emoji })
}

fn take_back(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let (message_id, emoji) = (captured.get("message_id")?, captured.get("emoji")?);
    about(captured, fields, Command::RemoveReaction { message_id, emoji })
}

fn mark_read(captured: &Captured, fields: &Fields<'_>) -> Result<Ask, Fault> {
    let up_to: i64 = required("up_to", fields.value("up_to", "a whole number")?)?;
    let up_to = Position::try_from(up_to).map_err(|error| FieldError::Invalid(format!("up_to: {error}")))?;
    about(captured, fields, Command::MoveReadMarker { up_to })
}
