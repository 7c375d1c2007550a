//! Golden bytes: what was once written stays readable, and writes the same.
//!
//! `golden/vN/<Type>.avro` holds the record value of version N, `<Type>.json` what reading it must give. A
//! missing file is written by `TIDINGS_GOLDEN=write cargo test -p schemas`, an existing one never.

use std::{fs, path::PathBuf};

use proptest::prelude::*;

use super::*;
use crate::{
    event::*,
    id::{EventId, UserId},
    json::{EventFromJson, EventJson},
    position::Position,
    text::MessageText,
    time::Timestamp,
};

fn samples() -> Vec<ChatEvent> {
    let user = |s: &str| s.parse::<UserId>().unwrap();
    let id = |s: &str| s.parse::<EventId>().unwrap();
    let text = |s: &str| s.parse::<MessageText>().unwrap();
    let bodies: Vec<EventBody> = vec![
        ConversationCreated {
            title: Some("Tea & cake".parse().unwrap()),
            visibility: Visibility::Private,
            members: vec![user("bob"), user("x|away")],
        }
        .into(),
        ConversationChanged { title: None, archived: Some(true) }.into(),
        MemberJoined { member: user("bob") }.into(),
        MemberLeft { parting_words: "so long".parse().unwrap() }.into(),
        MemberRemoved { member: user("bob") }.into(),
        RoleChanged { member: user("bob"), role: Role::Moderator }.into(),
        MemberRenamed { to: user("ann_") }.into(),
        MessagePosted { text: text("Grüße 👋\n\tzwei"), style: Style::Action, reply_to: Some(id("m-0")) }
            .into(),
        MessageEdited { message_id: id("m-1"), text: text("better") }.into(),
        MessageRedacted { message_id: id("m-1") }.into(),
        ReactionAdded { message_id: id("m-1"), emoji: "👍".parse().unwrap() }.into(),
        ReactionRemoved { message_id: id("m-1"), emoji: "👍".parse().unwrap() }.into(),
        ReadMarkerMoved { up_to: Position::new(4_711) }.into(),
    ];
    bodies
        .into_iter()
        .map(|body| ChatEvent {
            event_id: id("e-1"),
            conversation: "tea".parse().unwrap(),
            actor: user("ann"),
            occurred_at: Timestamp::from_millis(1_708_937_379_372),
            body,
        })
        .collect()
}

fn golden(version: usize, event: &str, ending: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden");
    root.join(format!("v{version}")).join(format!("{event}.{ending}"))
}

fn json(event: &ChatEvent) -> String {
    EventJson::new(event, Position::new(1), Timestamp::from_millis(0)).to_text() + "\n"
}

#[test]
fn there_is_a_sample_of_every_type() {
    let types: Vec<_> = samples().iter().map(|event| event.body.type_name()).collect();
    assert_eq!(types, EventBody::TYPES);
}

#[test]
fn the_writer_of_the_newest_version_writes_its_golden_bytes() {
    let write = std::env::var_os("TIDINGS_GOLDEN").is_some_and(|v| v == "write");
    for event in samples() {
        let value = Codec::default().encode(&event).unwrap();
        let path = golden(SCHEMAS.len(), event.body.type_name(), "avro");
        if write && !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &value).unwrap();
            fs::write(path.with_extension("json"), json(&event)).unwrap();
        }
        let kept = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(kept, value, "{} would be written differently now", event.body.type_name());
    }
}

#[test]
fn the_reader_reads_the_golden_bytes_of_every_version() {
    for version in 1..=SCHEMAS.len() {
        let mut read = 0;
        for entry in fs::read_dir(golden(version, "x", "avro").parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "avro") {
                let event = Codec::default().decode(&fs::read(&path).unwrap()).unwrap();
                let expected = fs::read_to_string(path.with_extension("json")).unwrap();
                assert_eq!(json(&event), expected, "{}", path.display());
                read += 1;
            }
        }
        assert!(read >= 13, "version {version} keeps {read} golden files");
    }
}

#[test]
fn the_schema_lists_the_bodies_in_the_order_of_the_enum() {
    let newest: serde_json::Value = serde_json::from_str(SCHEMAS.last().unwrap()).unwrap();
    let branches = newest["fields"][4]["type"].as_array().unwrap();
    let names: Vec<_> = branches.iter().map(|branch| branch["name"].as_str().unwrap()).collect();
    assert_eq!(names, EventBody::TYPES);
}

