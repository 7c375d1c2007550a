//! Against a small issuer, whose keys and manners change.

use std::sync::Arc;

use http::StatusCode;
use kernel::{
    identity::{Identity, JWKS_LEN_MAX, KeySetError, TokenError, TokenKey},
    testing::issuer::{Issuer, jwks},
};
use parking_lot::Mutex;
use serde_json::json;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::yield_now,
    time::{Instant, advance, pause, resume, timeout},
};
use warp::{Filter, reply::Response};

use super::*;
use crate::edge;

/// Long enough for anything that will come; a test that waits for it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the issuer answers, and how often it was asked.
#[derive(Debug, Default)]
struct Login {
    status: u16,
    document: String,
    asked: usize,
}

type SharedLogin = Arc<Mutex<Login>>;

fn old() -> Issuer {
    Issuer::new("ES256").called("old")
}

fn new() -> Issuer {
    Issuer::another().called("new")
}

fn listing(issuers: &[Issuer]) -> String {
    jwks(&issuers.iter().map(Issuer::jwk).collect::<Vec<_>>())
}

fn tokens() -> Arc<Tokens> {
    Arc::new(Tokens::from(TokenKey::new(&[7; 32])))
}

fn verify(tokens: &Tokens, issuer: &Issuer) -> Result<Identity, TokenError> {
    tokens.verify(&issuer.sign(&json!({"sub": "ann"})))
}

