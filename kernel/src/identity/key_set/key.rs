//! One key of an issuer, and the algorithms that go with it.

use std::fmt;

use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind,
    crypto::rust_crypto::DEFAULT_PROVIDER,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};

/// Bits of an RSA modulus: fewer are not safe (RFC 7518, 3.3), with more the library does not check.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=4_096;
/// Bytes of a public key on Ed25519.
const ED25519_LEN: usize = 32;

/// See the module.
pub(in crate::identity) struct Key {
    id: Option<String>,
    /// At least one, of one family.
    algorithms: Vec<Algorithm>,
    decoding: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// What a JWK is good for: its kind and curve say which algorithms it could go with, its `alg` which one it does.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn of(jwk: &Jwk) -> Result<Self, &'static str> {
        is_for_signatures(jwk)?;
        let possible = algorithms_of(&jwk.algorithm)?;
        let algorithms = match jwk.common.key_algorithm.map(Algorithm::try_from) {
            None if possible.contains(&Algorithm::HS256) => {
                return Err("a secret that does not say its alg could be taken for another");
            }
            None => possible,
            Some(Ok(algorithm)) if possible.contains(&algorithm) => vec![algorithm],
            Some(_) => return Err("its alg does not go with its kty and crv, or is not supported"),
        };
        let decoding = DecodingKey::from_jwk(jwk).map_err(|_| "it is not well formed")?;
        for algorithm in &algorithms {
            check(&decoding, *algorithm)?;
        }
        Ok(Self { id: jwk.common.key_id.clone(), algorithms, decoding })
    }

    pub(in crate::identity) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    pub(super) fn goes_with(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

fn is_for_signatures(jwk: &Jwk) -> Result<(), &'static str> {
    let other_use = |found: &PublicKeyUse| *found != PublicKeyUse::Signature;
    let other_operations = |found: &Vec<KeyOperations>| !found.contains(&KeyOperations::Verify);
    if jwk.common.public_key_use.as_ref().is_some_and(other_use)
        || jwk.common.key_operations.as_ref().is_some_and(other_operations)
    {
        return Err("it is not for checking signatures");
    }
    Ok(())
}

fn algorithms_of(parameters: &AlgorithmParameters) -> Result<Vec<Algorithm>, &'static str> {
    let unsupported = Err("its kind (kty, crv) is not supported");
    match parameters {
        AlgorithmParameters::RSA(_) => Ok(AlgorithmFamily::Rsa.algorithms().to_vec()),
        AlgorithmParameters::OctetKey(_) => Ok(AlgorithmFamily::Hmac.algorithms().to_vec()),
        AlgorithmParameters::EllipticCurve(point) => match point.curve {
            EllipticCurve::P256 => Ok(vec![Algorithm::ES256]),
            EllipticCurve::P384 => Ok(vec![Algorithm::ES384]),
            _ => unsupported,
        },
        AlgorithmParameters::OctetKeyPair(point) if point.curve == EllipticCurve::Ed25519 => {
            Ok(vec![Algorithm::EdDSA])
        }
        _ => unsupported,
    }
}

/// Whether the key is as it must be, so that no token meets one that is not: the library looks at keys only when it checks
/// a token, and panics on a short one on Ed25519.
fn check(key: &DecodingKey, algorithm: Algorithm) -> Result<(), &'static str> {
    let sound = match (key.kind(), algorithm) {
        (DecodingKeyKind::RsaModulusExponent { n, .. }, _) => RSA_BITS.contains(&bits(n)),
        (DecodingKeyKind::SecretOrDer(key), Algorithm::EdDSA) => key.len() == ED25519_LEN,
        // At least as long as the hash (RFC 7518, 3.2).
        (DecodingKeyKind::SecretOrDer(secret), Algorithm::HS256) => secret.len() >= 32,
        (DecodingKeyKind::SecretOrDer(secret), Algorithm::HS384) => secret.len() >= 48,
        (DecodingKeyKind::SecretOrDer(secret), Algorithm::HS512) => secret.len() >= 64,
        (DecodingKeyKind::SecretOrDer(_), _) => true,
    };
    if !sound {
        return Err("it is too short or too long");
    }
    (DEFAULT_PROVIDER.verifier_factory)(&algorithm, key).map(drop).map_err(|_| "it is no point on its curve")
}

/// Bits of a number, its highest byte first.
fn bits(number: &[u8]) -> usize {
    let significant = number.iter().skip_while(|byte| **byte == 0);
    let mut significant = significant.peekable();
    let highest = significant.peek().map_or(0, |byte| byte.leading_zeros() as usize);
    significant.count() * 8 - highest
}
