//! Every algorithm with its key, and none with another.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};

use super::*;

const ALL: [&str; 12] = [
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384",
    "EdDSA",
];

/// A token of these parts.
fn joined(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (header.to_string(), claims.to_string());
    [part(header.as_bytes()), part(claims.as_bytes()), part(signature)].join(".")
}

#[test]
fn a_token_of_each_algorithm_passes_with_and_without_the_name_of_its_key() {
    for algorithm in ALL {
        let issuer = Issuer::new(algorithm).called("k1");
        let unnamed = Issuer::new(algorithm);
        let tokens = tokens_of(&[issuer.jwk()]);
        assert_eq!(tokens.keys_len(), Some(1), "{algorithm}");
        assert_eq!(tokens.verify(&issuer.sign(&ann())).unwrap().user, user("ann"), "{algorithm}");
        assert_eq!(tokens.verify(&unnamed.sign(&ann())).unwrap().user, user("ann"), "{algorithm}");
    }
}

#[test]
fn a_changed_claim_or_signature_is_found_out() {
    for algorithm in ALL {
        let issuer = Issuer::new(algorithm).called("k1");
        let tokens = tokens_of(&[issuer.jwk()]);
        let (good, other) = (issuer.sign(&ann()), issuer.sign(&json!({"sub": "eve"})));
        let (good, other): (Vec<_>, Vec<_>) = (good.split('.').collect(), other.split('.').collect());
        assert!(is_invalid(&tokens.verify(&[good[0], other[1], good[2]].join("."))), "{algorithm}");
        assert!(is_invalid(&tokens.verify(&[good[0], good[1], ""].join("."))), "{algorithm}");
    }
}

#[test]
fn a_key_takes_no_other_algorithm_than_its_own() {
    for own in ALL {
        let tokens = tokens_of(&[Issuer::new(own).called("k1").jwk()]);
        for other in ALL.into_iter().filter(|other| *other != own) {
            // What is signed is good; but the key says another `alg`, or is none for it.
            let token = Issuer::new(other).called("k1").sign(&ann());
            assert!(is_invalid(&tokens.verify(&token)), "{other} with the key of {own}");
        }
    }
}

#[test]
fn a_key_that_names_no_algorithm_takes_those_of_its_kind() {
    let without_alg = |algorithm: &str| {
        let mut jwk = Issuer::new(algorithm).called("k1").jwk();
        jwk.as_object_mut().unwrap().remove("alg").unwrap();
        jwk
    };
    for (own, others) in [
        ("RS256", &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        ("ES256", &["ES256"]),
        ("ES384", &["ES384"]),
        ("EdDSA", &["EdDSA"]),
    ] {
        let tokens = tokens_of(&[without_alg(own)]);
        for algorithm in ALL {
            let accepted = tokens.verify(&Issuer::new(algorithm).called("k1").sign(&ann())).is_ok();
            assert_eq!(accepted, others.contains(&algorithm), "{algorithm} with the key of {own}");
        }
    }
    assert_eq!(tokens_of(&[without_alg("HS256")]).keys_len(), Some(0), "a secret must say what it is for");
}

#[test]
fn what_is_public_is_no_secret_to_sign_with() {
    let issuer = Issuer::new("RS256").called("k1");
    let jwk = issuer.jwk();
    let tokens = tokens_of(std::slice::from_ref(&jwk));
    let modulus = URL_SAFE_NO_PAD.decode(jwk["n"].as_str().unwrap()).unwrap();
    let publics = [
        RSA_PUBLIC_PEM.to_vec(),
        RSA_PUBLIC_PEM.trim_ascii_end().to_vec(),
        jwks(std::slice::from_ref(&jwk)).into_bytes(),
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        modulus,
        Vec::new(),
    ];
    for secret in publics {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            for kid in [Some("k1".to_owned()), None, Some("another".to_owned())] {
                let header = Header { kid, ..Header::new(algorithm) };
                let token =
                    jsonwebtoken::encode(&header, &ann(), &EncodingKey::from_secret(&secret)).unwrap();
                assert!(tokens.verify(&token).is_err(), "{header:?}");
            }
        }
    }
}

#[test]
fn a_token_cannot_do_without_a_signature_or_bring_its_own_key() {
    let tokens = tokens_of(&[Issuer::new("ES256").called("k1").jwk()]);
    for alg in ["none", "None", "NONE", "", "ES256"] {
        for kid in [json!("k1"), Value::Null] {
            let token = joined(&json!({"alg": alg, "kid": kid}), &ann(), b"");
            assert!(tokens.verify(&token).is_err(), "{alg}");
        }
    }
    // Signed by a stranger, who sends along what to check it with.
    let stranger = Issuer::another().called("k1");
    let jwk = Some(serde_json::from_value(stranger.jwk()).unwrap());
    let jku = Some("https://evil.example/jwks".to_owned());
    for header in [Header { jwk, ..stranger.header() }, Header { jku, ..stranger.header() }] {
        assert!(is_invalid(&tokens.verify(&stranger.sign_with(&header, &ann()))));
    }
}

#[test]
fn the_header_does_not_turn_a_key_into_one_of_another_kind() {
    let issuer = Issuer::new("ES256").called("k1");
    let tokens = tokens_of(&[issuer.jwk(), Issuer::new("RS256").called("k2").jwk()]);
    let signature =
        issuer.sign(&ann()).rsplit('.').next().map(|part| URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
    for alg in ["RS256", "PS256", "HS256", "ES384", "EdDSA"] {
        let token = joined(&json!({"alg": alg, "kid": "k1"}), &ann(), &signature);
        assert!(is_invalid(&tokens.verify(&token)), "{alg}");
    }
    assert!(is_invalid(&tokens.verify(&issuer.clone().called("k2").sign(&ann()))), "the key of another name");
}
