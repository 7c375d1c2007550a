//! The suite for the adapters that live here, and a property over both.

use std::sync::Arc;

use async_trait::async_trait;
use proptest::prelude::*;
use schemas::{Visibility, caps::REPEAT_WINDOW_MS};

use super::{
    Depth, Extent, History, SharedHistory,
    conformance::{
        Fixture, Scribe, body,
        random::{Answers, cut, model, scene},
    },
    memory::MemoryHistory,
    sqlite::SqliteHistory,
};

#[derive(Default)]
struct InMemory(MemoryHistory);

#[async_trait]
impl Fixture for InMemory {
    async fn open(&self) -> SharedHistory {
        Arc::new(self.0.clone())
    }

    async fn digest(&self) -> Option<String> {
        Some(self.0.digest().to_string())
    }
}

struct InFile(tempfile::TempDir);

impl InFile {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn history(&self) -> SqliteHistory {
        SqliteHistory::open(self.0.path().join("history.sqlite")).unwrap()
    }
}

#[async_trait]
impl Fixture for InFile {
    async fn open(&self) -> SharedHistory {
        Arc::new(self.history())
    }

    async fn digest(&self) -> Option<String> {
        Some(self.history().digest().await.unwrap().to_string())
    }
}

mod memory {
    use super::*;
    crate::history_conformance!(InMemory::default());
}

mod sqlite {
    use super::*;
    crate::history_conformance!(InFile::new());
}

/// The law forgets ids after a while, and ingest, which looks further back, may have been somebody else's.
#[tokio::test]
async fn the_first_post_with_an_id_is_the_message_in_whatever_order() {
    let mut scribe = Scribe::default();
    scribe.does("ann", "c", body::created(Visibility::Open, &[]));
    let first = scribe.does("ann", "m", body::posted("first"));
    scribe.advance(REPEAT_WINDOW_MS + 1);
    scribe.does("ann", "t", body::retitled("Tea"));
    scribe.does("bob", "m", body::posted("second"));
    let (memory, fixture) = (MemoryHistory::new(), InFile::new());
    let file = fixture.history();
    let batches = [scribe.batch(3, 4), scribe.batch(0, 3), scribe.whole()];
    for batch in batches {
        memory.apply(batch.clone()).await.unwrap();
        file.apply(batch).await.unwrap();
    }
    assert_eq!(file.digest().await.unwrap(), memory.digest());
    for history in [Arc::new(memory) as SharedHistory, Arc::new(file)] {
        let messages = history.messages(&"tea".parse().unwrap(), Extent::ALL).await.unwrap();
        assert_eq!(messages.len(), 1);
        assert_eq!((messages[0].offset, messages[0].author.as_str()), (first.position(), "ann"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Twice the memory, once the file; each is given the log in another way.
    #[test]
    fn every_adapter_and_every_order_gives_the_same_rows(
        acts in proptest::collection::vec(any::<[u8; 4]>(), 1..120),
        cuts in proptest::collection::vec(any::<[u8; 4]>(), 1..12),
        other_cuts in proptest::collection::vec(any::<[u8; 4]>(), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let scribe = scene(&acts);
            let (expected, model) = model(&scribe).await;
            for conversation in ["tea", "inn"] {
                let folded = scribe.state(&conversation.parse().unwrap()).cloned();
                let kept = model.snapshot(scribe.partition, &conversation.parse().unwrap(), Depth::Fold).await.unwrap();
                assert_eq!(kept.state, folded);
            }
            let (memory, fixture) = (MemoryHistory::new(), InFile::new());
            let file = fixture.history();
            for batch in cut(&scribe, &cuts) {
                memory.apply(batch).await.unwrap();
            }
            for batch in cut(&scribe, &other_cuts) {
                file.apply(batch).await.unwrap();
            }
            assert_eq!(memory.digest(), model.digest());
            assert_eq!(file.digest().await.unwrap(), model.digest());
            let (memory, file): (SharedHistory, SharedHistory) = (Arc::new(memory), Arc::new(file));
            assert_eq!(Answers::of(&memory, &scribe).await, expected);
            assert_eq!(Answers::of(&file, &scribe).await, expected);
        });
    }
}
