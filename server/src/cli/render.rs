//! An event as a line for people.
//!
//! ```text
//!   2024-02-26 08:49:39  ann: hello
//!   2024-02-26 08:49:41  * ben waves
//!   2024-02-26 08:50:02  -- ann left (good night)
//! ```
//!
//! Invariant: nothing in an event can steer the terminal; see [`visible`].

use std::io::IsTerminal;

use schemas::{
    EventBody, Role,
    event::{self, Style},
    json::EventFromJson,
};

use super::text::visible;

/// Where the text of a line begins; further lines of a text begin there too.
const INDENT: &str = "                     ";
const DIM: &str = "\u{1b}[2m";
const BOLD: &str = "\u{1b}[1m";
const PLAIN: &str = "\u{1b}[0m";

/// Writes events as lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Renderer {
    colour: bool,
}

impl Renderer {
    /// With colour where standard output is a terminal, unless `NO_COLOR` is set to anything.
    pub(super) fn for_stdout() -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { colour: std::io::stdout().is_terminal() && !refused }
    }

    /// The event, on one line or, where its text has several, on as many. Ends with a line break.
    pub(super) fn line(self, event: &EventFromJson) -> String {
        let event = &event.event;
        let time = event.occurred_at.to_string().replacen('T', " ", 1);
        let time = self.paint(DIM, time.get(..19).unwrap_or(&time));
        let actor = visible(event.actor.as_str());
        let what = match &event.body {
            EventBody::MessagePosted(event::MessagePosted { text, style, .. }) => {
                let (name, text) = (self.paint(BOLD, &actor), visible(text.as_str()));
                match style {
                    Style::Plain => format!("{name}: {text}"),
                    Style::Action => format!("* {name} {text}"),
                }
            }
            EventBody::MemberJoined(event::MemberJoined { member }) if *member == event.actor => {
                self.paint(DIM, &format!("-- {actor} joined"))
            }
            other => self.paint(DIM, &format!("-- {actor} {}", deed(other))),
        };
        format!("{time}  {}\n", what.replace('\n', &format!("\n{INDENT}")))
    }

    fn paint(self, colour: &str, text: &str) -> String {
        if self.colour { format!("{colour}{}{PLAIN}", visible(text)) } else { visible(text).into_owned() }
    }
}

/// What somebody did, other than saying something.
fn deed(body: &EventBody) -> String {
    match body {
        EventBody::ConversationCreated(event::ConversationCreated { title, .. }) => match title {
            Some(title) => format!("created the conversation {:?}", title.as_str()),
            None => "created the conversation".to_owned(),
        },
        EventBody::ConversationChanged(event::ConversationChanged { title, archived }) => {
            let title = title.as_ref().map(|title| format!("changed the title to {:?}", title.as_str()));
            let archived = archived.map(|yes| if yes { "archived it" } else { "opened it again" }.to_owned());
            [title, archived].into_iter().flatten().collect::<Vec<_>>().join(" and ")
        }
        EventBody::MemberJoined(event::MemberJoined { member }) => format!("brought in {member}"),
        EventBody::MemberLeft(event::MemberLeft { parting_words }) => match parting_words.as_str() {
            "" => "left".to_owned(),
            words => format!("left ({words})"),
        },
        EventBody::MemberRemoved(event::MemberRemoved { member }) => format!("removed {member}"),
        EventBody::RoleChanged(event::RoleChanged { member, role }) => {
            let role = match role {
                Role::Member => "a member",
                Role::Moderator => "a moderator",
                Role::Owner => "an owner",
            };
            format!("made {member} {role}")
        }
        EventBody::MemberRenamed(event::MemberRenamed { to }) => format!("is now known as {to}"),
        EventBody::MessagePosted(_) => "said".to_owned(),
        EventBody::MessageEdited(event::MessageEdited { message_id, text }) => {
            format!("edited {message_id}: {}", text.as_str())
        }
        EventBody::MessageRedacted(event::MessageRedacted { message_id }) => format!("withdrew {message_id}"),
        EventBody::ReactionAdded(event::ReactionAdded { message_id, emoji }) => {
            format!("reacted to {message_id} with {}", emoji.as_str())
        }
        EventBody::ReactionRemoved(event::ReactionRemoved { message_id, emoji }) => {
            format!("took back {} from {message_id}", emoji.as_str())
        }
        EventBody::ReadMarkerMoved(event::ReadMarkerMoved { up_to }) => format!("has read up to {up_to}"),
    }
}

