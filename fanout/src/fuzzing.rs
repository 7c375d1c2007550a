//! What the fuzz target of `fuzz/` calls; tests run it over the same corpus.

use prost::Message;

use crate::protocol::{Command, Form};

/// Reads a frame in each form.
///
/// # Panics
/// What was understood is understood differently when it is said again, in the same form or the other. To be refused is no
/// reason.
pub fn frame(payload: &[u8]) {
    if let Ok(commands) = Form::Json.commands(payload) {
        assert_eq!(through_json(&commands), commands);
        assert_eq!(through_protobuf(&commands), commands);
    }
    if let Ok(commands) = Form::Protobuf.commands(payload) {
        assert_eq!(through_protobuf(&commands), commands);
    }
}

#[expect(clippy::expect_used, reason = "it is to panic")]
fn through_json(commands: &[Command]) -> Vec<Command> {
    let lines: Result<Vec<_>, _> = commands.iter().map(serde_json::to_string).collect();
    Form::Json.commands(lines.expect("JSON").join("\n").as_bytes()).expect("commands")
}

#[expect(clippy::expect_used, reason = "it is to panic")]
fn through_protobuf(commands: &[Command]) -> Vec<Command> {
    let bytes: Vec<_> = commands.iter().flat_map(Message::encode_length_delimited_to_vec).collect();
    Form::Protobuf.commands(&bytes).expect("commands")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn every_frame_of_the_corpus_is_understood_or_refused() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/frames");
        let mut read = 0;
        for entry in fs::read_dir(corpus).unwrap() {
            super::frame(&fs::read(entry.unwrap().path()).unwrap());
            read += 1;
        }
        assert!(read >= 20, "only {read} frames");
    }
}
