//! The questions as they are asked: one request, one answer.

use std::time::Duration;

use bytes::Bytes;
use schemas::{
    ChatEvent, Visibility, caps,
    event::{ConversationChanged, MemberJoined, MemberRemoved, MessageRedacted},
    json::{EventFromJson, EventJson},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    projector::Projector,
    rebuild::rebuild,
    testing::{
        Applying, Troubled, append, append_value, at, created, event, memory_history, memory_log, posted,
        records,
    },
};

mod paging;
mod streams;

/// A store over a log with one partition, and how it is asked.
struct Asked {
    log: SharedLog,
    history: Troubled,
    routes: BoxedFilter<(Response,)>,
}

impl Asked {
    async fn about(events: &[ChatEvent]) -> Self {
        let (log, history) = (memory_log(1), Troubled::new(memory_history()));
        append(&log, events).await;
        rebuild(SharedLog::clone(&log), history.shared(), |_| ()).await.unwrap();
        let routes = routes(Store::new(SharedLog::clone(&log), history.shared()), identity());
        Self { log, history, routes }
    }

    async fn add(&self, events: &[ChatEvent]) {
        append(&self.log, events).await;
        rebuild(SharedLog::clone(&self.log), self.history.shared(), |_| ()).await.unwrap();
    }

    async fn get(&self, user: &str, path: &str) -> http::Response<Bytes> {
        warp::test::request().path(path).header("x-user", user).reply(&self.routes).await
    }

    /// The data of a good answer.
    async fn data(&self, user: &str, path: &str) -> Value {
        let response = self.get(user, path).await;
        assert_eq!(response.status(), 200, "{path}: {:?}", response.body());
        assert_eq!(response.headers()["content-type"], "application/json");
        let mut answer: Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(answer["code"], "ok");
        answer["data"].take()
    }

    /// The status and code of a refusal.
    async fn refused(&self, user: &str, path: &str) -> (u16, String) {
        let response = self.get(user, path).await;
        let answer: Value = serde_json::from_slice(response.body()).unwrap();
        assert!(answer["data"].is_null() && answer["message"].as_str().is_some_and(|text| !text.is_empty()));
        let retry = response.headers().get("retry-after").map(|after| after.to_str().unwrap().to_owned());
        assert_eq!(retry, (response.status() == 503).then(|| "1".to_owned()));
        (response.status().as_u16(), answer["code"].as_str().unwrap().to_owned())
    }
}

/// Who asks stands in a header; `root` is an admin.
fn identity() -> BoxedFilter<(Identity,)> {
    let identity =
        |user: String| Identity { admin: user == "root", user: user.parse().unwrap(), expires_at: None };
    warp::header("x-user").map(identity).boxed()
}

fn tea() -> Vec<ChatEvent> {
    vec![
        at(1_000, created("tea", "ann", Visibility::Private)),
        at(2_000, event("tea", "j", "ann", MemberJoined { member: "bob".parse().unwrap() })),
        at(3_000, event("tea", "m-1", "bob", posted("hi"))),
        at(
            4_000,
            event("tea", "t", "ann", ConversationChanged { title: "Tea".parse().ok(), archived: None }),
        ),
        at(5_000, event("tea", "m-1", "ann", posted("void: the id is taken"))),
    ]
}

fn removed() -> ChatEvent {
    event("tea", "r", "ann", MemberRemoved { member: "bob".parse().unwrap() })
}

const QUESTIONS: [&str; 5] = [
    "/v1/conversations",
    "/v1/conversations/tea",
    "/v1/conversations/tea/messages",
    "/v1/conversations/tea/events",
    "/v1/inbox",
];

#[tokio::test]
async fn a_conversation_is_shown_as_documented() {
    let asked = Asked::about(&tea()).await;
    let epoch = asked.log.epoch();
    let expected = json!({
        "conversation": "tea", "title": "Tea", "visibility": "private", "archived": false, "creator": "ann",
        "created_at": "1970-01-01T00:00:01.000Z",
        "members": [{"user": "ann", "role": "owner"}, {"user": "bob", "role": "member"}],
        "offset": 4, "epoch": epoch,
    });
    assert_eq!(asked.data("bob", "/v1/conversations/tea").await, expected);
    assert_eq!(asked.data("bob", "/v1/conversations/%74e%61").await, expected);
    assert_eq!(asked.data("root", "/v1/conversations/tea").await, expected);
}

