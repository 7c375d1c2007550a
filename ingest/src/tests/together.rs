//! Ids that are looked up at the same time.

use std::sync::Arc;

use futures_util::{FutureExt, future::join_all};
use kernel::history::{SharedHistory, memory::MemoryHistory};
use schemas::EventId;

use super::support::{Site, create, id, post};
use crate::lookups::Lookups;

#[tokio::test]
async fn each_is_told_of_its_own_id_and_nothing_is_left_behind() {
    let site = Site::new();
    let node = site.node().await;
    create(&node).await;
    for n in 0..300 {
        post(&node, "ann", &format!("m-{n}")).await.unwrap();
    }
    site.project().await;
    let history: SharedHistory = Arc::new(site.history.clone());
    let (lookups, conversation) = (Lookups::default(), "tea".parse().unwrap());
    let ids: Vec<EventId> = (0..600).map(|n| id(&format!("m-{n}"))).collect();
    let found = join_all(ids.iter().map(|id| lookups.find(&history, &conversation, id))).await;
    for (n, found) in (0..).zip(found) {
        assert_eq!(found.unwrap().map(|found| found.offset.get()), (n < 300).then_some(n + 1));
    }
    assert!(lookups.is_idle());
}

#[tokio::test]
async fn who_goes_away_holds_up_nobody() {
    let history: SharedHistory = Arc::new(MemoryHistory::new());
    let (lookups, conversation) = (Lookups::default(), "tea".parse().unwrap());
    let (gone, stays) = (id("m-1"), id("m-2"));
    let mut asking = Box::pin(lookups.find(&history, &conversation, &gone));
    assert!((&mut asking).now_or_never().is_none());
    drop(asking);
    assert_eq!(lookups.find(&history, &conversation, &stays).await.unwrap(), None);
    assert!(lookups.is_idle());
}
