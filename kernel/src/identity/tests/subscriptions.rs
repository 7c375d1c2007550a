//! Tokens that let somebody read one conversation.

use super::*;

fn tea() -> ConversationId {
    "tea".parse().unwrap()
}

fn verify(claims: &Value) -> Result<SubscriptionGrant, TokenError> {
    let issuer = Issuer::new("EdDSA").called("k1");
    tokens_of(&[issuer.jwk()]).verify_subscription(&issuer.sign(claims), &user("ann"), Some(&tea()))
}

fn is_misplaced<T>(result: &Result<T, TokenError>) -> bool {
    matches!(result, Err(TokenError::Misplaced(_)))
}

#[test]
fn a_grant_is_for_its_user_and_its_conversation() {
    let grant = verify(&json!({"sub": "ann", "channel": "tea"})).unwrap();
    assert_eq!((grant.conversation, grant.expires_at), (tea(), None));
    for other in [
        json!({"sub": "ann"}),
        json!({"sub": "ann", "channel": "coffee"}),
        json!({"sub": "ben", "channel": "tea"}),
        json!({"sub": "", "channel": "tea"}),
    ] {
        assert!(is_misplaced(&verify(&other)), "{other}");
    }
    for bad in [
        json!({"channel": "tea"}),
        json!({"sub": "ann", "channel": "a/b"}),
        json!({"sub": "ann", "channel": ["tea"]}),
        json!({"sub": "ann", "channel": "tea", "client": "c-1"}),
    ] {
        assert!(is_invalid(&verify(&bad)), "{bad}");
    }
}

#[test]
fn it_lasts_as_long_as_it_says() {
    let claims = |more: Value| with(json!({"sub": "ann", "channel": "tea"}), more);
    let until = |more: Value| verify(&claims(more)).map(|grant| grant.expires_at);
    let (soon, later) = (in_seconds(60), in_seconds(600));
    assert_eq!(until(json!({"exp": soon})), Ok(Some(Timestamp::from_millis(soon * 1_000))));
    assert_eq!(
        until(json!({"exp": soon, "expire_at": later})),
        Ok(Some(Timestamp::from_millis(later * 1_000)))
    );
    assert_eq!(until(json!({"exp": soon, "expire_at": 0})), Ok(None));
    assert_eq!(until(json!({"exp": in_seconds(-60)})), Err(TokenError::Expired));
    assert_eq!(until(json!({"expire_at": in_seconds(-60)})), Err(TokenError::Expired));
}

#[test]
fn a_token_that_was_minted_here_is_a_grant_and_opens_no_connection() {
    let tokens = Tokens::from(key());
    let token = key().mint_subscription(&user("ann"), &tea(), SystemClock.now(), Some(60)).unwrap();
    let grant = tokens.verify_subscription(&token, &user("ann"), Some(&tea())).unwrap();
    assert!(grant.expires_at.is_some());
    assert!(is_misplaced(&tokens.verify(&token)));
    let unnamed = tokens.verify_subscription(&token, &user("ann"), None).unwrap();
    assert_eq!(unnamed.conversation, tea(), "the token says which conversation");
    let connection = key().mint(&user("ann"), true, SystemClock.now(), None).unwrap();
    assert!(is_misplaced(&tokens.verify_subscription(&connection, &user("ann"), Some(&tea()))));
}
