//! Buckets: the events of a conversation are cut by offset, so that no partition of the table grows without end.

use schemas::Offset;

/// Offsets in a bucket. The servers warn at 100,000 rows in a partition; a bucket has at most so many, however busy its conversation is.
pub(super) const WIDTH: i64 = 65_536;

/// The bucket of the event at `offset`.
pub(super) fn of(offset: Offset) -> i64 {
    i64::from(offset) / WIDTH
}

/// The first and the last bucket that can hold an offset of `from..to`; `None` if there is no such offset.
pub(super) fn within(from: i64, to: i64) -> Option<(i64, i64)> {
    (0 <= from && from < to).then(|| (from / WIDTH, (to - 1) / WIDTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_begins_at_each_multiple_of_its_width() {
        let buckets = [0, 65_535, 65_536, 131_071, 131_072].map(|offset| of(Offset::new(offset)));
        assert_eq!(buckets, [0, 0, 1, 1, 2]);
        assert_eq!(of(Offset::new(u64::MAX)), i64::MAX / WIDTH);
    }

    #[test]
    fn a_range_ends_in_the_bucket_of_its_last_offset() {
        assert_eq!(within(0, 1), Some((0, 0)));
        assert_eq!(within(0, WIDTH), Some((0, 0)));
        assert_eq!(within(WIDTH - 1, WIDTH + 1), Some((0, 1)));
        assert_eq!(within(0, i64::MAX), Some((0, i64::MAX / WIDTH)));
        assert_eq!(within(5, 5), None);
        assert_eq!(within(6, 5), None);
    }
}