#[tokio::test]
async fn a_conversation_is_shown_as_it_was() {
    let asked = Asked::about(&tea()).await;
    asked.add(&[at(6_000, removed())]).await;
    let one = "/v1/conversations/tea";
    for (as_of, title, members, offset) in [
        ("1", None, 1, 1),
        ("2", None, 2, 2),
        ("3", None, 2, 3),
        ("4", Some("Tea"), 2, 4),
        ("5", Some("Tea"), 2, 4),
        ("6", Some("Tea"), 1, 6),
        ("1000", Some("Tea"), 1, 6),
        ("1970-01-01T00:00:01Z", None, 1, 1),
        ("1970-01-01T01:00:02.999%2B01:00", None, 2, 2),
        ("1970-01-01T01:00:04+01:00", Some("Tea"), 2, 4),
        ("1970-01-01T00:00:05Z", Some("Tea"), 2, 4),
        ("2070-01-01T00:00:00Z", Some("Tea"), 1, 6),
    ] {
        let data = asked.data("ann", &format!("{one}?as_of={as_of}")).await;
        assert_eq!(data["title"].as_str(), title, "{as_of}");
        assert_eq!(data["members"].as_array().unwrap().len(), members, "{as_of}");
        assert_eq!(data["offset"], offset, "{as_of}");
    }
    for before in ["0", "1970-01-01T00:00:00.999Z"] {
        let refused = asked.refused("ann", &format!("{one}?as_of={before}")).await;
        assert_eq!(refused, (404, "unknown_conversation".to_owned()));
    }
    // Who may read is decided now, not then.
    assert_eq!(asked.refused("bob", &format!("{one}?as_of=3")).await, (403, "removed".to_owned()));
}

#[tokio::test]
async fn a_long_conversation_is_folded_page_by_page() {
    let mut events = vec![created("tea", "ann", Visibility::Open)];
    let titled = |n| {
        event(
            "tea",
            &format!("t-{n}"),
            "ann",
            ConversationChanged { title: format!("{n}").parse().ok(), archived: None },
        )
    };
    events.extend((1..3 * events::EVENTS_PAGE_LEN).map(titled));
    let asked = Asked::about(&events).await;
    let page = events::EVENTS_PAGE_LEN;
    for position in [page, page + 1, page + 2, 2 * page, 2 * page + 1, 3 * page - 9, 3 * page] {
        let data = asked.data("ann", &format!("/v1/conversations/tea?as_of={position}")).await;
        assert_eq!(data["title"].as_str().unwrap(), (position - 1).to_string());
    }
}

#[tokio::test]
async fn only_those_who_may_read_are_answered() {
    let asked = Asked::about(&tea()).await;
    for path in &QUESTIONS[1..4] {
        assert_eq!(asked.refused("eve", path).await, (403, "not_a_member".to_owned()), "{path}");
        assert_eq!(asked.get("bob", path).await.status(), 200, "{path}");
        assert_eq!(asked.get("root", path).await.status(), 200, "{path}");
    }
    asked.add(&[removed()]).await;
    for path in &QUESTIONS[1..4] {
        assert_eq!(asked.refused("bob", path).await, (403, "removed".to_owned()), "{path}");
        let unknown = path.replace("tea", "milk");
        for user in ["ann", "root"] {
            assert_eq!(asked.refused(user, &unknown).await, (404, "unknown_conversation".to_owned()));
        }
    }
    asked.add(&[created("open", "ann", Visibility::Open)]).await;
    assert_eq!(asked.get("eve", "/v1/conversations/open").await.status(), 200);
}

