//! Nasty inputs: each is accepted and comes back byte for byte, or is refused and leaves nothing behind.
//!
//! The cases are those of `shared/data/nasty.ndjson` beside the repository (or in the folder that `TIDINGS_SAMPLES` names).
//! They were written for an interface where the conversation stands in the body; ours has it in the address, so it is moved
//! there.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemas::EventBody;
use serde_json::{Value, json};

use super::{
    http::{served, told},
    support::{Site, identity},
};
use crate::Ingest;
use kernel::command::{CommandSink, Request};

/// Where a message is sent, and its body.
struct Sent {
    conversation: String,
    body: Vec<u8>,
    gzip: bool,
}

#[tokio::test]
async fn each_nasty_input_is_taken_as_it_is_or_refused() {
    let cases = cases();
    assert!(!cases.is_empty());
    for case in &cases {
        match case["note"].as_str() {
            // Covered on a real socket, with a body that drips in.
            Some(_) if case["name"] == "slow-body" => {}
            Some(_) if case["name"] == "gzip-bomb" => {
                let body = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
                let sent = Sent { conversation: "room-1".to_owned(), body, gzip: true };
                assert_eq!(try_out(case, &sent).await, 415);
            }
            Some(note) => panic!("a case that nothing here can send: {note}"),
            None => {
                try_out(case, &sent(case)).await;
            }
        }
    }
}

/// Sends a case to a fresh site, checks what comes of it, and gives the status.
async fn try_out(case: &Value, sent: &Sent) -> u16 {
    let name = &case["name"];
    let site = Site::new();
    let node = site.node().await;
    make(&node, &sent.conversation).await;
    let before = site.records().await.len();
    let path = format!("/v1/conversations/{}/messages", encoded(&sent.conversation));
    let mut request =
        warp::test::request().method("POST").path(&path).header("x-user", "ann").body(&sent.body);
    if sent.gzip {
        request = request.header("content-encoding", "gzip");
    }
    let asked = tokio::time::timeout(Duration::from_secs(30), request.reply(&served(&node))).await;
    let (status, answer) = told(&asked.unwrap());
    let events = site.events().await;
    if case["expect"] == "accept" {
        assert_eq!(status, 201, "{name}: {answer}");
        let EventBody::MessagePosted(posted) = &events.last().unwrap().0.body else { panic!("{name}") };
        assert_eq!(posted.text.as_str(), text_of(sent), "{name}");
    } else {
        assert_eq!(status / 100, 4, "{name}: {answer}");
        assert_eq!(events.len(), before, "{name}");
    }
    status
}

/// Makes the conversation, if it can have this name.
async fn make(node: &Ingest, conversation: &str) {
    if let Ok(conversation) = conversation.parse() {
        let (event_id, command) = (super::support::id("c-1"), super::support::open());
        let request = Request { identity: identity("ann"), conversation, event_id, command };
        node.execute(request).await.unwrap();
    }
}

/// The text that was sent, by a reader that is not ours.
fn text_of(sent: &Sent) -> String {
    let object: Value = serde_json::from_slice(&sent.body).unwrap();
    object["text"].as_str().unwrap().to_owned()
}

fn sent(case: &Value) -> Sent {
    if let Some(object) = case["body"].as_object() {
        let mut object = object.clone();
        // A name that is missing or no text cannot stand in an address: nothing stands there.
        let conversation = object.remove("conversation").and_then(|name| Some(name.as_str()?.to_owned()));
        let body = Value::Object(object).to_string().into_bytes();
        return Sent { conversation: conversation.unwrap_or_default(), body, gzip: false };
    }
    let body = match (case["raw"].as_str(), case["raw_b64"].as_str()) {
        (Some(raw), _) => raw.as_bytes().to_vec(),
        (_, Some(raw)) => STANDARD.decode(raw).unwrap(),
        _ => panic!("a case without a body: {}", case["name"]),
    };
    Sent { conversation: "room-1".to_owned(), body: without_conversation(&body), gzip: false }
}

/// Cuts the first `"conversation":"room-1",` out.
fn without_conversation(body: &[u8]) -> Vec<u8> {
    let field = br#""conversation":"room-1","#;
    match body.windows(field.len()).position(|window| window == field) {
        Some(at) => [&body[..at], &body[at + field.len()..]].concat(),
        None => body.to_vec(),
    }
}

fn encoded(segment: &str) -> String {
    segment.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").unwrap();
        }
        encoded
    })
}

fn cases() -> Vec<Value> {
    let folder = std::env::var_os("TIDINGS_SAMPLES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data")),
        PathBuf::from,
    );
    let file = folder.join("nasty.ndjson");
    let Ok(lines) = std::fs::read_to_string(&file) else {
        println!("{} is not there; a handful of cases like it is tried instead", file.display());
        return made_up();
    };
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Cases of the same kinds.
fn made_up() -> Vec<Value> {
    let object = |text: Value| json!({"conversation": "room-1", "client_message_id": "m-1", "text": text});
    let raw = |text: &str| format!(r#"{{"conversation":"room-1","client_message_id":"m-1","text":{text}}}"#);
    let mut cases: Vec<Value> = [
        (object(json!("hello")), "accept"),
        (object(json!("😀".repeat(4_096))), "accept"),
        (object(json!("  \n hi \t ")), "accept"),
        (object(json!("\u{feff}a\u{2028}b\u{202e}c\u{301}")), "accept"),
        (object(json!("😀".repeat(4_097))), "reject"),
        (object(json!("\u{3000}")), "reject"),
        (object(json!("a\rb")), "reject"),
        (object(json!("a\u{85}b")), "reject"),
        (object(json!(42)), "reject"),
        (json!({"conversation": "../../etc/passwd", "text": "hello"}), "reject"),
        (json!({"conversation": "room-1\n", "text": "hello"}), "reject"),
        (json!({"conversation": {"id": "room-1"}, "text": "hello"}), "reject"),
        (json!({"text": "hello"}), "reject"),
        (json!({"conversation": "room-1", "text": "hello", "admin": true}), "reject"),
    ]
    .into_iter()
    .map(|(body, expect)| json!({"name": body.to_string(), "body": body, "expect": expect}))
    .collect();
    cases.extend(
        [
            (raw(&format!("\"{}\"", r"\u0061".repeat(16_384))), "accept"),
            (raw(r#""a","te\u0078t":"b""#), "reject"),
            (raw(r#""a\ud83d""#), "reject"),
            (raw(&"[".repeat(50_000)), "reject"),
            (raw("1e999999999"), "reject"),
            (format!("{}x", raw("\"hi\"")), "reject"),
            (raw("\"hi\"").replace('{', r#"{"conversation":"room-1","#), "reject"),
            (String::new(), "reject"),
        ]
        .into_iter()
        .map(|(raw, expect)| json!({"name": raw.get(..80), "raw": raw, "expect": expect})),
    );
    let latin_1 = STANDARD.encode(b"{\"conversation\":\"room-1\",\"text\":\"caf\xe9\"}");
    cases.push(json!({"name": "latin-1", "raw_b64": latin_1, "expect": "reject"}));
    cases.push(json!({"name": "gzip-bomb", "note": "sent as gzip", "expect": "reject"}));
    cases
}
