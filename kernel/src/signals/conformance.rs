//! The contract of the port as tests: every adapter runs all of them, through one macro.
//!
//! An adapter implements [`Subject`] and says `kernel::signals_conformance!(ItsSubject);` in a test module. No case waits for
//! a fixed time: each waits for what must come, and fails after [`PATIENCE`].

#![allow(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "these are tests, also where they are compiled for another crate"
)]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use schemas::{
    Signal, SignalBody,
    signal::{Asked, Came, Here, Session, Typing, Went},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

use super::{SharedSignals, WATCH_LEN_MAX};

/// How long a case waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Several signals go out between two looks, so that no case outruns what an adapter has room for.
const BURST: usize = 500;

/// An adapter under test: a place where nodes meet.
#[async_trait]
pub trait Subject: Sized + Send {
    /// Whether it can be had on this machine. Where it cannot, the subject has said so and why, and no case runs.
    async fn available() -> bool {
        true
    }

    /// A fresh place without nodes.
    async fn fresh() -> Self;

    /// One more node there.
    async fn node(&self) -> SharedSignals;
}

/// Expands every case of the suite as a test, for a type that implements
/// [`Subject`](crate::signals::conformance::Subject).
#[macro_export]
macro_rules! signals_conformance {
    ($subject:ty) => {
        $crate::signals_conformance! { $subject;
            every_kind_of_signal_comes_as_it_was_published,
            a_node_hears_the_others_and_not_itself,
            signals_about_a_conversation_keep_their_order,
            a_watcher_hears_what_comes_after_it,
            who_does_not_listen_misses_something_and_holds_up_nobody,
            what_is_flushed_outlives_its_node,
        }
    };
    ($subject:ty; $($case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if <$subject as $crate::signals::conformance::Subject>::available().await {
                $crate::signals::conformance::$case::<$subject>().await;
            }
        }
    )*};
}

type Heard = mpsc::Receiver<Arc<Signal>>;

fn session(user: &str, client: &str) -> Session {
    Session { user: user.parse().unwrap(), client: client.parse().unwrap() }
}

fn came(conversation: &str, client: &str) -> SignalBody {
    let conversation = conversation.parse().unwrap();
    SignalBody::Came(Came { conversation, session: session("ann", client) })
}

fn client_of(signal: &Signal) -> String {
    match &signal.body {
        SignalBody::Came(came) => came.session.client.as_str().to_owned(),
        other => panic!("{other:?}"),
    }
}

async fn next(heard: &mut Heard) -> Arc<Signal> {
    timeout(PATIENCE, heard.recv()).await.expect("it comes in time").expect("the port is open")
}

async fn next_client(heard: &mut Heard) -> String {
    let signal = next(heard).await;
    client_of(&signal)
}

/// Nothing is missing, doubled or changed on the way.
pub async fn every_kind_of_signal_comes_as_it_was_published<S: Subject>() {
    let subject = S::fresh().await;
    let (one, other) = (subject.node().await, subject.node().await);
    let mut heard = other.watch();
    let conversation = || "tea".parse().unwrap();
    let bodies = [
        came("tea", "s-1"),
        SignalBody::Here(Here {
            conversation: conversation(),
            sessions: vec![session("ann", "s-1"), session("Ünï|away", "s-2")],
        }),
        SignalBody::Typing(Typing {
            conversation: conversation(),
            session: session("ann", "s-1"),
            typing: true,
        }),
        SignalBody::Went(Went { conversation: conversation(), session: session("ann", "s-1") }),
    ];
    for body in bodies.clone() {
        one.publish(body);
    }
    for body in bodies {
        assert_eq!(next(&mut heard).await.body, body);
    }
    // About no conversation, and so in no order with the others.
    one.publish(SignalBody::Asked(Asked {}));
    assert_eq!(next(&mut heard).await.body, SignalBody::Asked(Asked {}));
}

