//! Streams of events, as the client sees them and as they end.

use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Two pages, two that are twice as long, and a bit: how long lines are is known when the next page is being read already.
const COUNT: usize = (1 + 1 + 2 + 2) * events::EVENTS_PAGE_LEN + 7;
const PAGES: u64 = 5;

/// A conversation of so many events, all valid, with garbage and others in between: at the positions that are returned.
async fn long() -> (Asked, Vec<u64>) {
    long_with("tea").await
}

async fn long_with(text: &str) -> (Asked, Vec<u64>) {
    let mut all = vec![created("tea", "ann", Visibility::Open), created("milk", "ann", Visibility::Open)];
    for (n, millis) in (1..COUNT).zip((1..).map(|second| second * 1_000)) {
        all.push(at(millis, event("tea", &format!("m-{n}"), "ann", posted(text))));
        all.push(event("milk", &format!("m-{n}"), "ann", posted("milk")));
    }
    let positions = all.iter().zip(1..).filter(|(event, _)| event.conversation.as_str() == "tea");
    let positions = positions.map(|(_, position)| position).collect();
    (Asked::about(&all).await, positions)
}

fn positions(body: &[u8]) -> Vec<u64> {
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| serde_json::from_slice::<EventFromJson>(line).unwrap().position.get()).collect()
}

#[tokio::test]
async fn each_line_is_an_event_as_everybody_writes_it() {
    let asked = Asked::about(&tea()).await;
    append_value(&asked.log, "tea", "garbage".into()).await;
    asked.add(&[event("tea", "m-2", "ann", posted("\"quoted\"\nline"))]).await;
    let response = asked.get("bob", "/v1/conversations/tea/events").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    let mut expected = String::new();
    for record in records(&asked.log, schemas::Partition(0)).await {
        // The one at offset 4 is void.
        if let Ok(event) = schemas::codec::Codec::default().decode(&record.value)
            && record.offset.get() != 4
        {
            expected += &EventJson::new(&event, record.offset.position(), record.recorded_at).to_text();
            expected += "\n";
        }
    }
    assert_eq!(expected.lines().count(), 5);
    assert_eq!(response.body(), expected.as_bytes());
}

#[tokio::test]
async fn a_stream_of_several_pages_holds_every_event_once() {
    let (asked, all) = long().await;
    let response = asked.get("ann", "/v1/conversations/tea/events").await;
    assert_eq!(positions(response.body()), all);
}

#[tokio::test]
async fn a_stream_keeps_within_its_bounds() {
    let (asked, all) = long().await;
    let (first, tenth, last) = (all[0], all[9], *all.last().unwrap());
    for (query, expected) in [
        (format!("from={first}"), &all[1..]),
        (format!("from={last}"), &[]),
        (format!("to={tenth}"), &all[..10]),
        (format!("to={}", tenth - 1), &all[..9]),
        (format!("to={}", i64::MAX), &all[..]),
        ("to=0".to_owned(), &[]),
        (format!("from={first}&to={tenth}"), &all[1..10]),
        (format!("from={tenth}&to={first}"), &[]),
        (format!("as_of={tenth}"), &all[..10]),
        (format!("as_of={tenth}&to={first}"), &all[..1]),
        // The creation bears a much later time than the messages.
        ("as_of=1970-01-01T00:02:00Z".to_owned(), &all[1..=120]),
        ("as_of=1970-01-01T00:02:00Z&from=3".to_owned(), &all[2..=120]),
    ] {
        let response = asked.get("ann", &format!("/v1/conversations/tea/events?{query}")).await;
        assert_eq!(positions(response.body()), expected, "{query}");
    }
}

#[tokio::test]
async fn pages_are_read_as_the_client_takes_them_and_one_ahead() {
    let (asked, all) = long().await;
    let request = warp::test::request().path("/v1/conversations/tea/events").header("x-user", "ann");
    let before = asked.history.now().asked;
    let mut body = request.filter(&asked.routes).await.unwrap().into_body();
    let mut taken = Vec::new();
    for pages in 1..=PAGES {
        taken.extend(body.frame().await.unwrap().unwrap().into_data().unwrap());
        // One question more for the state of the conversation, and one for the page that is read ahead.
        assert_eq!(asked.history.now().asked - before, 1 + PAGES.min(pages + 1));
    }
    assert!(body.frame().await.is_none());
    assert_eq!(positions(&taken), all);
}

#[tokio::test]
async fn what_comes_in_while_a_stream_goes_on_belongs_to_the_next_question() {
    let (asked, all) = long().await;
    for query in ["", "?to=1000000", "?as_of=2070-01-01T00:00:00Z"] {
        let path = format!("/v1/conversations/tea/events{query}");
        let request = warp::test::request().path(&path).header("x-user", "ann");
        let body = request.filter(&asked.routes).await.unwrap().into_body();
        let before = positions(asked.get("ann", &path).await.body());
        asked.add(&[event("tea", &format!("late{}", query.len()), "ann", posted("late"))]).await;
        assert_eq!(positions(&body.collect().await.unwrap().to_bytes()), before);
        assert_eq!(positions(asked.get("ann", &path).await.body()).len(), before.len() + 1);
        assert!(before.starts_with(&all));
    }
}

#[tokio::test]
async fn a_stream_that_fails_in_the_middle_is_cut() {
    const END: &str = "\r\n0\r\n\r\n";
    // A page is more than the server keeps back, so that a part is on its way when the failure comes.
    let (asked, _) = long_with(&"tea".repeat(1_500)).await;
    let whole = raw_answer(&asked).await;
    assert!(whole.starts_with("HTTP/1.1 200") && whole.ends_with(END));
    // For the state and two pages.
    asked.history.reads_left(Some(3));
    let cut = raw_answer(&asked).await;
    assert!(cut.starts_with("HTTP/1.1 200") && cut.contains("MessagePosted"));
    assert!(!cut.ends_with(END), "a part must not look like the whole");
    asked.history.reads_left(Some(1));
    assert!(raw_answer(&asked).await.starts_with("HTTP/1.1 503"));
}

/// What a client gets that asks a server and reads until the connection ends.
async fn raw_answer(asked: &Asked) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(warp::serve(asked.routes.clone()).incoming(listener).run());
    let mut client = TcpStream::connect(address).await.unwrap();
    let head =
        "GET /v1/conversations/tea/events HTTP/1.1\r\nhost: x\r\nx-user: ann\r\nconnection: close\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A cut may come as a reset.
    let _ = client.read_to_end(&mut answer).await;
    server.abort();
    String::from_utf8(answer).unwrap()
}
