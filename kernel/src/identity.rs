//! From a token to who may do what.
//!
//! A token is a JWT. Its `sub` is the user; the scope `admin` lets one read, import and export conversations of
//! others. The algorithm is pinned to the key: a token cannot choose how it is checked (RFC 8725, 3.1).

use std::{fmt, sync::Once};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, errors::ErrorKind};
use schemas::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// The scope that lets one act on conversations of others.
pub const ADMIN_SCOPE: &str = "admin";
/// Longest token that is looked at, in bytes.
pub const TOKEN_LEN_MAX: usize = 8 * 1_024;
/// How far the clocks of those who make and check tokens may differ, in seconds.
const LEEWAY_S: u64 = 5;

/// Somebody who has proved to be this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub user: UserId,
    /// Whether the token carries the scope `admin`.
    pub admin: bool,
    /// When the token ends; `None`: never.
    pub expires_at: Option<Timestamp>,
}

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is over; a new one is needed.
    #[error("the token has expired; get a new one")]
    Expired,
    /// It is not yet valid.
    #[error("the token is not valid yet (nbf)")]
    NotYet,
    /// Not a token, or not signed by our key.
    #[error("the token is not valid: {0}")]
    Invalid(&'static str),
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    scope: String,
    /// Only subscription tokens name a channel; they must not open a connection.
    #[serde(default, skip_serializing)]
    channel: Option<String>,
}

/// Checks and makes tokens with one shared secret (HS256).
pub struct TokenKey {
    decoding: DecodingKey,
    encoding: EncodingKey,
    validation: Validation,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// jsonwebtoken asks for a provider of cryptography once in a process, and panics if a dependency
/// switched a second one on; naming it here leaves nothing to chance.
fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error says that one is installed already, which is as good.
        let _ = jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER.install_default();
    });
}

impl TokenKey {
    /// A key from a secret of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        install_crypto();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["sub"]);
        Self {
            decoding: DecodingKey::from_secret(secret),
            encoding: EncodingKey::from_secret(secret),
            validation,
        }
    }

    /// Who a token speaks for.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        if token.len() > TOKEN_LEN_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &self.validation)
            .map_err(|error| match error.kind() {
                ErrorKind::ExpiredSignature => TokenError::Expired,
                ErrorKind::ImmatureSignature => TokenError::NotYet,
                ErrorKind::InvalidSignature => TokenError::Invalid("the signature does not match"),
                ErrorKind::InvalidAlgorithm => TokenError::Invalid("another algorithm than the key's"),
                _ => TokenError::Invalid("it is malformed"),
            })?
            .claims;
        if claims.channel.is_some() {
            return Err(TokenError::Invalid("it is for a subscription, not for a connection"));
        }
        let user = claims.sub.parse().map_err(|_| TokenError::Invalid("its sub is no user id"))?;
        let admin = claims.scope.split(' ').any(|scope| scope == ADMIN_SCOPE);
        let expires_at = claims.exp.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000)));
        Ok(Identity { user, admin, expires_at })
    }

    /// A token for `user`, valid for `ttl_s` seconds from `now` (`None`: for ever).
    ///
    /// # Errors
    /// Never in practice: the claims are plain text and numbers.
    pub fn mint(
        &self,
        user: &UserId,
        admin: bool,
        now: Timestamp,
        ttl_s: Option<i64>,
    ) -> Result<String, TokenError> {
        let iat = now.as_millis() / 1_000;
        let claims = Claims {
            sub: user.to_string(),
            exp: ttl_s.map(|ttl_s| iat.saturating_add(ttl_s)),
            iat: Some(iat),
            scope: if admin { ADMIN_SCOPE.to_owned() } else { String::new() },
            channel: None,
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.encoding)
            .map_err(|_| TokenError::Invalid("it cannot be written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, SystemClock};

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

    fn mint(ttl_s: Option<i64>, admin: bool) -> String {
        TokenKey::new(SECRET).mint(&"ann".parse().unwrap(), admin, SystemClock.now(), ttl_s).unwrap()
    }

    /// A token with this header and these claims, signed with `algorithm` and `secret`.
    fn forge(algorithm: Algorithm, claims: &serde_json::Value, secret: &[u8]) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
    }

    #[test]
    fn a_token_speaks_for_its_user() {
        let key = TokenKey::new(SECRET);
        let identity = key.verify(&mint(Some(60), false)).unwrap();
        assert_eq!((identity.user.as_str(), identity.admin), ("ann", false));
        assert!(identity.expires_at.is_some());
        let identity = key.verify(&mint(None, true)).unwrap();
        assert!(identity.admin);
        assert_eq!(identity.expires_at, None);
    }

    #[test]
    fn what_is_over_or_not_ours_is_refused() {
        let key = TokenKey::new(SECRET);
        assert_eq!(key.verify(&mint(Some(-60), false)), Err(TokenError::Expired));
        let other = TokenKey::new(b"another secret of thirty-two byte");
        assert!(matches!(other.verify(&mint(None, false)), Err(TokenError::Invalid(_))));
        for junk in ["", "a.b.c", "junk", &"x".repeat(TOKEN_LEN_MAX + 1)] {
            assert!(matches!(key.verify(junk), Err(TokenError::Invalid(_))));
        }
    }

    #[test]
    fn a_token_cannot_choose_how_it_is_checked() {
        let key = TokenKey::new(SECRET);
        let claims = serde_json::json!({"sub": "ann"});
        assert!(key.verify(&forge(Algorithm::HS256, &claims, SECRET)).is_ok());
        assert!(key.verify(&forge(Algorithm::HS512, &claims, SECRET)).is_err());
        // {"alg":"none"} . {"sub":"ann"} . no signature
        assert!(key.verify("eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4ifQ.").is_err());
    }

    #[test]
    fn claims_that_do_not_fit_are_refused() {
        let key = TokenKey::new(SECRET);
        for claims in [
            serde_json::json!({}),
            serde_json::json!({"sub": ""}),
            serde_json::json!({"sub": "a b"}),
            serde_json::json!({"sub": "ann", "channel": "tea"}),
            serde_json::json!({"sub": "ann", "exp": "soon"}),
        ] {
            assert!(key.verify(&forge(Algorithm::HS256, &claims, SECRET)).is_err(), "{claims}");
        }
        let later = SystemClock.now().as_millis() / 1_000 + 600;
        let claims = serde_json::json!({"sub": "ann", "nbf": later});
        assert_eq!(key.verify(&forge(Algorithm::HS256, &claims, SECRET)), Err(TokenError::NotYet));
    }
}
