//! The table of routes: which address and verb ask for which command.

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
    /// Its address; `{…}` stands for one segment, which is the field of this name.
    pub(super) path: &'static str,
    /// What it asks for, as in [`kernel::command::wire`].
    pub(super) method: &'static str,
}

const CONVERSATIONS: &str = "/v1/conversations";
const CONVERSATION: &str = "/v1/conversations/{conversation}";
const MEMBERS: &str = "/v1/conversations/{conversation}/members";
const MEMBER: &str = "/v1/conversations/{conversation}/members/{member}";
const MESSAGES: &str = "/v1/conversations/{conversation}/messages";
const MESSAGE: &str = "/v1/conversations/{conversation}/messages/{message_id}";
const REACTION: &str = "/v1/conversations/{conversation}/messages/{message_id}/reactions/{emoji}";

/// All of them.
pub(super) const ROUTES: &[Route] = &[
    route(Verb::Post, MESSAGES, "message.post"),
    route(Verb::Put, "/v1/conversations/{conversation}/read_marker", "read.move"),
    route(Verb::Put, REACTION, "reaction.add"),
    route(Verb::Delete, REACTION, "reaction.remove"),
    route(Verb::Patch, MESSAGE, "message.edit"),
    route(Verb::Delete, MESSAGE, "message.redact"),
    route(Verb::Post, CONVERSATIONS, "conversation.create"),
    route(Verb::Patch, CONVERSATION, "conversation.change"),
    route(Verb::Post, "/v1/conversations/{conversation}/join", "conversation.join"),
    route(Verb::Post, "/v1/conversations/{conversation}/leave", "conversation.leave"),
    route(Verb::Post, MEMBERS, "member.add"),
    route(Verb::Delete, MEMBER, "member.remove"),
    route(Verb::Patch, MEMBER, "member.role"),
];

const fn route(verb: Verb, path: &'static str, method: &'static str) -> Route {
    Route { verb, path, method }
}
