//! How one speaks to the program `gin`: rooms at `/ws/NAME`, in which everybody gets what anybody says, and no protocol.

use server::measure::{Dialect, Step, Until, client_frame, lines, upgrade};

/// See the module.
#[derive(Debug)]
pub(crate) struct Rooms;

impl Dialect for Rooms {
    fn joining(&self, _: u64, conversation: &str) -> anyhow::Result<Vec<Step>> {
        Ok(vec![Step { says: upgrade(&format!("/ws/{conversation}")), until: Until::Upgraded }])
    }

    fn publishing(&self, _: u64, _: &str) -> anyhow::Result<Option<Vec<Step>>> {
        Ok(None)
    }

    fn publish(&self, _: u64, _: &str, text: &str) -> anyhow::Result<Vec<u8>> {
        client_frame(text.as_bytes())
    }

    /// Several messages of a frame have line ends between them, and a message has none in it.
    fn deliveries(&self, payload: &[u8]) -> u64 {
        lines(payload).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_payload_is_a_message() {
        assert_eq!(Rooms.deliveries(b"message 0 xxx"), 1);
        assert_eq!(Rooms.deliveries(b"message 0 xxx\nmessage 1 xxx\nmessage 2 xxx"), 3);
    }

    #[test]
    fn one_comes_in_by_a_handshake_alone_and_publishes_as_one_of_them() {
        let steps = Rooms.joining(3, "tea").unwrap();
        assert!(
            matches!(&steps[..], [Step { says, until: Until::Upgraded }] if says.starts_with(b"GET /ws/tea "))
        );
        assert!(Rooms.publishing(0, "tea").unwrap().is_none());
    }
}
