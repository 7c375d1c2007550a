//! What came to a session that was behind: each event once, and in order.

use anyhow::{Context, ensure};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct CaughtUp {
    pub(super) events: u64,
    pub(super) last: u64,
}

/// The offset at the end of a push: `…,"offset":4711}}}`.
pub(super) fn offset(push: &[u8]) -> Option<u64> {
    let digits = push.strip_suffix(b"}}}")?.rsplit(|byte| *byte == b':').next()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl CaughtUp {
    /// Takes what came next.
    ///
    /// # Errors
    /// It has no offset, or one that is not above the one before.
    pub(super) fn take(&mut self, offset: Option<u64>) -> anyhow::Result<()> {
        let offset = offset.context("a push without an offset")?;
        ensure!(offset > self.last, "{offset} came after {}", self.last);
        (self.last, self.events) = (offset, self.events + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_from_the_end_of_a_push() {
        let push = br#"{"push":{"channel":"tea","pub":{"data":{"offset":3,"text":"a:1}}}"},"offset":4711}}}"#;
        assert_eq!(offset(push), Some(4_711));
        assert_eq!(offset(b"{}"), None);
    }

    #[test]
    fn what_is_doubled_or_out_of_order_is_no_catching_up() {
        let mut seen = CaughtUp::default();
        assert!(seen.take(Some(3)).is_ok());
        assert!(seen.take(Some(3)).is_err());
        assert!(seen.take(Some(2)).is_err());
        assert!(seen.take(None).is_err());
        assert_eq!(seen.events, 1);
    }
}
