//! What clients are told of a token whose key may be a new one of the issuer: to show it again in a moment.

use kernel::{
    clock::Clock,
    identity::{KEY_SET_PAUSE, KeySet},
    testing::{
        World, created,
        issuer::{Issuer, jwks},
    },
};
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