/// Each signal says who tells it, by a name that no other node has.
pub async fn a_node_hears_the_others_and_not_itself<S: Subject>() {
    let subject = S::fresh().await;
    let nodes = [subject.node().await, subject.node().await, subject.node().await];
    let mut watching: Vec<_> = nodes.iter().map(|node| node.watch()).collect();
    for (number, node) in nodes.iter().enumerate() {
        node.publish(came("tea", &number.to_string()));
    }
    let mut names = std::collections::BTreeSet::new();
    for (number, heard) in watching.iter_mut().enumerate() {
        let two = [next(heard).await, next(heard).await];
        let mut clients: Vec<_> = two.iter().map(|signal| client_of(signal)).collect();
        clients.sort();
        let others = (0..3).filter(|other| *other != number).map(|other| other.to_string());
        assert_eq!(clients, others.collect::<Vec<_>>());
        names.extend(two.iter().map(|signal| signal.node.clone()));
        assert!(heard.try_recv().is_err(), "more than that");
    }
    assert_eq!(names.len(), 3);
}

/// Whatever else is published in between.
pub async fn signals_about_a_conversation_keep_their_order<S: Subject>() {
    let subject = S::fresh().await;
    let (one, other) = (subject.node().await, subject.node().await);
    let mut heard = other.watch();
    for number in 0..BURST {
        one.publish(came(&format!("c{}", number % 5), &number.to_string()));
    }
    let mut last = [None; 5];
    for _ in 0..BURST {
        let number: usize = next_client(&mut heard).await.parse().unwrap();
        let last = last[number % 5].replace(number);
        assert_eq!(last, number.checked_sub(5), "{number} comes after {last:?}");
    }
}

/// And nothing that was published before its node was there.
pub async fn a_watcher_hears_what_comes_after_it<S: Subject>() {
    let subject = S::fresh().await;
    let (one, listener) = (subject.node().await, subject.node().await);
    let mut heard = listener.watch();
    one.publish(came("tea", "early"));
    assert_eq!(next_client(&mut heard).await, "early");
    let other = subject.node().await;
    let (mut first, mut second) = (other.watch(), other.watch());
    one.publish(came("tea", "late"));
    for heard in [&mut heard, &mut first, &mut second] {
        assert_eq!(next_client(heard).await, "late");
    }
}

/// It gets as many as may wait for it, the first ones, and the rest is gone.
pub async fn who_does_not_listen_misses_something_and_holds_up_nobody<S: Subject>() {
    let subject = S::fresh().await;
    let (one, other) = (subject.node().await, subject.node().await);
    let (mut slow, mut fast) = (other.watch(), other.watch());
    let mut sent = 0;
    while sent <= WATCH_LEN_MAX {
        for _ in 0..BURST {
            one.publish(came("tea", &sent.to_string()));
            sent += 1;
        }
        for number in sent - BURST..sent {
            assert_eq!(next_client(&mut fast).await, number.to_string());
        }
    }
    // Both are told one after the other, so the slow one has been told all when the fast one has the first of a next one.
    one.publish(came("tea", "last"));
    assert_eq!(next_client(&mut fast).await, "last");
    let full = async {
        while slow.len() < WATCH_LEN_MAX {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, full).await.expect("it has all that may wait");
    for number in 0..WATCH_LEN_MAX {
        assert_eq!(client_of(&slow.try_recv().unwrap()), number.to_string());
    }
    assert!(slow.try_recv().is_err(), "one more than may wait");
    // It listens again.
    one.publish(came("tea", "again"));
    assert_eq!(next_client(&mut slow).await, "again");
}

/// A node that ends in order has said what it had to say, and soon.
pub async fn what_is_flushed_outlives_its_node<S: Subject>() {
    let subject = S::fresh().await;
    let (one, other) = (subject.node().await, subject.node().await);
    let mut heard = other.watch();
    let begun = Instant::now();
    one.publish(came("tea", "s-1"));
    one.flush().await;
    drop(one);
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(next_client(&mut heard).await, "s-1");
}
