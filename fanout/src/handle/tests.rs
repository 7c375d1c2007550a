//! Commands one by one: what a token leads to that may be shown again in a moment, what is noted of those who may read everything,
//! and what is counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use kernel::{
    clock::Clock,
    identity::{KEY_SET_PAUSE, KeySet},
    metric,
    testing::{
        World, created, event,
        issuer::{Issuer, jwks},
        lines::Lines,
    },
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use schemas::{Partition, Visibility, event::ConversationCreated};
use serde_json::{Value, json};
use tokio::{task::LocalSet, time::advance};

use super::*;
use crate::{
    outbox::Limits,
    protocol::Form,
    sim::{Node, Pipe},
};

/// A session, and what was written to it.
struct Client<'a> {
    node: &'a Node,
    session: Rc<Session>,
    pipe: Rc<Pipe>,
}

impl Client<'_> {
    /// Sends a command; gives the reply.
    async fn ask(&self, method: &str, request: Value) -> Value {
        self.pipe.bytes.borrow_mut().clear();
        let sent = json!({"id": 7, method: request}).to_string();
        let [asked] = Form::Json.commands(sent.as_bytes()).unwrap().try_into().unwrap();
        command(&self.node.shard, &self.session, asked.id, asked.method()).await.unwrap();
        let bytes = self.pipe.bytes.borrow();
        let begin = bytes.iter().position(|byte| *byte == b'{').unwrap();
        serde_json::from_slice(&bytes[begin..]).unwrap()
    }
}

fn client<'a>(world: &World, node: &'a Node) -> Client<'a> {
    let pipe = Rc::new(Pipe::default());
    pipe.room.set(1 << 20);
    let (wire, born) = (Box::new(Rc::clone(&pipe)), world.clock.now());
    Client {
        node,
        session: Session::new("s".parse().unwrap(), Form::Json, wire, Limits::default(), born),
        pipe,
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_key_that_is_being_asked_for_may_be_shown_again() {
    let test = async {
        let world = World::new(1);
        world.append(&created("tea")).await;
        let node = Node::start(&world).await;
        let tokens = &node.shard.around.tokens;
        let (known, new) = (Issuer::new("ES256").called("k1"), Issuer::another().called("k2"));
        tokens.replace(KeySet::parse(jwks(&[known.jwk()]).as_bytes()).unwrap());
        advance(KEY_SET_PAUSE).await;
        let again = json!({"code": 100, "message": "internal server error", "temporary": true});
        let (ann, leave) = (json!({"sub": "ann"}), json!({"sub": "ann", "channel": "tea"}));

        let refused = client(&world, &node);
        let reply = refused.ask("connect", json!({"token": new.sign(&ann)})).await;
        assert_eq!(reply["error"], again);
        assert!(matches!(refused.session.standing(), Standing::Rejected));

        let connected = client(&world, &node);
        let reply = connected.ask("connect", json!({"token": known.sign(&ann)})).await;
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        let shown = json!({"channel": "tea", "token": new.sign(&leave)});
        assert_eq!(connected.ask("refresh", json!({"token": new.sign(&ann)})).await["error"], again);
        assert_eq!(connected.ask("subscribe", shown.clone()).await["error"], again);
        assert_eq!(connected.ask("sub_refresh", shown.clone()).await["error"], again);

        tokens.replace(KeySet::parse(jwks(&[new.jwk()]).as_bytes()).unwrap());
        assert!(connected.ask("refresh", json!({"token": new.sign(&ann)})).await["error"].is_null());
        assert!(connected.ask("subscribe", shown.clone()).await["error"].is_null());
        assert!(connected.ask("sub_refresh", shown).await["error"].is_null());
    };
    LocalSet::new().run_until(test).await;
}

#[tokio::test]
async fn an_admin_who_reads_a_conversation_of_others_leaves_a_line() {
    let lines = Lines::default();
    let writer = lines.clone();
    let logs = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _logs = tracing::subscriber::set_default(logs);
    let test = async {
        let world = World::new(1);
        let (title, members) = (None, vec!["bob".parse().unwrap()]);
        let private = ConversationCreated { title, visibility: Visibility::Private, members };
        world.append(&event("den", "created", "ann", private)).await;
        world.append(&created("tea")).await;
        let node = Node::start(&world).await;
        for (user, asked, expected) in [
            ("bob", json!({"channel": "den"}), 0),
            ("eve", json!({"channel": "tea"}), 0),
            ("eve", json!({"channel": "den"}), 1),
            ("eve", json!({"channel": "den", "recover": true}), 1),
        ] {
            let client = client(&world, &node);
            let user = user.parse().unwrap();
            client.session.set_standing(Standing::Connected(Identity {
                user,
                admin: true,
                expires_at: None,
            }));
            lines.take();
            let reply = client.ask("subscribe", asked.clone()).await;
            assert!(reply["error"].is_null(), "{reply}");
            let text = lines.take();
            let line = "an admin reads a conversation of others user=eve conversation=den";
            assert_eq!(text.matches(line).count(), expected, "{asked}: {text}");
        }
    };
    LocalSet::new().run_until(test).await;
}

/// Counts those who went on from their position.
#[derive(Default)]
struct Resumes(Arc<AtomicU64>);

impl Recorder for Resumes {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let recovered = key.labels().any(|label| label.value() == "recovered");
        if key.name() == metric::RESUMES.name && recovered {
            return Counter::from_arc(Arc::clone(&self.0));
        }
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test]
async fn a_resume_counts_once_its_first_page_is_there() {
    let resumes = Resumes::default();
    let _counting = metrics::set_default_local_recorder(&resumes);
    let test = async {
        let mut world = World::new(1);
        world.append(&created("tea")).await;
        world.project(Partition(0), 1).await;
        let node = Node::start(&world).await;
        let client = client(&world, &node);
        let user = "ann".parse().unwrap();
        client.session.set_standing(Standing::Connected(Identity { user, admin: false, expires_at: None }));
        // The conversation is in use already, so the history is asked for the page alone.
        let _kept = node.shard.topic(&"tea".parse().unwrap()).await.unwrap();
        for (fails, expected) in [(true, 0), (false, 1)] {
            node.history_faults.fail_reads(fails);
            let reply = client.ask("subscribe", json!({"channel": "tea", "recover": true})).await;
            assert_eq!(reply["error"]["code"].is_u64(), fails, "{reply}");
            assert_eq!(resumes.0.load(Ordering::Relaxed), expected, "{reply}");
        }
    };
    LocalSet::new().run_until(test).await;
}
