use std::sync::Arc;

use schemas::{ChatEvent, Offset, Partition, Timestamp, event::MessagePosted};
use serde_json::json;

use super::*;
use crate::protocol::{
    ClientInfo, ConnectResult, ErrorCode, Method, Outcome, PresenceResult, SubscribeResult, Unsubscribe,
};

const BOTH: [Form; 2] = [Form::Json, Form::Protobuf];

fn event(offset: u64, text: &str) -> LiveEvent {
    let body =
        MessagePosted { text: text.parse().unwrap(), style: schemas::event::Style::Plain, reply_to: None };
    let event = ChatEvent {
        event_id: "m-1".parse().unwrap(),
        conversation: "tea".parse().unwrap(),
        actor: "ann".parse().unwrap(),
        occurred_at: Timestamp::from_millis(0),
        body: body.into(),
    };
    LiveEvent::new(Partition(0), Offset::new(offset), Timestamp::from_millis(0), Arc::new(event), 0)
}

/// The payloads of some frames.
fn payloads(form: Form, mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut payloads = Vec::new();
    while let [kind, len, rest @ ..] = bytes {
        assert_eq!(*kind, if form == Form::Json { Kind::Text } else { Kind::Binary } as u8);
        let (len, rest) = match len {
            126 => (u16::from_be_bytes(rest[..2].try_into().unwrap()) as usize, &rest[2..]),
            127 => {
                let len = u64::from_be_bytes(rest[..8].try_into().unwrap());
                (usize::try_from(len).unwrap(), &rest[8..])
            }
            len => (*len as usize, rest),
        };
        payloads.push(&rest[..len]);
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    payloads
}

/// The replies of some frames, as a client reads them.
fn replies(form: Form, frames: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    for mut payload in payloads(form, frames) {
        match form {
            Form::Json => replies.extend(
                payload.split(|byte| *byte == b'\n').map(|l| serde_json::from_slice::<Reply>(l).unwrap()),
            ),
            _ => {
                while payload.has_remaining() {
                    replies.push(Reply::decode_length_delimited(&mut payload).unwrap());
                }
            }
        }
    }
    replies
}

fn json_of(outcome: Outcome) -> String {
    let frame = Form::Json.reply(Reply::to(7, outcome));
    String::from_utf8(payloads(Form::Json, &frame)[0].to_vec()).unwrap()
}

#[test]
fn an_empty_result_is_there() {
    assert_eq!(json_of(Outcome::Publish), r#"{"id":7,"publish":{}}"#);
    // Field 8, of length 0.
    assert_eq!(Form::Protobuf.reply(Reply::to(7, Outcome::Publish))[..], *b"\x82\x05\x04\x08\x07\x42\x00");
}

#[test]
fn zero_is_left_out_of_json_except_where_clients_rely_on_it() {
    let connected = ConnectResult { client: "c".to_owned(), ping: 25, ..ConnectResult::default() };
    assert_eq!(json_of(Outcome::Connect(connected)), r#"{"id":7,"connect":{"client":"c","ping":25}}"#);
    let nobody = PresenceResult::default();
    assert_eq!(json_of(Outcome::Presence(nobody)), r#"{"id":7,"presence":{"presence":{}}}"#);
    let stats = crate::protocol::PresenceStatsResult::default();
    let expected = r#"{"id":7,"presence_stats":{"num_clients":0,"num_users":0}}"#;
    assert_eq!(json_of(Outcome::PresenceStats(stats)), expected);
    let history = crate::protocol::HistoryResult::default();
    let expected = r#"{"id":7,"history":{"publications":[],"epoch":"","offset":0}}"#;
    assert_eq!(json_of(Outcome::History(history)), expected);
}

#[test]
fn a_page_in_a_reply_is_read_as_it_was_written() {
    let events = [event(4, "é \" \n 🍵"), event(5, "}}")];
    for len in 0..=events.len() {
        for recoverable in [false, true] {
            let publications = events[..len].iter().map(Into::into).collect();
            let result = SubscribeResult { recoverable, publications, ..SubscribeResult::default() };
            let reply = Reply::to(7, Outcome::Subscribe(result));
            for form in BOTH {
                let read = replies(form, &form.reply(reply.clone()));
                assert_eq!(read, std::slice::from_ref(&reply), "{len} {form:?}");
            }
        }
    }
}

#[test]
fn an_error_says_whether_to_try_again() {
    let expected = r#"{"id":7,"error":{"code":100,"message":"internal server error","temporary":true}}"#;
    assert_eq!(json_of(Outcome::Error(ErrorCode::INTERNAL.into())), expected);
}

#[test]
fn pushes_in_both_forms_say_the_same() {
    let ann = ClientInfo { user: "ann".to_owned(), client: "c-1".to_owned() };
    for push in [
        Push::presence("tea", true, ann.clone()),
        Push::presence("tea", false, ann),
        Push::unsubscribe("tea", Unsubscribe::NOT_ALLOWED),
        Push::publication("tea", &event(4, "é \" \n 🍵")),
    ] {
        for form in BOTH {
            assert_eq!(replies(form, &form.push(push.clone())), [Reply::of(push.clone())], "{form:?}");
        }
    }
}

#[test]
fn a_ping_is_an_empty_reply() {
    for form in BOTH {
        assert_eq!(replies(form, &form.ping()), [Reply::default()]);
    }
}

#[test]
fn events_of_one_batch_share_frames_of_bounded_length() {
    let events: Vec<_> = (0..10).map(|n| event(n, &"x".repeat(16_000))).collect();
    let (tea, epoch) = ("tea".parse().unwrap(), "k7".parse().unwrap());
    for form in BOTH {
        let frames = form.publications(Channel { name: &tea, epoch: &epoch }, &events);
        let payloads = payloads(form, &frames);
        assert_eq!(payloads.len(), 3);
        assert!(payloads.iter().all(|payload| payload.len() < 2 * FRAME_LEN_AIM));
        let expected: Vec<_> =
            events.iter().map(|event| Reply::of(Push::publication("tea", event))).collect();
        assert_eq!(replies(form, &frames), expected);
    }
}

#[test]
fn a_frame_may_carry_several_commands() {
    let json = b"{\"id\":1,\"connect\":{\"token\":\"t\",\"name\":\"js\",\"new\":{}}}\n{\"id\":2,\"subscribe\":{\"channel\":\"tea\",\"flag\":1}}\n";
    let commands = Form::Json.commands(json).unwrap();
    let protobuf: Vec<u8> = commands.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    assert_eq!(Form::Protobuf.commands(&protobuf).unwrap(), commands);
    let [connect, subscribe] = commands.try_into().unwrap();
    assert!(matches!(connect.method(), Method::Connect(request) if request.token == "t"));
    assert!(matches!(subscribe.method(), Method::Subscribe(request) if request.channel == "tea"));
}

#[test]
fn data_is_json_in_both_forms() {
    let data = json!({"text": "é\n", "n": [1, null]}).to_string();
    let json = format!(r#"{{"id":1,"rpc":{{"method":"m","data":{data}}}}}"#);
    let [command] = Form::Json.commands(json.as_bytes()).unwrap().try_into().unwrap();
    let protobuf = command.encode_length_delimited_to_vec();
    let [same] = Form::Protobuf.commands(&protobuf).unwrap().try_into().unwrap();
    for command in [command, same] {
        assert!(matches!(command.method(), Method::Rpc(request) if request.data == data));
    }
}

#[test]
fn an_empty_command_is_a_pong() {
    let method = |json: &str| {
        let [command] = Form::Json.commands(json.as_bytes()).unwrap().try_into().unwrap();
        command.method()
    };
    assert!(matches!(method("{}"), Method::Pong));
    assert!(matches!(method("{\"id\":3}"), Method::Unknown));
    assert!(matches!(method("{\"ping\":{}}"), Method::Unknown));
    assert!(matches!(method("{\"send\":{\"data\":{}}}"), Method::Send));
    let [command] = Form::Protobuf.commands(b"\0").unwrap().try_into().unwrap();
    assert!(matches!(command.method(), Method::Pong));
}

#[test]
fn what_is_no_command_is_bad() {
    for bad in ["", "nonsense", "[]", "{\"id\":-1}", "{\"id\":1,\"subscribe\":3}", "\n", "{}\n\n{}"] {
        assert!(Form::Json.commands(bad.as_bytes()).is_err(), "{bad:?}");
    }
    assert!(Form::Json.commands("{\"a\":".repeat(10_000).as_bytes()).is_err());
    for bad in [
        &b"\x05\x08\x01"[..],
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x02\x22\x05",
        b"\x80",
        b"{}",
    ] {
        assert!(Form::Protobuf.commands(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn commands_in_one_frame_have_their_limit() {
    for form in BOTH {
        let many = |len: usize| match form {
            Form::Json => vec!["{}"; len].join("\n").into_bytes(),
            _ => vec![0; len],
        };
        assert_eq!(form.commands(&many(COMMANDS_LEN_MAX)).unwrap().len(), COMMANDS_LEN_MAX);
        assert!(matches!(form.commands(&many(COMMANDS_LEN_MAX + 1)), Err(NoCommand::TooMany)));
    }
}

#[test]
fn what_is_made_per_form_is_made_once() {
    let (once, count) = (PerForm::default(), std::cell::Cell::new(0));
    for form in [Form::Json, Form::Protobuf, Form::Json, Form::Protobuf] {
        let make = || {
            count.set(count.get() + 1);
            form
        };
        assert_eq!(*once.get(form, make), form);
    }
    assert_eq!(count.get(), 2);
}

fn stream_of(reply: Reply) -> String {
    String::from_utf8(Form::EventStream.reply(reply).to_vec()).unwrap()
}

#[test]
fn an_event_stream_holds_events_with_their_ids() {
    let (tea, epoch) = ("tea".parse().unwrap(), "k7".parse().unwrap());
    let events = [event(4, "one"), event(9, "two\nlines")];
    let stream = Form::EventStream.publications(Channel { name: &tea, epoch: &epoch }, &events);
    let json = |at: usize| String::from_utf8(events[at].json().to_vec()).unwrap();
    assert_eq!(stream, format!("id: k7:5\ndata: {}\n\nid: k7:10\ndata: {}\n\n", json(0), json(1)));
    assert_eq!(Form::EventStream.ping(), ":\n\n");
}

#[test]
fn an_event_stream_begins_with_its_position_or_with_what_was_missed() {
    let begun = |recovered, was_recovering, publications| {
        let (epoch, offset) = ("k7".to_owned(), 4);
        let result = SubscribeResult {
            epoch,
            offset,
            was_recovering,
            recovered,
            publications,
            ..SubscribeResult::default()
        };
        stream_of(Reply::to(0, Outcome::Subscribe(result)))
    };
    assert_eq!(begun(false, false, vec![]), "id: k7:4\n\n");
    assert_eq!(begun(true, true, vec![]), "id: k7:4\n\n");
    let lost = "event: lost\ndata: {\"epoch\":\"k7\",\"offset\":4}\n\nid: k7:4\n\n";
    assert_eq!(begun(false, true, vec![]), lost);
    let missed = event(4, "one");
    let json = String::from_utf8(missed.json().to_vec()).unwrap();
    assert_eq!(begun(true, true, vec![(&missed).into()]), format!("id: k7:5\ndata: {json}\n\n"));
}

#[test]
fn an_event_stream_ends_with_its_reason_and_says_nothing_else() {
    let end = Reply::of(Push::unsubscribe("tea", Unsubscribe::NOT_ALLOWED));
    let expected =
        "event: end\ndata: {\"code\":2000,\"reason\":\"you may not read this conversation any more\"}\n\n";
    assert_eq!(stream_of(end), expected);
    assert_eq!(stream_of(Reply::to(0, Outcome::Publish)), "");
}
