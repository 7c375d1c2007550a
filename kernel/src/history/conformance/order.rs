//! Batches that come twice, late or overlapping.

use schemas::{ConversationId, Visibility, event::Role};

use super::{Fixture, Scribe, body, event_id, random::Answers, user};
use crate::{
    conversation::Standing,
    history::{Batch, Depth, Extent},
};

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

/// A log in which everything is written and written again.
fn busy() -> Scribe {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &["bob"]));
    scribe.does("bob", "m", body::posted("one"));
    scribe.does("ann", "t1", body::retitled("One"));
    scribe.does("ann", "s1", body::role("bob", Role::Moderator));
    scribe.does("bob", "e1", body::edited("m", "two"));
    scribe.does("ann", "r1", body::reacted("m", "yes", true));
    scribe.does("bob", "u1", body::read(4));
    scribe.does("ann", "a1", body::archived(true));
    let half = scribe.tail().get();
    assert_eq!(half, 8, "the cases cut here");
    scribe.does("ann", "a2", body::archived(false));
    scribe.does("ann", "t2", body::retitled("Two"));
    scribe.does("ann", "s2", body::role("bob", Role::Member));
    scribe.does("bob", "e2", body::edited("m", "three"));
    scribe.does("ann", "r2", body::reacted("m", "yes", false));
    scribe.does("bob", "u2", body::read(2));
    scribe
}

/// Not one row, not one answer.
pub async fn a_batch_applied_twice_changes_nothing(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let scribe = busy();
    history.apply(scribe.whole()).await.unwrap();
    let (digest, answers) = (fixture.digest().await, Answers::of(&history, &scribe).await);
    for batch in [scribe.whole(), scribe.batch(3, 11), scribe.batch(13, 14)] {
        history.apply(batch).await.unwrap();
        assert_eq!(fixture.digest().await, digest);
        assert_eq!(Answers::of(&history, &scribe).await, answers);
    }
}

/// Field by field: title, archived, standing, text, reaction, read marker.
pub async fn an_older_batch_that_comes_late_changes_nothing_newer(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let scribe = busy();
    history.apply(scribe.batch(8, 14)).await.unwrap();
    history.apply(scribe.batch(0, 8)).await.unwrap();
    let listed = history.conversations_of(&user("bob"), None, 1).await.unwrap().pop().unwrap();
    assert_eq!(listed.title.unwrap().as_str(), "Two");
    assert!(!listed.archived);
    assert_eq!(listed.standing, Standing::Member);
    assert_eq!(listed.read_up_to.get(), 2);
    assert_eq!(listed.last_offset.get(), 13);
    let message = history.messages(&tea(), Extent::ALL).await.unwrap().pop().unwrap();
    assert_eq!(message.text.unwrap().as_str(), "three");
    assert_eq!(message.reactions, vec![]);
    let state = history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state;
    assert_eq!(state.as_ref(), scribe.state(&tea()));
}

/// Edit, redaction and reaction, each in a batch before the post.
pub async fn what_comes_before_its_message_counts_once_the_message_is_there(fixture: &impl Fixture) {
    let history = fixture.open().await;
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    scribe.does("ann", "m1", body::posted("first"));
    scribe.does("ann", "m2", body::posted("second"));
    let split = scribe.tail().get();
    scribe.does("ann", "e", body::edited("m1", "1st"));
    scribe.does("bob", "r", body::reacted("m1", "yes", true));
    scribe.does("ann", "x", body::redacted("m2"));
    history.apply(scribe.batch(split, scribe.tail().get())).await.unwrap();
    let shown = history.messages(&tea(), Extent::ALL).await.unwrap();
    assert_eq!(shown, vec![], "there is no message yet");
    history.apply(Batch { events: scribe.batch(1, split).events, ..scribe.whole() }).await.unwrap();
    let shown = history.messages(&tea(), Extent::ALL).await.unwrap();
    let [first, second] = &shown[..] else { panic!("two messages: {shown:?}") };
    assert_eq!(first.text.as_ref().unwrap().as_str(), "1st");
    assert!(first.edited_at.is_some());
    assert_eq!(first.reactions.len(), 1);
    assert_eq!((&second.text, second.redacted_by.as_ref()), (&None, Some(&user("ann"))));
    assert!(history.find(&tea(), &event_id("m2")).await.unwrap().unwrap().redacted);
}

/// Until then nobody is told of it.
pub async fn what_comes_before_its_conversation_counts_once_the_conversation_is_there(
    fixture: &impl Fixture,
) {
    let history = fixture.open().await;
    let scribe = busy();
    history.apply(scribe.batch(1, 14)).await.unwrap();
    assert_eq!(history.conversations_of(&user("bob"), None, 1).await.unwrap(), vec![]);
    assert_eq!(history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state, None);
    history.apply(scribe.batch(0, 1)).await.unwrap();
    let listed = history.conversations_of(&user("bob"), None, 1).await.unwrap().pop().unwrap();
    assert_eq!((listed.title.unwrap().as_str(), listed.standing), ("Two", Standing::Member));
    let state = history.snapshot(scribe.partition, &tea(), Depth::Fold).await.unwrap().state;
    assert_eq!(state.as_ref(), scribe.state(&tea()));
}
