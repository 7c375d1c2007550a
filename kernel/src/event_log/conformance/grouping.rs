//! What a group of readers promises.

use super::{PARTITIONS, Seen, Subject, append, numbered, offsets, open, soon};
use crate::event_log::{Delivery, EventReader, Place, Readership};

const STORE: Readership = Readership::Group("store");

/// From the first record ever, and then from the place up to which the work is done.
pub async fn a_group_starts_at_0_and_goes_on_where_it_committed<S: Subject>() {
    let mut subject = S::fresh().await;
    let first = append(&subject.log(), numbered(30)).await;
    let committed = {
        let mut reader = open(&subject.log(), STORE).await;
        let mut seen = Seen::default();
        seen.read_until(&mut *reader, 30).await;
        assert_eq!(seen.offsets(), offsets(&first));
        commit_all(&mut *reader, &seen).await;
        seen.assigned
    };
    subject.reopen().await;
    let second = append(&subject.log(), numbered(30)).await;
    let mut reader = open(&subject.log(), STORE).await;
    let mut seen = Seen::default();
    // Checked as they come: reading moves them on.
    while seen.count() < 30 {
        let delivery = soon(reader.next()).await.unwrap();
        if let Delivery::Assigned { partition, from } = &delivery
            && let Some(committed) = committed.get(partition)
        {
            assert_eq!(from, committed, "partition {partition}");
        }
        seen.take(delivery);
    }
    assert_eq!(seen.offsets(), offsets(&second));
}

/// What was read, but not said to be done, is not lost with its reader.
pub async fn uncommitted_work_is_delivered_again<S: Subject>() {
    let mut subject = S::fresh().await;
    let places = append(&subject.log(), numbered(30)).await;
    let done = places[14];
    {
        let mut reader = open(&subject.log(), STORE).await;
        let mut seen = Seen::default();
        seen.read_until(&mut *reader, 30).await;
        // Of one partition a part, of the others nothing.
        soon(reader.commit(done.partition, done.offset.position())).await.unwrap();
    }
    subject.reopen().await;
    let mut reader = open(&subject.log(), STORE).await;
    let mut seen = Seen::default();
    let undone = |place: &Place| place.partition != done.partition || place.offset > done.offset;
    let undone: Vec<Place> = places.into_iter().filter(undone).collect();
    seen.read_until(&mut *reader, undone.len()).await;
    assert_eq!(seen.offsets(), offsets(&undone));
}

/// Each group gets every record, and commits for itself.
pub async fn groups_do_not_disturb_each_other<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let places = append(&log, numbered(30)).await;
    let mut store = open(&log, STORE).await;
    let mut seen = Seen::default();
    seen.read_until(&mut *store, 30).await;
    commit_all(&mut *store, &seen).await;
    let mut audit = open(&log, Readership::Group("audit")).await;
    let mut seen = Seen::default();
    seen.read_until(&mut *audit, 30).await;
    assert_eq!(seen.offsets(), offsets(&places));
}

/// However far behind a reader is, a delivery holds no more than a batch.
pub async fn a_backlog_comes_in_bounded_deliveries_with_nothing_left_out<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let mut places = Vec::new();
    for _ in 0..5 {
        places.extend(append(&log, vec![super::record("tea", "x"); 900]).await);
    }
    let mut reader = open(&log, STORE).await;
    let mut seen = Seen::default();
    seen.read_until(&mut *reader, places.len()).await;
    assert_eq!(seen.offsets(), offsets(&places));
}

/// A second reader takes over some of the partitions, and the rest when the first is gone; no record
/// is read by neither.
pub async fn readers_of_a_group_share_its_partitions<S: Subject>() {
    let subject = S::fresh().await;
    let log = subject.log();
    let (mut first, mut first_seen) = (open(&log, STORE).await, Seen::default());
    first_seen.assigned_all(&mut *first).await;

    // The first one waits for records while the second one comes.
    let mut second_seen = Seen::default();
    let give = async {
        while first_seen.assigned.len() == PARTITIONS as usize {
            first_seen.take(soon(first.next()).await.unwrap());
        }
    };
    let take = async {
        let mut second = open(&log, STORE).await;
        while second_seen.assigned.is_empty() {
            second_seen.take(soon(second.next()).await.unwrap());
        }
        second
    };
    let ((), mut second) = tokio::join!(biased; give, take);
    while first_seen.assigned.len() + second_seen.assigned.len() < PARTITIONS as usize {
        read_either(&mut *first, &mut first_seen, &mut *second, &mut second_seen).await;
    }
    let mut places = append(&log, numbered(40)).await;
    while first_seen.count() + second_seen.count() < 40 {
        read_either(&mut *first, &mut first_seen, &mut *second, &mut second_seen).await;
    }
    assert!(first_seen.offsets().is_disjoint(&second_seen.offsets()), "no partition is read by both");
    commit_all(&mut *second, &second_seen).await;

    // The second one waits while the first one goes.
    tokio::join!(biased; second_seen.assigned_all(&mut *second), async { drop(first) });
    places.extend(append(&log, numbered(40)).await);
    // The first committed nothing, so the second gets all of it again.
    second_seen.read_until(&mut *second, 80).await;
    assert_eq!(second_seen.offsets(), offsets(&places));
}

async fn read_either(
    first: &mut dyn EventReader,
    first_seen: &mut Seen,
    second: &mut dyn EventReader,
    second_seen: &mut Seen,
) {
    let next = async {
        tokio::select! {
            delivery = first.next() => first_seen.take(delivery.unwrap()),
            delivery = second.next() => second_seen.take(delivery.unwrap()),
        }
    };
    soon(next).await;
}

/// Says that everything seen is done, one record after the other.
async fn commit_all(reader: &mut dyn EventReader, seen: &Seen) {
    for (partition, records) in &seen.records {
        for record in records {
            soon(reader.commit(*partition, record.offset.position())).await.unwrap();
        }
    }
}