/// Serves as long as the runtime lives; gives the address of the keys.
async fn serve(document: &str) -> (SharedLogin, KeySource) {
    let login = Arc::new(Mutex::new(Login { status: 200, document: document.to_owned(), asked: 0 }));
    let shared = Arc::clone(&login);
    let routes = warp::path!("jwks").map(move || {
        let mut login = shared.lock();
        login.asked += 1;
        let answer = http::Response::builder().status(login.status).header("location", "/elsewhere");
        let answer: Response = answer.body(login.document.clone().into()).unwrap();
        answer
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = format!("http://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
    let (go_on, stop) = watch::channel(false);
    tokio::spawn(async move {
        edge::serve(listener, routes.boxed(), stop).await;
        drop(go_on);
    });
    (login, source)
}

/// So much time passes at once. What goes over sockets takes its own time, so the clock stands still for the jump alone.
async fn skip(time: Duration) {
    // Whoever is to wait does so from before the jump.
    for _ in 0..10 {
        yield_now().await;
    }
    pause();
    advance(time).await;
    resume();
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it happens in time");
}

#[tokio::test]
async fn an_unknown_key_is_asked_for_at_once_and_an_old_one_ends_by_and_by() {
    let (login, source) = serve(&listing(&[old()])).await;
    let tokens = tokens();
    let _keeper = Keeper::start(&source, Arc::clone(&tokens)).await.unwrap();
    assert!(verify(&tokens, &old()).is_ok());
    assert_eq!(verify(&tokens, &new()), Err(TokenError::UnknownKey), "the keys were read just now");

    login.lock().document = listing(&[old(), new()]);
    skip(KEY_SET_PAUSE + Duration::from_secs(1)).await;
    assert_eq!(login.lock().asked, 1, "nobody asks without a reason");
    assert_eq!(verify(&tokens, &new()), Err(TokenError::Awaited));
    until(|| verify(&tokens, &new()).is_ok()).await;
    assert!(verify(&tokens, &old()).is_ok());
    assert_eq!(login.lock().asked, 2);

    login.lock().document = listing(&[new()]);
    skip(KEY_SET_PAUSE).await;
    skip(ASK_INTERVAL).await;
    until(|| verify(&tokens, &old()) == Err(TokenError::UnknownKey)).await;
    assert!(verify(&tokens, &new()).is_ok());
}

#[tokio::test]
async fn whatever_tokens_come_the_issuer_is_asked_once_in_a_pause() {
    let (login, source) = serve(&listing(&[old()])).await;
    let tokens = tokens();
    let _keeper = Keeper::start(&source, Arc::clone(&tokens)).await.unwrap();
    for round in 2..5 {
        skip(KEY_SET_PAUSE + Duration::from_secs(1)).await;
        for _ in 0..100 {
            assert!(verify(&tokens, &new()).is_err());
        }
        until(|| login.lock().asked == round).await;
        until(|| verify(&tokens, &new()) == Err(TokenError::UnknownKey)).await;
        skip(KEY_SET_PAUSE / 2).await;
        for _ in 0..100 {
            assert!(verify(&tokens, &new()).is_err());
        }
        assert_eq!(login.lock().asked, round);
    }
}

#[tokio::test]
async fn an_issuer_that_fails_takes_no_keys_away() {
    let (login, source) = serve(&listing(&[old()])).await;
    let tokens = tokens();
    let _keeper = Keeper::start(&source, Arc::clone(&tokens)).await.unwrap();
    for (round, (status, document)) in
        (2..).zip([(503, ""), (302, ""), (200, "<html>"), (200, "{\"keys\":7}")])
    {
        *login.lock() = Login { status, document: document.to_owned(), asked: round - 1 };
        skip(KEY_SET_PAUSE + Duration::from_secs(1)).await;
        assert_eq!(verify(&tokens, &new()), Err(TokenError::Awaited));
        until(|| login.lock().asked == round).await;
        assert!(verify(&tokens, &old()).is_ok());
        assert_eq!(verify(&tokens, &new()), Err(TokenError::Awaited), "what was not read is not known");
    }
    *login.lock() = Login { status: 200, document: listing(&[]), asked: 0 };
    skip(KEY_SET_PAUSE + Duration::from_secs(1)).await;
    until(|| tokens.keys_len() == Some(0)).await;
    assert_eq!(verify(&tokens, &old()), Err(TokenError::UnknownKey), "the issuer says that there are none");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_changes_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, listing(&[old()])).unwrap();
    let tokens = tokens();
    let keeper = Keeper::start(&KeySource::File(path.clone()), Arc::clone(&tokens)).await.unwrap();
    assert!(verify(&tokens, &old()).is_ok());
    let began = Instant::now();
    for broken in ["", "{\"keys\":["] {
        std::fs::write(&path, broken).unwrap();
        sleep(2 * KEY_SET_PAUSE).await;
        assert!(verify(&tokens, &old()).is_ok());
    }
    std::fs::write(&path, listing(&[new()])).unwrap();
    until(|| verify(&tokens, &new()).is_ok()).await;
    assert!(began.elapsed() <= 6 * KEY_SET_PAUSE);
    assert_eq!(verify(&tokens, &old()), Err(TokenError::UnknownKey));
    drop(keeper);
}

#[tokio::test]
async fn a_server_starts_once_the_keys_are_there() {
    let (login, source) = serve(&listing(&[old()])).await;
    login.lock().status = 500;
    let (tokens, soon) = (tokens(), Arc::clone(&login));
    let (started, ()) = tokio::join!(Keeper::start(&source, Arc::clone(&tokens)), async {
        until(|| soon.lock().asked == 1).await;
        soon.lock().status = 200;
    });
    assert!(started.is_ok() && verify(&tokens, &old()).is_ok());
    assert_eq!(login.lock().asked, 2);
}

#[tokio::test]
async fn a_server_does_not_start_on_an_issuer_that_says_no() {
    let start = async |status: u16, document: &str| {
        let (login, source) = serve(document).await;
        login.lock().status = status;
        let refused = Keeper::start(&source, tokens()).await.unwrap_err();
        assert!(refused.to_string().contains(&source.to_string()), "{refused}");
        (refused, login.lock().asked)
    };
    let (refused, asked) = start(404, "").await;
    let StartError::Unreadable { reason: ReadError::Refused(status), .. } = refused else {
        panic!("{refused}")
    };
    assert_eq!((status, asked), (StatusCode::NOT_FOUND, 1));
    let (refused, _) = start(307, &listing(&[old()])).await;
    assert!(refused.to_string().contains("307"), "{refused}");
    assert!(matches!(start(200, &listing(&[])).await.0, StartError::Empty(_)));
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_tried_again_and_then_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source: KeySource = format!("http://{}/jwks", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let began = Instant::now();
    let refused = Keeper::start(&source, tokens()).await.unwrap_err();
    assert!(matches!(refused, StartError::Unreadable { reason: ReadError::Unreachable(_), .. }), "{refused}");
    assert!(began.elapsed() >= 7 * RETRY_PAUSE);
    assert!(Keeper::start(&KeySource::File("/nowhere/jwks.json".into()), tokens()).await.is_err());
}

#[tokio::test]
async fn no_more_is_read_than_is_allowed() {
    let mut longest = listing(&[old()]);
    longest.push_str(&" ".repeat(JWKS_LEN_MAX - longest.len()));
    let (login, source) = serve(&longest).await;
    let reader = Reader::of(&source).unwrap();
    assert_eq!(reader.keys().await.unwrap().len(), 1);
    longest.push(' ');
    login.lock().document.clone_from(&longest);
    assert!(matches!(reader.keys().await, Err(ReadError::Foreign(KeySetError::TooLong))));

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &longest).unwrap();
    let reader = Reader::of(&KeySource::File(file.path().into())).unwrap();
    assert!(matches!(reader.keys().await, Err(ReadError::Foreign(KeySetError::TooLong))));
}

#[test]
fn a_place_is_read_with_care() {
    let read = |text: &str| text.parse::<KeySource>();
    assert_eq!(read("jwks.json"), Ok(KeySource::File("jwks.json".into())));
    assert_eq!(read("/etc/tidings/jwks.json").unwrap().to_string(), "/etc/tidings/jwks.json");
    let azure = "https://login.example/discovery/keys?p=policy";
    assert_eq!(read(azure).unwrap().to_string(), azure);
    for wrong in
        ["", "ftp://h/jwks", "https://", "https://ann:secret@h/jwks", "https://ann@h/jwks", "https://h/#k"]
    {
        assert_eq!(read(wrong), Err(NotASource), "{wrong}");
    }
    for (place, is_exposed) in [
        ("http://login.example/jwks", true),
        ("https://login.example/jwks", false),
        ("http://127.0.0.1:8080/jwks", false),
        ("jwks.json", false),
    ] {
        assert_eq!(read(place).unwrap().is_exposed(), is_exposed, "{place}");
    }
}
