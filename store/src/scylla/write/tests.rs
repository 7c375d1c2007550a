use kernel::history::conformance::{Scribe, body};
use schemas::{Offset, Position, Visibility};

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
        let requests = requests(placed(Rows::of(&batch).loose), bytes_max, rows_max);
        assert_eq!(requests.iter().map(Vec::len).sum::<usize>(), len);
        assert_eq!(requests.iter().map(Vec::len).max(), Some(longest), "{bytes_max} {rows_max}");
        assert!(requests.iter().all(|rows| !rows.is_empty()));
    }
    assert!(requests(Vec::new(), 1, 1).is_empty());
}

#[test]
fn a_unit_is_never_cut_whatever_the_bounds() {
    let batch = scribe().whole();
    let Rows { states, .. } = Rows::of(&batch);
    let rows = states[0].0.len();
    assert!(rows > 4);
    let units = states.into_iter().map(|unit| Placed { token: 0, weight: 1_000, unit }).collect();
    let requests = requests(units, 10, 2);
    assert_eq!(requests.iter().map(Vec::len).collect::<Vec<_>>(), [rows]);
}

#[test]
fn what_has_one_token_travels_together() {
    let batch = scribe().whole();
    let rows = Rows::of(&batch).loose;
    let tokens = [5, 1].into_iter().cycle();
    let units =
        rows.into_iter().zip(tokens).map(|(row, token)| Placed { token, weight: 1, unit: Unit(vec![row]) });
    let requests = requests(units.collect(), 1_000, 1_000);
    let inserts: Vec<_> = requests[0].iter().map(Row::insert).collect();
    assert_eq!(requests.len(), 1);
    let first = Rows::of(&batch).loose.iter().skip(1).step_by(2).map(Row::insert).collect::<Vec<_>>();
    assert_eq!(inserts[..first.len()], first);
}

#[test]
fn a_position_beyond_the_stamps_is_refused_and_the_last_one_is_not() {
    let mut scribe = Scribe::default();
    scribe.next = Offset::new(OFFSETS - 1);
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    let last = scribe.batch(0, OFFSETS);
    assert!(check_offsets(&last).is_ok());
    let beyond = Batch { up_to: Position::new(OFFSETS + 1), ..last };
    let error = check_offsets(&beyond).unwrap_err();
    assert!(!error.retryable(), "{error}");
}
