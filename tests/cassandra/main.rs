//! The history on Apache Cassandra: every case of the suite, on a real server, each in a keyspace of its own.

use std::thread;

use async_trait::async_trait;
use kernel::history::{SharedHistory, conformance::Fixture};
use store::scylla::testing::Place;
use tests::cassandra;

/// A keyspace that is dropped at the end: tables cost the server memory, also those that nobody uses.
struct Own(Option<Place>);

impl Own {
    /// `None`: there is no server, and the test is skipped.
    async fn make() -> Option<Self> {
        let node = cassandra::shared("the history on Cassandra").await.unwrap()?;
        Some(Self(Some(Place::make(&node).await)))
    }

    fn place(&self) -> &Place {
        self.0.as_ref().expect("it is there until the end")
    }
}

#[async_trait]
impl Fixture for Own {
    async fn open(&self) -> SharedHistory {
        self.place().open().await
    }

    async fn digest(&self) -> Option<String> {
        self.place().digest().await
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let Some(place) = self.0.take() else { return };
        // The runtime of the case cannot be waited for in here; one of our own can.
        let removal = || tokio::runtime::Runtime::new().unwrap().block_on(place.remove());
        thread::scope(|scope| scope.spawn(removal).join()).expect("the keyspace can be dropped");
    }
}

kernel::history_conformance!(match Own::make().await {
    Some(own) => own,
    None => return,
});
