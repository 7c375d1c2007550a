//! The local key: one secret that signs and checks (HS256).

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use schemas::{ConversationId, Timestamp, UserId};

use super::{ADMIN_SCOPE, TokenError, claims::Claims, install_crypto};

/// See the module.
pub struct TokenKey {
    decoding: DecodingKey,
    encoding: EncodingKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// The one algorithm it signs with, and is good for.
    pub(super) const ALGORITHM: Algorithm = Algorithm::HS256;

    /// A key from a secret of at least 32 bytes.
    pub fn new(secret: &[u8]) -> Self {
        install_crypto();
        Self { decoding: DecodingKey::from_secret(secret), encoding: EncodingKey::from_secret(secret) }
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
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
        let scope = if admin { ADMIN_SCOPE.to_owned() } else { String::new() };
        self.sign(&Claims { scope, ..Claims::new(user, now, ttl_s) })
    }

    /// A token that lets `user` read `conversation`, for `ttl_s` seconds from `now` (`None`: for ever).
    ///
    /// # Errors
    /// As [`TokenKey::mint`].
    pub fn mint_subscription(
        &self,
        user: &UserId,
        conversation: &ConversationId,
        now: Timestamp,
        ttl_s: Option<i64>,
    ) -> Result<String, TokenError> {
        let channel = Some(conversation.to_string());
        self.sign(&Claims { channel, ..Claims::new(user, now, ttl_s) })
    }

    fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        jsonwebtoken::encode(&Header::new(Self::ALGORITHM), claims, &self.encoding)
            .map_err(|_| TokenError::Invalid("it cannot be written"))
    }
}
