//! An Avro object container file, block by block.
//!
//! Invariant: at most one block is in memory.

use std::io::Write;

use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use schemas::{ChatEvent, codec::SCHEMAS};

/// Bytes of events in a block before it is compressed: about 300 events.
const BLOCK_LEN: usize = 64 * 1_024;

/// A container that is being written.
///
/// The library writes into memory, and from there we write on: its own writing does not care whether all bytes of a
/// block were taken.
pub(super) struct Container<W> {
    blocks: Writer<'static, Vec<u8>>,
    out: W,
}

impl<W: Write> Container<W> {
    /// Begins a container of [`ChatEvent`]s.
    pub(super) fn begin(out: W) -> anyhow::Result<Self> {
        let newest = SCHEMAS.last().copied().unwrap_or_default();
        // The schema lives as long as the program, which makes one container.
        let schema: &'static Schema = Box::leak(Box::new(Schema::parse_str(newest)?));
        let blocks = Writer::builder()
            .schema(schema)
            .writer(Vec::new())
            .codec(Codec::Deflate(DeflateSettings::default()))
            .block_size(BLOCK_LEN)
            .human_readable(false)
            .build()?;
        Ok(Self { blocks, out })
    }

    /// Adds an event.
    pub(super) fn push(&mut self, event: &ChatEvent) -> anyhow::Result<()> {
        self.blocks.append_ser(event)?;
        self.write_on()
    }

    /// Writes what is left; a container without events is one, too.
    pub(super) fn finish(mut self) -> anyhow::Result<W> {
        self.blocks.flush()?;
        self.write_on()?;
        Ok(self.out)
    }

    fn write_on(&mut self) -> anyhow::Result<()> {
        let ready = self.blocks.get_mut();
        if !ready.is_empty() {
            self.out.write_all(ready)?;
            ready.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::Reader;
    use schemas::{
        EventBody, Timestamp,
        event::{MemberRenamed, MessagePosted, Style},
    };

    use super::*;

    fn event(number: usize, body: impl Into<EventBody>) -> ChatEvent {
        ChatEvent {
            event_id: format!("m-{number}").parse().unwrap(),
            conversation: "tea".parse().unwrap(),
            actor: "ann".parse().unwrap(),
            occurred_at: Timestamp::from_millis(1_708_937_379_372),
            body: body.into(),
        }
    }

    fn message(number: usize) -> ChatEvent {
        let text = format!("number {number} — 👍").parse().unwrap();
        event(number, MessagePosted { text, style: Style::Action, reply_to: None })
    }

    fn read(container: &[u8]) -> Vec<ChatEvent> {
        let reader = Reader::builder(container).human_readable(false).build().unwrap();
        reader.into_deser_iter().map(Result::unwrap).collect()
    }

    /// Takes a few bytes at a time, as a pipe may.
    struct Reluctant(Vec<u8>);

    impl Write for Reluctant {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let some = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn events_come_back_from_the_container_over_several_blocks() {
        let mut events: Vec<ChatEvent> = (0..5_000).map(message).collect();
        events.push(event(5_000, MemberRenamed { to: "anna".parse().unwrap() }));
        let mut container = Container::begin(Reluctant(Vec::new())).unwrap();
        for event in &events {
            container.push(event).unwrap();
            assert!(container.blocks.get_ref().is_empty(), "no block waits in memory");
        }
        let bytes = container.finish().unwrap().0;
        assert_eq!(read(&bytes), events);
    }

    #[test]
    fn a_container_without_events_is_still_a_container() {
        let bytes = Container::begin(Vec::new()).unwrap().finish().unwrap();
        assert!(bytes.starts_with(b"Obj\x01"));
        assert_eq!(read(&bytes), []);
    }
}
