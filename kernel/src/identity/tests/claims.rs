//! What a well-signed token must say, and must not.

use super::*;

fn issuer() -> Issuer {
    Issuer::new("ES256").called("k1")
}

fn verify(claims: &Value) -> Result<Identity, TokenError> {
    tokens_of(&[issuer().jwk()]).verify(&issuer().sign(claims))
}

#[test]
fn claims_that_do_not_fit_are_refused() {
    for claims in [
        json!({}),
        json!({"sub": ""}),
        json!({"sub": "a b"}),
        json!({"sub": 7}),
        json!({"sub": "ann", "exp": "soon"}),
        json!({"sub": "ann", "exp": -1}),
        json!({"sub": "ann", "nbf": "soon"}),
    ] {
        assert!(is_invalid(&verify(&claims)), "{claims}");
    }
    let misplaced = verify(&json!({"sub": "ann", "channel": "tea"}));
    assert!(matches!(misplaced, Err(TokenError::Misplaced(_))), "{misplaced:?}");
}

#[test]
fn it_is_valid_from_and_until() {
    let at = |field: &str, seconds: i64| verify(&with(ann(), json!({field: in_seconds(seconds)})));
    assert_eq!(at("nbf", 600), Err(TokenError::NotYet));
    assert_eq!(at("exp", -600), Err(TokenError::Expired));
    // Clocks differ a little.
    assert!(at("nbf", LEEWAY_S - 1).is_ok() && at("exp", -LEEWAY_S + 1).is_ok());
    let fraction = json!({"sub": "ann", "exp": 4_102_444_800.75_f64});
    assert_eq!(verify(&fraction).unwrap().expires_at, Some(Timestamp::from_millis(4_102_444_800_000)));
}

#[test]
fn a_session_may_need_a_new_token_earlier_or_later_than_the_token_ends() {
    let until = |claims: Value| verify(&with(ann(), claims)).map(|identity| identity.expires_at);
    let at = |seconds: i64| Some(Timestamp::from_millis(in_seconds(seconds) * 1_000));
    let (soon, later) = (in_seconds(60), in_seconds(600));
    assert!(until(json!({"exp": later, "expire_at": soon})).unwrap() <= at(60));
    assert!(until(json!({"exp": soon, "expire_at": later})).unwrap() > at(500));
    assert_eq!(until(json!({"exp": soon, "expire_at": 0})), Ok(None));
    assert_eq!(until(json!({"expire_at": in_seconds(-60)})), Err(TokenError::Expired));
    assert_eq!(until(json!({"exp": in_seconds(-60), "expire_at": 0})), Err(TokenError::Expired));
}

#[test]
fn the_audience_and_the_issuer_that_are_expected_must_be_named() {
    let expected = Expected {
        audiences: vec!["chat".to_owned(), "https://chat.example".to_owned()],
        issuer: Some("https://login.example/".to_owned()),
    };
    let tokens = tokens_expecting(&expected, &[issuer().jwk()]);
    let verify = |audience: Value, issued_by: Value| {
        tokens.verify(&issuer().sign(&json!({"sub": "ann", "aud": audience, "iss": issued_by})))
    };
    let us = || json!("https://login.example/");
    for audience in [json!("chat"), json!("https://chat.example"), json!(["mail", "chat"])] {
        assert!(verify(audience.clone(), us()).is_ok(), "{audience}");
    }
    for audience in [json!("mail"), json!(["mail"]), json!([]), json!("chat "), json!(7), Value::Null] {
        assert!(is_invalid(&verify(audience.clone(), us())), "{audience}");
    }
    for issued_by in [json!("https://login.example"), json!("them"), json!(7), Value::Null] {
        assert!(is_invalid(&verify(json!("chat"), issued_by.clone())), "{issued_by}");
    }
    assert!(is_invalid(&tokens.verify(&issuer().sign(&ann()))), "neither is named");
}

#[test]
fn tokens_of_other_kinds_and_those_that_demand_more_are_refused() {
    let tokens = tokens_of(&[issuer().jwk()]);
    let verify = |header: Header| tokens.verify(&issuer().sign_with(&header, &ann()));
    for typ in [None, Some("JWT"), Some("jwt"), Some("at+jwt"), Some("application/at+jwt")] {
        assert!(verify(Header { typ: typ.map(str::to_owned), ..issuer().header() }).is_ok(), "{typ:?}");
    }
    for typ in ["logout+jwt", "dpop+jwt", ""] {
        assert!(is_invalid(&verify(Header { typ: Some(typ.to_owned()), ..issuer().header() })), "{typ}");
    }
    for crit in [Vec::new(), vec!["exp".to_owned()]] {
        assert!(is_invalid(&verify(Header { crit: Some(crit), ..issuer().header() })));
    }
}
