//! What outlives the process.

use super::{Subject, all, append, numbered, partitions, tail};

/// The same records in the same places, and the same tails.
pub async fn records_survive_reopening<S: Subject>() {
    let mut subject = S::fresh().await;
    append(&subject.log(), numbered(100)).await;
    let before = all(&subject.log()).await;
    let mut tails = Vec::new();
    for partition in partitions() {
        tails.push(tail(&subject.log(), partition).await);
    }
    subject.reopen().await;
    assert_eq!(all(&subject.log()).await, before);
    for (partition, before) in partitions().zip(tails) {
        assert_eq!(tail(&subject.log(), partition).await, before);
    }
}

/// New records stand behind the old ones, in place and in time.
pub async fn offsets_go_on_after_reopening<S: Subject>() {
    let mut subject = S::fresh().await;
    let before = append(&subject.log(), numbered(40)).await;
    subject.reopen().await;
    let after = append(&subject.log(), numbered(40)).await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.partition, after.partition, "a key stays in its partition");
        assert!(before.offset < after.offset && before.recorded_at <= after.recorded_at);
    }
    let stored: usize = all(&subject.log()).await.values().map(Vec::len).sum();
    assert_eq!(stored, 80);
}

/// It stays as long as offsets keep their meaning, and no other log has the same.
pub async fn the_epoch_is_that_of_the_log<S: Subject>() {
    let mut subject = S::fresh().await;
    let epoch = subject.log().epoch();
    append(&subject.log(), numbered(10)).await;
    assert_eq!(subject.log().epoch(), epoch);
    subject.reopen().await;
    assert_eq!(subject.log().epoch(), epoch);
    assert_ne!(S::fresh().await.log().epoch(), epoch);
}
