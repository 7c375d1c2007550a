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