#[tokio::test]
async fn what_is_not_asked_properly_is_refused() {
    let asked = Asked::about(&tea()).await;
    for path in [
        "/v1/conversations?limit=0",
        "/v1/conversations?limit=1001",
        "/v1/conversations?after=a%20b",
        "/v1/conversations?before=a",
        "/v1/conversations/a%20b",
        "/v1/conversations/%ff",
        "/v1/conversations/%2Fetc",
        "/v1/conversations/tea?as_of=",
        "/v1/conversations/tea?as_of=yesterday",
        "/v1/conversations/tea?as_of=1&as_of=2",
        "/v1/conversations/tea?limit=1",
        "/v1/conversations/tea/messages?limit=0",
        "/v1/conversations/tea/messages?limit=1001",
        "/v1/conversations/tea/messages?before=2&after=1",
        "/v1/conversations/tea/messages?before=-1",
        "/v1/conversations/tea/messages?as_of=1",
        "/v1/conversations/tea/events?from=x",
        "/v1/conversations/tea/events?to=1.5",
        "/v1/conversations/tea/events?as_of=now",
        "/v1/conversations/tea/events?limit=1",
    ] {
        assert_eq!(asked.refused("ann", path).await, (400, "invalid".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn other_addresses_methods_and_strangers_are_left_to_others() {
    let asked = Asked::about(&tea()).await;
    let rejected = |method: &str, path: &str, user: Option<&str>| {
        let request = warp::test::request().method(method).path(path);
        let request = match user {
            Some(user) => request.header("x-user", user),
            None => request,
        };
        let routes = asked.routes.clone();
        async move { request.filter(&routes).await.unwrap_err() }
    };
    assert!(rejected("GET", "/v1/conversations/tea/other", Some("ann")).await.is_not_found());
    assert!(rejected("GET", "/v1/conversations/tea/messages/m-1", Some("ann")).await.is_not_found());
    assert!(rejected("GET", "/", Some("ann")).await.is_not_found());
    let wrong_method = rejected("POST", "/v1/conversations/tea/messages", Some("ann")).await;
    assert!(wrong_method.find::<warp::reject::MethodNotAllowed>().is_some());
    for path in QUESTIONS {
        let stranger = rejected("GET", path, None).await;
        assert!(stranger.find::<warp::reject::MissingHeader>().is_some(), "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_sees_what_was_accepted_before_it() {
    let asked = Asked::about(&tea()).await;
    asked.history.apply(Applying::Held);
    let projector = Projector::start(SharedLog::clone(&asked.log), asked.history.shared());
    append(&asked.log, &[event("tea", "m-2", "ann", posted("just now"))]).await;
    asked.history.struck(1).await;
    for path in QUESTIONS {
        let mut question = std::pin::pin!(asked.get("ann", path));
        let waits = tokio::time::timeout(Duration::from_millis(20), &mut question).await;
        assert!(waits.is_err(), "{path}");
    }
    let messages = asked.data("ann", QUESTIONS[2]);
    let release = async { asked.history.apply(Applying::Works) };
    let (messages, ()) = tokio::join!(messages, release);
    assert_eq!(messages["messages"][1]["text"], "just now");
    assert_eq!(messages["offset"], 6);
    assert_eq!(asked.data("ann", QUESTIONS[0]).await["conversations"][0]["last_offset"], 6);
    projector.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_history_that_does_not_come_is_not_waited_for_for_ever() {
    let asked = Asked::about(&tea()).await;
    append(&asked.log, &[event("tea", "m-2", "ann", posted("just now"))]).await;
    for path in QUESTIONS {
        let began = tokio::time::Instant::now();
        assert_eq!(asked.refused("ann", path).await, (503, "history_behind".to_owned()), "{path}");
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_history_that_is_down_is_told_as_such() {
    let asked = Asked::about(&tea()).await;
    asked.history.reads_fail(true);
    for path in QUESTIONS {
        assert_eq!(asked.refused("ann", path).await, (503, "unavailable".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_question_does_not_ask_for_what_only_a_fold_needs() {
    let asked = Asked::about(&tea()).await;
    let before = asked.history.now();
    for path in QUESTIONS {
        assert_eq!(asked.get("ann", path).await.status(), 200, "{path}");
    }
    let after = asked.history.now();
    assert!(after.asked > before.asked);
    assert_eq!(after.folds, before.folds);
}

#[tokio::test]
async fn an_inbox_says_what_is_unread_and_nothing_to_others() {
    let asked = Asked::about(&tea()).await;
    asked
        .add(&[
            event("inn", "c", "bob", created("inn", "bob", Visibility::Open).body),
            event("tea", "m-2", "ann", posted("@bob, and @ann")),
            event("tea", "m-3", "ann", posted("well")),
        ])
        .await;
    let inn = json!({"conversation": "inn", "offset": 6, "read_up_to": 0, "unread": 0, "mentions": 0});
    let tea = json!({"conversation": "tea", "offset": 8, "read_up_to": 0, "unread": 2, "mentions": 1});
    let inbox = asked.data("bob", "/v1/inbox").await;
    assert_eq!(inbox, json!({"conversations": [inn, tea], "more": false}));
    let unread = asked.data("bob", "/v1/inbox?unread=true").await;
    assert_eq!(unread, json!({"conversations": [tea], "more": false}));
    let first = asked.data("bob", "/v1/inbox?limit=1&unread=false").await;
    assert_eq!(first, json!({"conversations": [inn], "more": true}));
    assert_eq!(asked.data("bob", "/v1/inbox?after=inn").await["conversations"], json!([tea]));
    assert_eq!(asked.data("eve", "/v1/inbox").await, json!({"conversations": [], "more": false}));
    for wrong in ["unread=yes", "limit=0", "limit=1001", "after=no/id", "user=bob"] {
        let refused = asked.refused("bob", &format!("/v1/inbox?{wrong}")).await;
        assert_eq!(refused, (400, "invalid".to_owned()), "{wrong}");
    }
}
