//! The addresses as clients call them, and the client against a registry that another program runs.

use std::sync::Arc;

use http::StatusCode;
use schemas::codec::{RegisteredIds, SCHEMAS, SIGNAL_SCHEMAS, SignalCodec, VERSION_COUNT};
use serde_json::{Value, json};

use super::*;

const SUBJECT: &str = "lab.events-value";
const SIGNALS: &str = "lab.signals-value";

pub(super) fn registry() -> Registry {
    let events = Registry::default().with("lab.events", SCHEMAS, RegisteredIds::default().iter()).unwrap();
    events.with("lab.signals", SIGNAL_SCHEMAS, SignalCodec::default().ids()).unwrap()
}

fn served() -> warp::filters::BoxedFilter<(warp::reply::Response,)> {
    routes(Arc::new(registry()))
}

async fn call(method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
    let mut request = warp::test::request().method(method).path(path);
    if let Some(body) = body {
        request = request.body(body.to_string());
    }
    let response = request.reply(&served()).await;
    assert_eq!(response.headers()["content-type"], "application/vnd.schemaregistry.v1+json", "{path}");
    (response.status(), serde_json::from_slice(response.body()).unwrap())
}

async fn get(path: &str) -> Value {
    let (status, answer) = call("GET", path, None).await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer
}

async fn refused(method: &str, path: &str, body: Option<Value>) -> (u16, u64) {
    let (status, answer) = call(method, path, body).await;
    assert!(answer["message"].is_string(), "{path}: {answer}");
    (status.as_u16(), answer["error_code"].as_u64().unwrap())
}

fn newest() -> Value {
    json!(*SCHEMAS.last().unwrap())
}

/// The newest schema with other spaces and another text for people: the same bytes.
fn written_otherwise() -> Value {
    let mut schema: Value = serde_json::from_str(SCHEMAS.last().unwrap()).unwrap();
    schema["doc"] = json!("something else");
    json!({"schema": schema.to_string()})
}

