use serde_json::json;

use super::*;

fn asked(method: &str, given: &[Given], json: &str) -> Read<Request> {
    let ann = Identity { user: "ann".parse().unwrap(), admin: false, expires_at: None };
    request(ann, method, given, json.as_bytes())
}

fn code(method: &str, given: &[Given], json: &str) -> &'static str {
    asked(method, given, json).unwrap_err().code()
}

/// Each method, all the fields that it may have, and the event it becomes.
fn methods() -> Vec<(&'static str, serde_json::Value, &'static str)> {
    vec![
        (
            "conversation.create",
            json!({"title": "T", "visibility": "private", "members": ["bob"]}),
            "ConversationCreated",
        ),
        ("conversation.change", json!({"title": "T", "archived": true}), "ConversationChanged"),
        ("conversation.join", json!({}), "MemberJoined"),
        ("conversation.leave", json!({"parting_words": "bye"}), "MemberLeft"),
        ("member.add", json!({"member": "bob"}), "MemberJoined"),
        ("member.remove", json!({"member": "bob"}), "MemberRemoved"),
        ("member.role", json!({"member": "bob", "role": "owner"}), "RoleChanged"),
        ("message.post", json!({"text": "hi", "reply_to": "m", "style": "action"}), "MessagePosted"),
        ("message.edit", json!({"message_id": "m", "text": "hi"}), "MessageEdited"),
        ("message.redact", json!({"message_id": "m"}), "MessageRedacted"),
        ("reaction.add", json!({"message_id": "m", "emoji": "👍"}), "ReactionAdded"),
        ("reaction.remove", json!({"message_id": "m", "emoji": "👍"}), "ReactionRemoved"),
        ("read.move", json!({"up_to": 3}), "ReadMarkerMoved"),
    ]
}

#[test]
fn every_method_becomes_its_command_wherever_its_texts_stand() {
    let tried = methods();
    assert_eq!(tried.len(), METHODS.len());
    for (method, mut object, event_type) in tried {
        let id = if method == "message.post" { MESSAGE_ID } else { EVENT_ID };
        object["conversation"] = "tea".into();
        object[id] = "e-1".into();
        let inside = asked(method, &[], &object.to_string()).unwrap();
        assert_eq!(inside.command.event_type(), event_type, "{method}");
        assert_eq!((inside.conversation.as_str(), inside.event_id.as_str()), ("tea", "e-1"), "{method}");
        let mut given = Vec::new();
        for name in ["conversation", "message_id", "member", "emoji"] {
            let taken = object.as_object_mut().unwrap().remove(name);
            given.extend(taken.map(|text| (name, text.as_str().unwrap().to_owned())));
        }
        let beside = asked(method, &given, &object.to_string()).unwrap();
        assert_eq!((&beside.command, beside.event_id), (&inside.command, inside.event_id), "{method}");
        assert_eq!(beside.conversation, inside.conversation, "{method}");
        object["conversation"] = "coffee".into();
        assert_eq!(code(method, &given, &object.to_string()), "bad_json", "{method}: given twice");
    }
}

#[test]
fn every_method_refuses_what_is_not_its_own() {
    for (method, mut object, _) in methods() {
        assert_eq!(code(method, &[], "[]"), "bad_json", "{method}");
        if method != "conversation.create" {
            assert_eq!(code(method, &[], &object.to_string()), "bad_json", "{method}: no conversation");
        }
        object["conversation"] = "tea".into();
        assert!(asked(method, &[], &object.to_string()).is_ok(), "{method}");
        object["conversation"] = "t ea".into();
        assert_eq!(code(method, &[], &object.to_string()), "invalid", "{method}");
        object["conversation"] = "tea".into();
        object["extra"] = 1.into();
        assert_eq!(code(method, &[], &object.to_string()), "bad_json", "{method}");
    }
    for (method, json, expected) in [
        ("member.add", r#"{"conversation":"tea","member":"bob","role":"owner"}"#, "bad_json"),
        ("conversation.join", r#"{"conversation":"tea","parting_words":"hi"}"#, "bad_json"),
        ("message.post", r#"{"conversation":"tea","text":"hi","client_event_id":"m-1"}"#, "bad_json"),
        ("message.post", r#"{"conversation":"tea","text":" "}"#, "invalid"),
        ("message.edit", r#"{"conversation":"tea","message_id":"m"}"#, "bad_json"),
        ("read.move", r#"{"conversation":"tea","up_to":-1}"#, "invalid"),
        ("read.move", r#"{"conversation":"tea","up_to":1.5}"#, "bad_json"),
        ("nonsense", "{}", "not_found"),
    ] {
        assert_eq!(code(method, &[], json), expected, "{method} {json}");
    }
}

#[test]
fn null_and_no_bytes_are_as_good_as_nothing() {
    let null = r#"{"conversation":"tea","text":"hi","style":null,"reply_to":null,"client_message_id":null}"#;
    let request = asked("message.post", &[], null).unwrap();
    let text = "hi".parse().unwrap();
    let plain = schemas::event::Style::Plain;
    assert_eq!(request.command, Command::PostMessage { text, style: plain, reply_to: None });
    let request = asked("conversation.join", &[("conversation", "tea".to_owned())], "").unwrap();
    assert_eq!((request.command, request.event_id.as_str().len()), (Command::Join, 20));
}

#[test]
fn a_conversation_without_a_name_has_no_retry_that_could_make_another() {
    for json in ["", "{}", r#"{"title":"T","conversation":null}"#] {
        let one = asked("conversation.create", &[], json).unwrap().conversation;
        assert_eq!(one.as_str().len(), FRESH_ID_LEN);
        assert_ne!(one, asked("conversation.create", &[], json).unwrap().conversation);
    }
    let refused = asked("conversation.create", &[], r#"{"client_event_id":"c-1"}"#).unwrap_err();
    assert_eq!(refused.code(), "invalid");
    assert!(refused.to_string().starts_with("conversation: name it too"), "{refused}");
}
