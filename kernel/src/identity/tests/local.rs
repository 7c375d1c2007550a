//! Tokens of the local key.

use super::*;

fn tokens() -> Tokens {
    key().into()
}

fn mint(ttl_s: Option<i64>, admin: bool) -> String {
    key().mint(&user("ann"), admin, SystemClock.now(), ttl_s).unwrap()
}

/// A token with these claims, signed with the local secret in any of the ways that a secret allows.
fn sign(algorithm: &str, claims: &Value) -> String {
    install_crypto();
    let header = Header::new(algorithm.parse().unwrap());
    jsonwebtoken::encode(&header, claims, &jsonwebtoken::EncodingKey::from_secret(SECRET)).unwrap()
}

#[test]
fn a_token_speaks_for_its_user() {
    let identity = tokens().verify(&mint(Some(60), false)).unwrap();
    assert_eq!((identity.user.as_str(), identity.admin), ("ann", false));
    assert!(identity.expires_at.is_some());
    let identity = tokens().verify(&mint(None, true)).unwrap();
    assert!(identity.admin);
    assert_eq!(identity.expires_at, None);
}

#[test]
fn what_is_over_or_not_ours_is_refused() {
    assert_eq!(tokens().verify(&mint(Some(-60), false)), Err(TokenError::Expired));
    let other = Tokens::from(TokenKey::new(b"another secret of thirty-two byte"));
    assert!(is_invalid(&other.verify(&mint(None, false))));
    for junk in ["", "a.b.c", "junk"] {
        assert!(is_invalid(&tokens().verify(junk)), "{junk}");
    }
}

#[test]
fn a_token_of_the_greatest_length_is_looked_at_and_a_longer_one_is_not() {
    let padded = |len: usize| {
        let token = |padding: usize| sign("HS256", &with(ann(), json!({"padding": "x".repeat(padding)})));
        (0..=len * 3 / 4).rev().map(token).find(|token| token.len() <= len).unwrap()
    };
    let longest = padded(TOKEN_LEN_MAX);
    assert_eq!(longest.len(), TOKEN_LEN_MAX);
    assert!(tokens().verify(&longest).is_ok());
    let longer = padded(TOKEN_LEN_MAX + 1);
    assert_eq!(longer.len(), TOKEN_LEN_MAX + 1);
    assert_eq!(tokens().verify(&longer), Err(TokenError::Invalid("it is too long")));
}

#[test]
fn the_local_key_is_good_for_one_algorithm_alone() {
    assert!(tokens().verify(&sign("HS256", &ann())).is_ok());
    for other in ["HS384", "HS512"] {
        assert!(is_invalid(&tokens().verify(&sign(other, &ann()))), "{other}");
    }
}

#[test]
fn it_counts_beside_the_keys_of_an_issuer_whatever_a_token_calls_it() {
    let tokens = tokens_of(&[Issuer::new("RS256").called("k1").jwk()]);
    assert!(tokens.verify(&mint(None, true)).unwrap().admin);
    let named = |id: &str| {
        let header = Header { kid: Some(id.to_owned()), ..Header::new("HS256".parse().unwrap()) };
        jsonwebtoken::encode(&header, &ann(), &jsonwebtoken::EncodingKey::from_secret(SECRET)).unwrap()
    };
    assert!(tokens.verify(&named("ours")).is_ok());
    assert!(is_invalid(&tokens.verify(&named("k1"))), "that is the name of another key");
}

#[test]
fn it_need_not_say_who_it_is_for_but_must_not_say_another() {
    let expected = Expected { audiences: vec!["chat".to_owned()], issuer: Some("us".to_owned()) };
    let tokens = Tokens::new(key(), &expected);
    for good in [ann(), json!({"sub": "ann", "aud": "chat", "iss": "us"})] {
        assert!(tokens.verify(&sign("HS256", &good)).is_ok(), "{good}");
    }
    for bad in [json!({"sub": "ann", "aud": "mail"}), json!({"sub": "ann", "iss": "them"})] {
        assert!(is_invalid(&tokens.verify(&sign("HS256", &bad))), "{bad}");
    }
}