fn other_schema() -> Value {
    json!({"schema": r#"{"type":"record","name":"tidings.ChatEvent","fields":[]}"#})
}

#[tokio::test]
async fn a_schema_is_found_by_the_id_in_a_record() {
    assert_eq!(get(&format!("/schemas/ids/{VERSION_COUNT}")).await, json!({"schema": newest()}));
    let with_max = get("/schemas/ids/1?fetchMaxId=true&subject=lab.events-value&format=").await;
    assert_eq!(with_max["maxId"], 1_000 + SIGNAL_SCHEMAS.len());
    assert_eq!(get("/schemas/ids/1/schema").await["name"], "ChatEvent");
    assert_eq!(get("/schemas/ids/1/subjects").await, json!([SUBJECT]));
    assert_eq!(get("/schemas/ids/1/subjects?subject=other").await, json!([]));
    assert_eq!(get("/schemas/ids/1/versions").await, json!([{"subject": SUBJECT, "version": 1}]));
    assert_eq!(get("/schemas/types").await, json!(["AVRO"]));
    for tail in ["", "/schema", "/subjects", "/versions"] {
        assert_eq!(refused("GET", &format!("/schemas/ids/77{tail}"), None).await, (404, 40_403));
    }
    assert_eq!(refused("GET", "/schemas/ids/one", None).await, (404, 404));
    assert_eq!(refused("GET", "/schemas", None).await, (404, 404));
}

#[tokio::test]
async fn the_versions_stand_under_the_subject_of_the_topic() {
    assert_eq!(get("/subjects").await, json!([SUBJECT, SIGNALS]));
    assert_eq!(get("/subjects?subjectPrefix=lab.events&deleted=true").await, json!([SUBJECT]));
    assert_eq!(get("/subjects?subjectPrefix=:*:").await, json!([SUBJECT, SIGNALS]));
    assert_eq!(get("/subjects?subjectPrefix=tidings").await, json!([]));
    let versions: Vec<_> = (1..=VERSION_COUNT).collect();
    assert_eq!(get("/subjects/lab.events-value/versions").await, json!(versions));
    let latest =
        json!({"subject": SUBJECT, "version": VERSION_COUNT, "id": VERSION_COUNT, "schema": newest()});
    for version in ["latest", "-1", &VERSION_COUNT.to_string()] {
        assert_eq!(get(&format!("/subjects/lab.events-value/versions/{version}")).await, latest);
    }
    // Clients encode what they like.
    assert_eq!(get("/subjects/lab%2Eevents%2Dvalue/versions/latest/").await, latest);
    assert_eq!(get("/subjects/lab.events-value/versions/1/schema").await["name"], "ChatEvent");
}

#[tokio::test]
async fn the_schema_of_signals_has_a_subject_and_an_id_of_its_own() {
    let schema = json!(*SIGNAL_SCHEMAS.last().unwrap());
    let latest = get("/subjects/lab.signals-value/versions/latest").await;
    assert_eq!(latest, json!({"subject": SIGNALS, "version": 1, "id": 1_001, "schema": schema}));
    assert_eq!(get("/schemas/ids/1001").await, json!({"schema": schema}));
    assert_eq!(get("/schemas/ids/1001/versions").await, json!([{"subject": SIGNALS, "version": 1}]));
    let (status, found) = call("POST", "/subjects/lab.signals-value", Some(json!({"schema": schema}))).await;
    assert_eq!((status, &found["id"]), (StatusCode::OK, &json!(1_001)));
    // It is none of the events'.
    let asked = Some(json!({"schema": schema}));
    assert_eq!(refused("POST", "/subjects/lab.events-value", asked).await, (404, 40_403));
}

#[tokio::test]
async fn what_is_not_there_has_the_code_that_clients_know() {
    assert_eq!(refused("GET", "/subjects/other/versions", None).await, (404, 40_401));
    assert_eq!(refused("GET", "/subjects/other/versions/latest", None).await, (404, 40_401));
    assert_eq!(refused("GET", "/subjects/lab.events-value/versions/99", None).await, (404, 40_402));
    for version in ["0", "-2", "newest", "2147483648", ""] {
        let path = format!("/subjects/lab.events-value/versions/{version}/schema");
        assert_eq!(refused("GET", &path, None).await, (422, 42_202), "{version}");
    }
    assert_eq!(refused("GET", "/config/other", None).await, (404, 40_408));
    assert_eq!(refused("GET", "/mode/other", None).await, (404, 40_409));
}

#[tokio::test]
async fn it_says_that_it_is_read_only_and_what_holds() {
    for path in ["/config", "/config/lab.events-value", "/config/other?defaultToGlobal=True"] {
        assert_eq!(get(path).await, json!({"compatibilityLevel": "BACKWARD_TRANSITIVE"}));
    }
    for path in ["/mode", "/mode/lab.events-value", "/mode/other?defaultToGlobal=true"] {
        assert_eq!(get(path).await, json!({"mode": "READONLY"}));
    }
    assert_eq!(get("/contexts").await, json!(["."]));
    assert_eq!(get("/associations/resources/-/lab.events?resourceType=topic").await, json!([]));
    for (method, path) in [
        ("DELETE", "/subjects/lab.events-value"),
        ("DELETE", "/subjects/lab.events-value/versions/1"),
        ("PUT", "/config"),
        ("PUT", "/mode/lab.events-value"),
    ] {
        assert_eq!(refused(method, path, Some(json!({}))).await, (422, 42_205), "{method} {path}");
    }
}

#[tokio::test]
async fn a_schema_that_is_there_is_found_and_no_other_is_taken() {
    let (subject, versions) = ("/subjects/lab.events-value", "/subjects/lab.events-value/versions");
    let known = [written_otherwise(), json!({"schema": newest(), "schemaType": "AVRO"})];
    for body in known {
        let (status, found) = call("POST", subject, Some(body.clone())).await;
        assert_eq!((status, &found["id"], &found["version"]), (StatusCode::OK, &json!(1), &json!(1)));
        assert_eq!(call("POST", versions, Some(body)).await, (StatusCode::OK, json!({"id": 1})));
    }
    assert_eq!(refused("POST", subject, Some(other_schema())).await, (404, 40_403));
    assert_eq!(refused("POST", "/subjects/other", Some(other_schema())).await, (404, 40_401));
    assert_eq!(refused("POST", versions, Some(other_schema())).await, (422, 42_205));
    for body in [json!({"schema": "{\"type\":\"nothing\"}"}), json!({"schema": "", "schemaType": "PROTOBUF"})]
    {
        assert_eq!(refused("POST", subject, Some(body.clone())).await, (422, 42_201));
        assert_eq!(refused("POST", versions, Some(body)).await, (422, 42_201));
    }
    assert_eq!(refused("POST", versions, Some(json!({"text": ""}))).await, (400, 400));
    let long = json!({"schema": "x".repeat(200_000)});
    assert_eq!(refused("POST", versions, Some(long)).await, (413, 413));
}

#[tokio::test]
async fn other_addresses_are_left_to_others() {
    for path in ["/", "/v1/conversations", "/schema", "/subjectsx"] {
        assert!(warp::test::request().path(path).filter(&served()).await.is_err(), "{path}");
    }
}
