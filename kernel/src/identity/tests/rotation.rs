//! Keys come and go.

use std::time::Duration;

use tokio::time::{advance, timeout};

use super::*;

fn set(issuers: &[&Issuer]) -> KeySet {
    let keys: Vec<_> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    KeySet::parse(jwks(&keys).as_bytes()).unwrap()
}

/// What is said of a token of this issuer, and whether its key is asked for.
async fn verify(tokens: &Tokens, issuer: &Issuer) -> (Result<Identity, TokenError>, bool) {
    let said = tokens.verify(&issuer.sign(&ann()));
    (said, timeout(Duration::from_millis(1), tokens.key_awaited()).await.is_ok())
}

fn refused(error: TokenError, is_asked_for: bool) -> (Result<Identity, TokenError>, bool) {
    (Err(error), is_asked_for)
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_asked_for_and_an_old_one_ends() {
    let (old, new) = (Issuer::new("ES256").called("2025"), Issuer::another().called("2026"));
    let tokens = tokens_of(&[old.jwk()]);
    advance(KEY_SET_PAUSE).await;
    let (said, is_asked_for) = verify(&tokens, &old).await;
    assert!(said.is_ok() && !is_asked_for, "it is known");
    assert_eq!(verify(&tokens, &new).await, refused(TokenError::Awaited, true));
    tokens.replace(set(&[&old, &new]));
    assert!(verify(&tokens, &old).await.0.is_ok() && verify(&tokens, &new).await.0.is_ok());
    tokens.replace(set(&[&new]));
    assert!(verify(&tokens, &new).await.0.is_ok());
    assert_eq!(verify(&tokens, &old).await, refused(TokenError::UnknownKey, false));
}

#[tokio::test(start_paused = true)]
async fn what_was_just_read_is_not_asked_for_again() {
    let tokens = tokens_of(&[Issuer::new("ES256").called("known").jwk()]);
    let unknown = Issuer::another().called("unknown");
    let moment = Duration::from_millis(10);
    advance(KEY_SET_PAUSE.saturating_sub(moment)).await;
    assert_eq!(verify(&tokens, &unknown).await, refused(TokenError::UnknownKey, false));
    advance(moment).await;
    assert_eq!(verify(&tokens, &unknown).await, refused(TokenError::Awaited, true));
    // However many ask, one answer is for all.
    for _ in 0..3 {
        assert_eq!(tokens.verify(&unknown.sign(&ann())), Err(TokenError::Awaited));
    }
    tokens.replace(set(&[]));
    assert_eq!(verify(&tokens, &unknown).await, refused(TokenError::UnknownKey, false));
}

#[tokio::test(start_paused = true)]
async fn a_key_without_a_name_may_be_new_too_but_never_a_secret() {
    let tokens = tokens_of(&[Issuer::new("ES256").jwk()]);
    advance(KEY_SET_PAUSE).await;
    let (said, is_asked_for) = verify(&tokens, &Issuer::new("HS256")).await;
    assert!(is_invalid(&said) && !is_asked_for);
    for unknown in [Issuer::another(), Issuer::new("RS256")] {
        assert_eq!(verify(&tokens, &unknown).await, refused(TokenError::Awaited, true));
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_issuer_nothing_is_asked_for() {
    let tokens = Tokens::from(key());
    assert_eq!(tokens.keys_len(), None);
    let (said, is_asked_for) = verify(&tokens, &Issuer::new("RS256").called("k1")).await;
    assert!(is_invalid(&said) && !is_asked_for);
}

#[tokio::test]
async fn an_issuer_that_withdraws_all_keys_is_believed() {
    let issuer = Issuer::new("ES256").called("k1");
    let tokens = tokens_of(&[issuer.jwk()]);
    tokens.replace(set(&[]));
    assert_eq!(verify(&tokens, &issuer).await, refused(TokenError::UnknownKey, false));
    assert_eq!(tokens.keys_len(), Some(0));
}
