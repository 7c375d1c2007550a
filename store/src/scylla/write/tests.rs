use kernel::history::conformance::{Scribe, body};
use schemas::{Offset, Partition, Position, Visibility};

use super::*;

fn scribe() -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob", "cid", "dan"]));
    for number in 0..8 {
        scribe.does("ann", &format!("m{number}"), body::posted("hi"));
    }
    scribe
}

/// The loose rows, each of weight 10, with tokens that fall.
fn placed(rows: Vec<Row<'_>>) -> Vec<Placed<'_>> {
    let tokens = (0..).map(|number: i64| -number);
    rows.into_iter()
        .zip(tokens)
        .map(|(row, token)| Placed { token, weight: 10, unit: Unit(vec![row]) })
        .collect()
}

#[test]
fn requests_hold_their_bounds_in_bytes_and_in_rows_and_lose_nothing() {
    let batch = scribe().whole();
    let len = Rows::of(&batch).loose.len();
    for (bytes_max, rows_max, longest) in
        [(1_000, 4, 4), (35, 100, 3), (10, 100, 1), (1, 100, 1), (1_000, 100, len)]
    {
        let requests = cut(placed(Rows::of(&batch).loose), bytes_max, rows_max);
        assert_eq!(requests.iter().map(Vec::len).sum::<usize>(), len);
        assert_eq!(requests.iter().map(Vec::len).max(), Some(longest), "{bytes_max} {rows_max}");
        assert!(requests.iter().all(|rows| !rows.is_empty()));
    }
    assert!(cut(Vec::new(), 1, 1).is_empty());
}

#[test]
fn a_unit_is_never_cut_whatever_the_bounds() {
    let batch = scribe().whole();
    let Rows { states, .. } = Rows::of(&batch);
    let rows = states[0].0.len();
    assert!(rows > 4);
    let units = states.into_iter().map(|unit| Placed { token: 0, weight: 1_000, unit });
    let requests = cut(units, 10, 2);
    assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [rows]);
}

#[test]
fn a_partition_with_much_has_requests_of_its_own_and_the_others_share() {
    let batch = scribe().whole();
    // Of the first partition there are one byte more than several may have together, of each other at most as many.
    let share = MIXED_BYTES_MAX / 4;
    let weights = [(1, share), (2, share), (1, share), (3, share), (1, share), (2, share), (1, share + 1)];
    let rows = Rows::of(&batch).loose.into_iter();
    let group =
        rows.zip(weights).map(|(row, (token, weight))| Placed { token, weight, unit: Unit(vec![row]) });
    let rows = Rows::of(&batch).loose;
    let offsets = |rows: &[Row<'_>]| rows.iter().map(|row| row.stamp.number()).collect::<Vec<_>>();
    let of = |places: &[usize]| places.iter().map(|place| rows[*place].stamp.number()).collect::<Vec<_>>();
    let requests: Vec<_> = requests(group.collect()).iter().map(|rows| offsets(rows)).collect();
    assert_eq!(requests, [of(&[0, 2, 4, 6]), of(&[1, 5, 3])]);
}

#[test]
fn a_position_beyond_the_stamps_is_refused_and_the_last_one_is_not() {
    let mut scribe = Scribe::default();
    scribe.next = Offset::new(OFFSETS - 1);
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    let last = scribe.batch(0, OFFSETS);
    assert!(check_offsets(&last).is_ok());
    let beyond = Batch { up_to: [(Partition(0), Position::new(OFFSETS + 1))].into(), ..last };
    let error = check_offsets(&beyond).unwrap_err();
    assert!(!error.retryable(), "{error}");
}