#[derive(serde::Serialize)]
struct OldPosted {
    text: &'static str,
    reply_to: Option<String>,
}

/// What reading an older version does is shown with one made up here: a writer that knew neither
/// `style` nor the last event types.
#[test]
fn a_record_of_an_older_writer_takes_the_defaults_of_later_fields() {
    let mut old: serde_json::Value = serde_json::from_str(SCHEMAS.last().unwrap()).unwrap();
    let branches = old["fields"][4]["type"].as_array_mut().unwrap();
    branches.truncate(8);
    branches[7]["fields"].as_array_mut().unwrap().remove(1);
    let old = Schema::parse_str(&old.to_string()).unwrap();

    let posted = OldPosted { text: "hi", reply_to: Some("m-0".to_owned()) };
    let writer = |schema| GenericDatumWriter::builder(schema).human_readable(false).build().unwrap();
    // event_id, conversation, actor, occurred_at (7), branch 7 of the union, then the body.
    let mut bytes = b"\x06m-1\x06tea\x06ann\x0e\x0e".to_vec();
    let Schema::Record(record) = &old else { panic!() };
    let Schema::Union(union) = &record.fields[4].schema else { panic!() };
    writer(&union.variants()[7]).write_ser(&mut bytes, &posted).unwrap();

    let reader = GenericDatumReader::builder(&old).human_readable(false).build().unwrap();
    let read: ChatEvent = reader.read_deser(&mut bytes.as_slice()).unwrap();
    let EventBody::MessagePosted(posted) = &read.body else { panic!("{read:?}") };
    assert_eq!(posted.style, Style::Plain);
    assert_eq!(posted.text.as_str(), "hi");
    assert_eq!(posted.reply_to.as_ref().unwrap().as_str(), "m-0");
}

#[test]
fn what_is_no_event_is_refused_with_its_reason() {
    let codec = Codec::default();
    let good = codec.encode(&samples()[7]).unwrap();
    assert!(matches!(codec.decode(b""), Err(DecodeError::NoHeader { len: 0 })));
    assert!(matches!(codec.decode(&[0, 0, 0, 0, 1]), Err(DecodeError::NoHeader { len: 5 })));
    assert!(matches!(codec.decode(b"{\"json\":1}"), Err(DecodeError::NoHeader { .. })));
    let mut unknown = good.to_vec();
    unknown[4] = 99;
    assert!(matches!(codec.decode(&unknown), Err(DecodeError::UnknownSchema(SchemaId(99)))));
    assert!(matches!(codec.decode(&good[..good.len() - 3]), Err(DecodeError::Body(_))));
    let trailing = [&good[..], b"x"].concat();
    assert!(matches!(codec.decode(&trailing), Err(DecodeError::Trailing(1))));
    let long = vec![0; caps::RECORD_LEN_MAX + 1];
    assert!(matches!(codec.decode(&long), Err(DecodeError::TooLong { .. })));
}

#[test]
fn a_value_that_breaks_the_rule_of_its_field_is_no_event() {
    // "tea" becomes "t/a": valid Avro, but no conversation id.
    let mut value = Codec::default().encode(&samples()[0]).unwrap().to_vec();
    let at = value.windows(3).position(|w| w == b"tea").unwrap();
    value[at + 1] = b'/';
    assert!(matches!(Codec::default().decode(&value), Err(DecodeError::Body(_))));
}

proptest! {
    #[test]
    fn any_text_survives_the_round_trip(s in "\\PC{1,200}", at in any::<i64>(), up_to in any::<u64>()) {
        prop_assume!(s.parse::<MessageText>().is_ok());
        let mut event = samples().swap_remove(7);
        event.occurred_at = Timestamp::from_millis(at);
        event.body = MessagePosted { text: s.parse().unwrap(), style: Style::Plain, reply_to: None }.into();
        let codec = Codec::default();
        prop_assert_eq!(&codec.decode(&codec.encode(&event).unwrap()).unwrap(), &event);
        let back: EventFromJson = serde_json::from_str(&json(&event)).unwrap();
        prop_assert_eq!(&back.event, &event);
        event.body = ReadMarkerMoved { up_to: Position::new(up_to) }.into();
        prop_assert_eq!(&codec.decode(&codec.encode(&event).unwrap()).unwrap(), &event);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Codec::default().decode(&bytes);
        let header = [0, 0, 0, 0, 1];
        bytes.splice(0..0, header);
        let _ = Codec::default().decode(&bytes);
    }
}
