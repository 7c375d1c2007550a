//! One line of an import, and the event it tells of.

use kernel::command::wire::{Fields, WireError, parse, required};
use schemas::{
    ChatEvent, ConversationId, EventBody, EventId, MessageText, PartingWords, Timestamp, UserId,
    event::{MemberJoined, MemberLeft, MemberRenamed, MessagePosted, Style},
};
use serde::Deserialize;

const FIELDS: &[&str] = &["conversation", "at", "author", "kind", "text", "reply_to", "id"];
const KINDS: &str = "message, action, join, leave, rename";

/// What kind of event a line tells of.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Message,
    Action,
    Join,
    Leave,
    Rename,
}

/// The event that a line tells of.
pub(super) fn read(line: &[u8]) -> Result<ChatEvent, WireError> {
    let fields = Fields::read(line, FIELDS)?;
    let kind: Kind = required("kind", fields.choice("kind", KINDS)?)?;
    let text: String = fields.value("text", "a text")?.unwrap_or_default();
    let reply_to: Option<EventId> = fields.text("reply_to")?;
    let conversation: ConversationId = required("conversation", fields.text("conversation")?)?;
    let event_id: EventId = required("id", fields.text("id")?)?;
    let actor: UserId = required("author", fields.text("author")?)?;
    let occurred_at = time(&fields)?;
    if reply_to.is_some() && !matches!(kind, Kind::Message | Kind::Action) {
        return Err(WireError::Invalid("reply_to: only messages and actions answer something".to_owned()));
    }
    let body = body_of(kind, &text, reply_to.as_ref(), &actor)?;
    Ok(ChatEvent { event_id, conversation, actor, occurred_at, body })
}

fn body_of(
    kind: Kind,
    text: &str,
    reply_to: Option<&EventId>,
    actor: &UserId,
) -> Result<EventBody, WireError> {
    let posted = |style| -> Result<EventBody, WireError> {
        let text: MessageText = parse("text", text)?;
        Ok(MessagePosted { text, style, reply_to: reply_to.cloned() }.into())
    };
    match kind {
        Kind::Message => posted(Style::Plain),
        Kind::Action => posted(Style::Action),
        Kind::Join if text.is_empty() => Ok(MemberJoined { member: actor.clone() }.into()),
        Kind::Join => Err(WireError::Invalid("text: who joins says nothing".to_owned())),
        Kind::Leave => {
            let parting_words: PartingWords = parse("text", text)?;
            Ok(MemberLeft { parting_words }.into())
        }
        Kind::Rename => Ok(MemberRenamed { to: parse("text", text)? }.into()),
    }
}

fn time(fields: &Fields<'_>) -> Result<Timestamp, WireError> {
    let at: String = required("at", fields.value("at", "a text")?)?;
    at.parse().map_err(|_| {
        WireError::Invalid("at: a time is wanted, written like 2024-02-26T08:49:39.372Z".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, text: &str) -> String {
        serde_json::json!({
            "conversation": "tea", "at": "2024-02-26T08:49:39.372Z", "author": "ann", "kind": kind,
            "text": text, "reply_to": null, "id": "l-1",
        })
        .to_string()
    }

    fn body(kind: &str, text: &str) -> EventBody {
        read(line(kind, text).as_bytes()).unwrap().body
    }

    #[test]
    fn each_kind_becomes_its_event() {
        let event = read(line("message", "hi").as_bytes()).unwrap();
        assert_eq!(event.event_id.as_str(), "l-1");
        assert_eq!(event.occurred_at.as_millis(), 1_708_937_379_372);
        assert!(matches!(body("action", "waves"), EventBody::MessagePosted(m) if m.style == Style::Action));
        assert!(matches!(body("join", ""), EventBody::MemberJoined(j) if j.member.as_str() == "ann"));
        assert!(
            matches!(body("leave", "bye"), EventBody::MemberLeft(l) if l.parting_words.as_str() == "bye")
        );
        assert!(matches!(body("rename", "anna"), EventBody::MemberRenamed(r) if r.to.as_str() == "anna"));
    }

    #[test]
    fn what_a_line_lacks_or_has_too_much_is_refused() {
        let good = line("message", "hi");
        let cases = [
            ("{", "bad_json"),
            (&good.replace("\"id\":\"l-1\"", "\"id\":null"), "bad_json"),
            (&good.replace("\"id\"", "\"uid\""), "bad_json"),
            (&good.replace("ann", "a nn"), "invalid"),
            (&good.replace("2024-02-26T", "yesterday "), "invalid"),
            (&line("kick", "hi"), "invalid"),
            (&line("message", ""), "invalid"),
            (&line("join", "hello"), "invalid"),
            (&line("rename", "two words"), "invalid"),
            (&line("leave", "").replace("null", "\"l-0\""), "invalid"),
        ];
        for (line, code) in cases {
            assert_eq!(read(line.as_bytes()).unwrap_err().code(), code, "{line}");
        }
    }
}
