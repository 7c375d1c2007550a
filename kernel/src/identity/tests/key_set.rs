//! Which keys of a document are taken.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;

fn usable(keys: &[Value]) -> usize {
    KeySet::parse(jwks(keys).as_bytes()).unwrap().len()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[test]
fn keys_for_other_purposes_and_of_unknown_kinds_are_passed_over() {
    let good = Issuer::new("RS256").called("good").jwk();
    for other in [
        with(good.clone(), json!({"use": "enc"})),
        with(good.clone(), json!({"use": "tls"})),
        with(good.clone(), json!({"key_ops": ["encrypt", "wrapKey"]})),
        with(good.clone(), json!({"alg": "RSA-OAEP"})),
        with(good.clone(), json!({"alg": "HS256"})),
        with(good.clone(), json!({"alg": "ES256"})),
        with(good.clone(), json!({"alg": "RS257"})),
        with(good.clone(), json!({"kid": 7})),
        with(good.clone(), json!({"n": "no base64!"})),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
        json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA"}),
        json!({"kty": "OKP", "crv": "X25519", "x": encoded(&[9; 32])}),
        json!({"kty": "RSA"}),
        json!({}),
        json!("a text"),
        Value::Null,
    ] {
        let listed = [other.clone(), good.clone()];
        assert_eq!(usable(&listed), 1, "{other}");
        assert!(
            tokens_of(&listed).verify(&Issuer::new("RS256").called("good").sign(&ann())).is_ok(),
            "{other}"
        );
    }
    for same in [json!({"use": "sig"}), json!({"key_ops": ["verify"]}), json!({"x5t": "AAAA", "new": [1]})] {
        assert_eq!(usable(&[with(good.clone(), same.clone())]), 1, "{same}");
    }
}

#[test]
fn keys_of_no_use_never_meet_a_token() {
    let p256 = Issuer::new("ES256").jwk();
    for (bad, why) in [
        (with(p256.clone(), json!({"y": p256["x"]})), "off its curve"),
        (with(p256.clone(), json!({"x": encoded(&[1; 31])})), "too short a coordinate"),
        (with(p256.clone(), json!({"crv": "P-384", "alg": "ES384"})), "a point of another curve"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 31])}), "a short key on Ed25519"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(&[1; 33])}), "a long key on Ed25519"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": ""}), "no key at all"),
    ] {
        assert_eq!(usable(&[bad]), 0, "{why}");
    }
}

#[test]
fn keys_are_as_long_as_they_must_be() {
    let rsa = |modulus: &[u8]| usable(&[json!({"kty": "RSA", "n": encoded(modulus), "e": "AQAB"})]);
    let of_bits = |bits: usize| {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        modulus[0] = 0xff >> (8 * modulus.len() - bits);
        modulus
    };
    let found = [2_047, 2_048, 4_096, 4_097].map(|bits| rsa(&of_bits(bits)));
    assert_eq!(found, [0, 1, 1, 0]);
    assert_eq!(rsa(&[&[0, 0][..], &of_bits(2_048)].concat()), 1, "zeros before it do not count");
    assert_eq!(rsa(&[&[0, 0][..], &of_bits(2_047)].concat()), 0);
    for (alg, len) in [("HS256", 32), ("HS384", 48), ("HS512", 64)] {
        let secret = |len: usize| usable(&[json!({"kty": "oct", "alg": alg, "k": encoded(&vec![7; len])})]);
        assert_eq!((secret(len - 1), secret(len)), (0, 1), "{alg}");
    }
}

#[test]
fn a_document_that_is_none_or_too_large_is_refused() {
    for bad in ["", "nonsense", "[]", "{}", "{\"keys\":{}}", "{\"keys\":null}", "<html>"] {
        assert!(matches!(KeySet::parse(bad.as_bytes()), Err(KeySetError::Foreign(_))), "{bad}");
    }
    assert!(KeySet::parse(b"{\"keys\":[]}").unwrap().is_empty(), "all were withdrawn");
    let mut longest = jwks(&[Issuer::new("ES256").jwk()]);
    longest.push_str(&" ".repeat(JWKS_LEN_MAX - longest.len()));
    assert_eq!(KeySet::parse(longest.as_bytes()).unwrap().len(), 1);
    longest.push(' ');
    assert!(matches!(KeySet::parse(longest.as_bytes()), Err(KeySetError::TooLong)));
    let many = |len: usize| KeySet::parse(jwks(&vec![Issuer::new("ES256").jwk(); len]).as_bytes());
    assert_eq!(many(KEYS_LEN_MAX).unwrap().len(), KEYS_LEN_MAX);
    assert!(matches!(many(KEYS_LEN_MAX + 1), Err(KeySetError::TooManyKeys(101))));
}

#[test]
fn nothing_that_is_printed_shows_a_key() {
    let secret = Issuer::new("HS256").jwk();
    let document = jwks(std::slice::from_ref(&secret));
    let keys = KeySet::parse(document.as_bytes()).unwrap();
    let printed = format!("{keys:?} {:?}", tokens_of(&[secret]));
    assert!(printed.contains("HS256") && !printed.contains("42") && !printed.contains("Kioq"), "{printed}");
}

#[test]
fn a_token_that_names_no_key_is_tried_with_a_few() {
    let strangers = |len: usize| {
        let mut keys = vec![Issuer::another().jwk(); len];
        keys.push(Issuer::new("ES256").jwk());
        tokens_of(&keys)
    };
    let token = Issuer::new("ES256").sign(&ann());
    assert!(strangers(7).verify(&token).is_ok());
    assert_eq!(strangers(8).verify(&token), Err(TokenError::UnknownKey));
    // Keys of other kinds do not count.
    let mut keys = vec![Issuer::new("RS256").jwk(); 20];
    keys.push(Issuer::new("ES256").jwk());
    assert!(tokens_of(&keys).verify(&token).is_ok());
}