#[cfg(test)]
mod tests {
    use schemas::{ChatEvent, Position, Timestamp};
    use serde_json::json;

    use super::*;

    fn line(colour: bool, type_name: &str, body: &serde_json::Value) -> String {
        let event = ChatEvent {
            event_id: "e-1".parse().unwrap(),
            conversation: "tea".parse().unwrap(),
            actor: "ann".parse().unwrap(),
            occurred_at: Timestamp::from_millis(1_708_937_379_372),
            body: EventBody::from_json(type_name, &body.to_string()).unwrap(),
        };
        let event = EventFromJson { position: Position::new(1), recorded_at: event.occurred_at, event };
        Renderer { colour }.line(&event)
    }

    fn plain(type_name: &str, body: &serde_json::Value) -> String {
        let line = line(false, type_name, body);
        line.strip_prefix("2024-02-26 08:49:39  ").unwrap().strip_suffix('\n').unwrap().to_owned()
    }

    #[test]
    fn each_kind_of_event_has_its_line() {
        let message = |style| json!({"text": "hi", "style": style, "reply_to": null});
        for (type_name, body, expected) in [
            ("MessagePosted", message("plain"), "ann: hi"),
            ("MessagePosted", message("action"), "* ann hi"),
            ("MemberJoined", json!({"member": "ann"}), "-- ann joined"),
            ("MemberJoined", json!({"member": "ben"}), "-- ann brought in ben"),
            ("MemberLeft", json!({"parting_words": ""}), "-- ann left"),
            ("MemberLeft", json!({"parting_words": "good night"}), "-- ann left (good night)"),
            ("MemberRemoved", json!({"member": "ben"}), "-- ann removed ben"),
            ("MemberRenamed", json!({"to": "anna"}), "-- ann is now known as anna"),
            ("RoleChanged", json!({"member": "ben", "role": "owner"}), "-- ann made ben an owner"),
            ("MessageEdited", json!({"message_id": "m", "text": "ho"}), "-- ann edited m: ho"),
            ("MessageRedacted", json!({"message_id": "m"}), "-- ann withdrew m"),
            ("ReactionAdded", json!({"message_id": "m", "emoji": "👍"}), "-- ann reacted to m with 👍"),
            ("ReactionRemoved", json!({"message_id": "m", "emoji": "👍"}), "-- ann took back 👍 from m"),
            ("ReadMarkerMoved", json!({"up_to": 7}), "-- ann has read up to 7"),
            (
                "ConversationChanged",
                json!({"title": "Tea", "archived": true}),
                "-- ann changed the title to \"Tea\" and archived it",
            ),
            (
                "ConversationCreated",
                json!({"title": null, "visibility": "open", "members": []}),
                "-- ann created the conversation",
            ),
        ] {
            assert_eq!(plain(type_name, &body), expected);
        }
    }

    #[test]
    fn further_lines_of_a_text_stay_under_the_first_so_that_none_looks_like_another_event() {
        let body = json!({"text": "a\n2024-02-26 08:49:39  ben: b", "style": "plain", "reply_to": null});
        assert_eq!(plain("MessagePosted", &body), format!("ann: a\n{INDENT}2024-02-26 08:49:39  ben: b"));
    }

    #[test]
    fn a_text_cannot_turn_the_line_around() {
        let body = json!({"text": "a\u{202e}b", "style": "plain", "reply_to": null});
        assert_eq!(plain("MessagePosted", &body), "ann: a\\u{202e}b");
        assert_eq!(
            plain("MemberRenamed", &json!({"to": "x\u{202e}y"})),
            "-- ann is now known as x\\u{202e}y"
        );
    }

    #[test]
    fn colour_only_where_it_is_wanted() {
        let body = json!({"text": "hi", "style": "plain", "reply_to": null});
        assert!(!line(false, "MessagePosted", &body).contains('\u{1b}'));
        let coloured = line(true, "MessagePosted", &body);
        assert_eq!(coloured, "\u{1b}[2m2024-02-26 08:49:39\u{1b}[0m  \u{1b}[1mann\u{1b}[0m: hi\n");
    }
}
