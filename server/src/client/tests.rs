use std::sync::atomic::{AtomicUsize, Ordering};

use schemas::Position;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

/// A server that gives each connection the next of these answers, whatever is asked, and then hangs up.
async fn canned(answers: Vec<&'static str>) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4_096];
            let _ = socket.read(&mut request).await.unwrap();
            socket.write_all(answer.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
        }
    });
    Client::new(url.parse().unwrap(), "t".to_owned(), None).unwrap()
}

fn tea() -> Selection {
    Selection::after("tea".parse().unwrap(), Position::START)
}

const GOOD: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"code\":\"ok\",\"message\":\"ok\",\"data\":7}";
const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\nconnection: close\r\n\r\n\
                    {\"code\":\"outcome_unknown\",\"message\":\"send it again\",\"data\":null}";
const REFUSED: &str = "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n\
                       {\"code\":\"admin_only\",\"message\":\"needs the scope admin\",\"data\":null}";

#[tokio::test]
async fn what_may_pass_is_sent_again_and_then_succeeds() {
    let client = canned(vec![BUSY, "", GOOD]).await;
    let calls = AtomicUsize::new(0);
    let data: u8 = patiently(|| {
        calls.fetch_add(1, Ordering::Relaxed);
        client.post(&["v1", "import"], "application/x-ndjson", Bytes::from_static(b"{}\n"))
    })
    .await
    .unwrap();
    assert_eq!((data, calls.into_inner()), (7, 3));
}

#[tokio::test]
async fn a_refusal_is_not_sent_again() {
    let client = canned(vec![REFUSED, GOOD]).await;
    let refused = patiently(|| client.get::<u8>(&["x"], &[])).await.unwrap_err();
    assert_eq!(refused.to_string(), "needs the scope admin (admin_only)");
}

#[tokio::test]
async fn a_stranger_is_told_apart_from_a_server() {
    let client = canned(vec!["HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>"]).await;
    let error = client.get::<u8>(&["livez"], &[]).await.unwrap_err();
    assert!(matches!(error, CallError::Foreign { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_is_away_is_named_with_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let target = Target::Url { url: url.parse().unwrap(), token: "t".to_owned() };
    let error = format!("{:#}", Client::resolve(&target).await.unwrap_err());
    assert!(error.contains(&url) && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn a_stream_that_is_cut_between_two_lines_is_an_error_and_one_that_ends_is_not() {
    let whole = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\n{\"offset\":1}\n\r\n0\r\n\r\n";
    let cut = whole.strip_suffix("0\r\n\r\n").unwrap();
    let client = canned(vec![whole, Box::leak(cut.to_owned().into_boxed_str())]).await;
    let mut events = client.events(&tea()).await.unwrap();
    assert!(events.next().await.unwrap().is_some());
    assert!(events.next().await.unwrap().is_none());
    let mut events = client.events(&tea()).await.unwrap();
    assert!(events.next().await.unwrap().is_some());
    let error = events.next().await.unwrap_err();
    assert_eq!((error.count, error.last), (1, Position::new(1)));
}

#[tokio::test]
async fn a_stream_that_is_refused_says_why() {
    let client = canned(vec![REFUSED]).await;
    let error = client.events(&tea()).await.unwrap_err();
    assert_eq!(error.to_string(), "needs the scope admin (admin_only)");
}

#[tokio::test]
async fn a_folder_without_data_is_not_made_by_reading() {
    let root = tempfile::tempdir().unwrap();
    let data = root.path().join("typo");
    let target = Target::Folder { data: data.clone(), user: "op".parse().unwrap(), create: false };
    let error = Client::resolve(&target).await.unwrap_err().to_string();
    assert!(error.contains("--data"), "{error}");
    assert!(!data.exists());
}

#[test]
fn only_this_machine_is_reached_without_a_proxy() {
    for local in ["http://127.0.0.1:8000", "http://localhost", "http://[::1]:1", "http://0.0.0.0:8000"] {
        assert!(is_local(&local.parse().unwrap()), "{local}");
    }
    for far in ["http://example.org", "https://10.0.0.1"] {
        assert!(!is_local(&far.parse().unwrap()), "{far}");
    }
}
