//! Against a small registry of another program's making, which gives ids from 1,000 on, and against our own.

use std::{collections::BTreeMap, sync::Arc};

use kernel::{
    clock::SystemClock,
    event_log::{EventLog, NewRecord, Reading, SharedLog, memory::MemoryLog, read, renumbered::Renumbered},
};
use parking_lot::Mutex;
use schemas::{
    ChatEvent, Partition, Position, Timestamp,
    codec::{Codec, VERSION_COUNT},
    event::MemberJoined,
};
use tokio::{net::TcpListener, sync::watch};
use warp::{Filter, filters::BoxedFilter, reply::Response};

use super::*;
use crate::{
    edge,
    registry::{Registry, routes, tests},
};

const SUBJECT: &str = "lab.events-value";

/// What the other registry holds, and what goes wrong there.
#[derive(Debug, Default)]
struct Other {
    /// Id by subject and schema.
    ids: BTreeMap<(String, String), u32>,
    /// Statuses to answer with before it works, the last first.
    faults: Vec<u16>,
    /// What it was sent as `Authorization`.
    signed: Vec<Option<String>>,
}

#[derive(Deserialize)]
struct Sent {
    schema: String,
}

impl Other {
    fn register(&mut self, subject: String, signed: Option<String>, sent: Sent) -> Response {
        self.signed.push(signed);
        if let Some(status) = self.faults.pop() {
            let body = json!({"error_code": u32::from(status) * 100 + 1, "message": "not now"});
            return http::Response::builder().status(status).body(body.to_string().into()).unwrap();
        }
        let next = 1_000 + u32::try_from(self.ids.len()).unwrap();
        let id = *self.ids.entry((subject, sent.schema)).or_insert(next);
        Response::new(json!({"id": id}).to_string().into())
    }
}

/// Serves as long as the runtime lives; gives host and port.
async fn serve(routes: BoxedFilter<(Response,)>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (go_on, stop) = watch::channel(false);
    tokio::spawn(async move {
        edge::serve(listener, routes, stop).await;
        drop(go_on);
    });
    address.to_string()
}

async fn other(faults: &[u16]) -> (Arc<Mutex<Other>>, String) {
    let other = Arc::new(Mutex::new(Other { faults: faults.to_vec(), ..Other::default() }));
    let shared = Arc::clone(&other);
    let routes = warp::path!("base" / "subjects" / String / "versions")
        .and(warp::post())
        .and(warp::header::optional::<String>("authorization"))
        .and(warp::body::json())
        .map(move |subject, signed, sent| shared.lock().register(subject, signed, sent))
        .boxed();
    (other, serve(routes).await)
}

fn at(text: &str) -> RegistryAddress {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_version_is_registered_once_in_order_and_signed() {
    let (other, host) = other(&[]).await;
    let address = at(&format!("http://ann:s%3Acret@{host}/base/"));
    let ids = register(&address, SUBJECT).await.unwrap();
    let expected: Vec<_> = (1_000..).take(VERSION_COUNT).map(SchemaId).collect();
    assert_eq!(ids.iter().collect::<Vec<_>>(), expected);
    assert_eq!(register(&address, SUBJECT).await.unwrap(), ids);
    let other = other.lock();
    assert_eq!(other.ids.len(), VERSION_COUNT);
    for (id, text) in (1_000..).zip(SCHEMAS) {
        assert_eq!(other.ids[&(SUBJECT.to_owned(), (*text).to_owned())], id);
    }
    // The password is `s:cret`.
    let signed = Some("Basic YW5uOnM6Y3JldA==".to_owned());
    assert_eq!(other.signed, vec![signed; 2 * VERSION_COUNT]);
}

#[tokio::test]
async fn a_registry_that_stumbles_is_asked_again() {
    let (other, host) = other(&[429, 503, 500]).await;
    let ids = register(&at(&format!("http://{host}/base")), SUBJECT).await.unwrap();
    assert_eq!(ids.iter().next(), Some(SchemaId(1_000)));
    assert_eq!(other.lock().signed, vec![None; 3 + VERSION_COUNT]);
}

#[tokio::test]
async fn asking_ends_and_the_error_says_what_to_do() {
    let failing = async |faults: &[u16]| {
        let (other, host) = other(faults).await;
        let address = at(&format!("http://ann:secret@{host}/base"));
        let error = register(&address, SUBJECT).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("secret") && text.contains(&host), "{text}");
        (error, other.lock().signed.len())
    };
    assert!(matches!(failing(&[503; 9]).await, (RegisterError::Unreachable { .. }, 5)));
    assert!(matches!(failing(&[401]).await, (RegisterError::NotLetIn { .. }, 1)));
    assert!(matches!(failing(&[403]).await, (RegisterError::NotLetIn { .. }, 1)));
    assert!(matches!(failing(&[409]).await, (RegisterError::Incompatible { version: 1, .. }, 1)));
    assert!(matches!(failing(&[422]).await, (RegisterError::Refused { version: 1, .. }, 1)));
}

