//! How far the history has come, and from which log.

use schemas::{Partition, Position, Visibility};

use super::{Fixture, Scribe, body, random::Answers};
use crate::history::{Batch, Depth, Extent, HistoryError, Progress};

fn begun(partition: u32) -> Scribe {
    let mut scribe = Scribe::of(Partition(partition));
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe.does("bob", "m", body::posted("hi"));
    scribe.does("bob", "m2", body::posted("there"));
    scribe
}

/// A batch that comes again, or late, does not take it back.
pub async fn progress_moves_with_the_batch_and_never_back(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let scribe = begun(0);
    assert_eq!(history.progress(Partition(0)).await.unwrap(), None);
    for (to, expected) in [(1, 1), (3, 3), (2, 3), (3, 3)] {
        history.apply(scribe.batch(0, to)).await.unwrap();
        let expected = Progress { epoch: scribe.epoch.clone(), position: Position::new(expected) };
        assert_eq!(history.progress(Partition(0)).await.unwrap(), Some(expected));
    }
}

/// Records that are no events are projected too, in that they are passed.
pub async fn a_batch_without_events_moves_progress(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let scribe = Scribe::default();
    history.apply(scribe.batch(0, 7)).await.unwrap();
    let expected = Progress { epoch: scribe.epoch, position: Position::new(7) };
    assert_eq!(history.progress(Partition(0)).await.unwrap(), Some(expected));
}

/// Each has its own position.
pub async fn partitions_progress_apart(fixture: &impl Fixture) {
    let history = fixture.open().await;
    history.apply(begun(0).batch(0, 2)).await.unwrap();
    assert_eq!(history.progress(Partition(1)).await.unwrap(), None);
    history.apply(Scribe::of(Partition(1)).batch(0, 9)).await.unwrap();
    let position = async |partition| history.progress(Partition(partition)).await.unwrap().unwrap().position;
    assert_eq!((position(0).await.get(), position(1).await.get()), (2, 9));
}

/// Each as far as the batch says, and none back.
pub async fn a_batch_moves_all_of_its_partitions(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let (tea, mut milk) = (begun(0), Scribe::of(Partition(1)));
    let conversation = "milk".parse().unwrap();
    milk.act("milk", "bob", "c", body::created(Visibility::Open, &[])).unwrap();
    milk.act("milk", "bob", "m", body::posted("hi")).unwrap();
    for (to, [of_tea, of_milk]) in [([1, 2], [1, 2]), ([3, 1], [3, 2]), ([2, 2], [3, 2])] {
        let (mut batch, other) = (tea.batch(0, to[0]), milk.batch(0, to[1]));
        batch.up_to.extend(other.up_to);
        batch.events.extend(other.events);
        history.apply(batch).await.unwrap();
        for (partition, position) in [(0, of_tea), (1, of_milk)] {
            let progress = history.progress(Partition(partition)).await.unwrap();
            assert_eq!(progress.map(|progress| progress.position.get()), Some(position), "{to:?}");
        }
        assert_eq!(history.events(&conversation, Extent::ALL).await.unwrap().len(), 2);
    }
    let snapshot = history.snapshot(Partition(1), &conversation, Depth::Look).await.unwrap();
    assert_eq!((snapshot.state.is_some(), snapshot.position.get()), (true, 2));
    assert_eq!(Answers::of(&history, &tea).await.position(), Position::new(3));
}

/// Answers and progress alike.
pub async fn what_was_applied_is_there_when_opened_again(fixture: &impl Fixture) {
    let scribe = begun(0);
    let history = fixture.open().await;
    history.apply(scribe.whole()).await.unwrap();
    let (answers, digest) = (Answers::of(&history, &scribe).await, fixture.digest().await);
    assert_eq!(answers.position(), Position::new(3));
    drop(history);
    let history = fixture.open().await;
    assert_eq!(Answers::of(&history, &scribe).await, answers);
    assert_eq!(fixture.digest().await, digest);
}

/// In a partition that has begun and in one that has not.
pub async fn a_batch_of_another_log_is_refused_whole(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let scribe = begun(0);
    history.apply(scribe.batch(0, 1)).await.unwrap();
    let before = Answers::of(&history, &scribe).await;
    for partition in [0, 1].map(Partition) {
        let up_to = [(partition, Position::new(3))].into();
        let other = Batch { epoch: "second".parse().unwrap(), up_to, ..scribe.whole() };
        let error = history.apply(other).await.unwrap_err();
        assert!(!error.retryable());
        let HistoryError::OtherLog { expected, found } = error else { panic!("{error:?}") };
        assert_eq!((expected.as_str(), found.as_str()), ("second", "first"));
        assert_eq!(Answers::of(&history, &scribe).await, before);
        assert_eq!(history.progress(Partition(1)).await.unwrap(), None);
    }
    history.apply(scribe.whole()).await.unwrap();
    assert_eq!(history.progress(Partition(0)).await.unwrap().unwrap().position, Position::new(3));
}