#[tokio::test]
async fn nobody_there_is_an_error_and_so_is_somebody_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap();
    drop(listener);
    let error = register(&at(&format!("http://{host}")), SUBJECT).await.unwrap_err();
    assert!(
        matches!(&error, RegisterError::Unreachable { reason, .. } if reason.contains("refused")),
        "{error}"
    );

    let page = warp::any().map(|| Response::new("<html>".repeat(1_000).into())).boxed();
    let error = register(&at(&format!("http://{}", serve(page).await)), SUBJECT).await.unwrap_err();
    assert!(matches!(&error, RegisterError::Refused { .. }), "{error}");
    assert!(error.to_string().len() < 1_000, "{error}");
}

#[tokio::test]
async fn our_own_registry_will_do() {
    let ours = tests::registry();
    let host = serve(routes(Arc::new(ours))).await;
    let ids = register(&at(&format!("http://{host}")), SUBJECT).await.unwrap();
    assert_eq!(ids, RegisteredIds::default());
    let signals = register_signals(&at(&format!("http://{host}")), "lab.signals-value").await.unwrap();
    assert_eq!(signals, SignalCodec::default());
}

/// From the registry to a record and back.
#[tokio::test]
async fn records_carry_the_registered_id_and_are_understood() {
    let (_, host) = other(&[]).await;
    let ids = register(&at(&format!("http://{host}/base")), SUBJECT).await.unwrap();
    let topic = MemoryLog::new(1, Arc::new(SystemClock));
    let log: SharedLog = Arc::new(Renumbered::new(Arc::new(topic.clone()), ids.clone()));
    let event = ChatEvent {
        event_id: "e-1".parse().unwrap(),
        conversation: "tea".parse().unwrap(),
        actor: "ann".parse().unwrap(),
        occurred_at: Timestamp::from_millis(1),
        body: MemberJoined { member: "ann".parse().unwrap() }.into(),
    };
    let value = Codec::default().encode(&event).unwrap();
    log.append(vec![NewRecord { key: event.conversation.clone(), value, headers: Vec::new() }])
        .await
        .unwrap();

    let first = async |log: &dyn EventLog| {
        let end = Position::new(u64::MAX);
        log.read(Partition(0), Position::START, end, 1).await.unwrap().remove(0)
    };
    let newest = ids.iter().last().unwrap();
    assert_eq!(first(&topic).await.value[..5], [&[0][..], &newest.0.to_be_bytes()].concat());
    assert!(matches!(read(&first(&*log).await, &Codec::default()), Reading::Event(found) if found == event));

    // Our own interface names it as the topic does.
    let registry = Registry::default().with("lab.events", SCHEMAS, ids.iter()).unwrap();
    let routes = routes(Arc::new(registry));
    let found = warp::test::request().path(&format!("/schemas/ids/{}", newest.0)).reply(&routes).await;
    assert_eq!(found.status(), StatusCode::OK);
}

#[test]
fn an_address_is_read_with_care() {
    assert_eq!(at("http://h:1/a/").to_string(), "http://h:1/a");
    assert_eq!(at("https://u:p@h").to_string(), "https://h");
    assert_eq!(at("http://h/a/").versions_of("a/b").as_str(), "http://h/a/subjects/a%2Fb/versions");
    for wrong in ["", "h:1", "ftp://h", "http://", "http://h?x=1", "kafka://h:1/p"] {
        assert!(wrong.parse::<RegistryAddress>().is_err(), "{wrong}");
    }
}
