//! What a token says, and what follows from it.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use schemas::{ConversationId, Timestamp, UserId};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Number;

use super::{ADMIN_SCOPE, Identity, LEEWAY_S, SubscriptionGrant, TokenError};
use crate::clock::{Clock, SystemClock};

/// Whole seconds since 1970. Issuers may write fractions (RFC 7519, 2), which are cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Number")]
pub(super) struct NumericDate(i64);

impl NumericDate {
    pub(super) fn of(at: Timestamp) -> Self {
        Self(at.as_millis() / 1_000)
    }

    pub(super) fn after(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

impl From<Number> for NumericDate {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "what is out of range is the end of time, or its beginning"
    )]
    fn from(number: Number) -> Self {
        Self(number.as_i64().or_else(|| number.as_f64().map(|seconds| seconds as i64)).unwrap_or_default())
    }
}

impl From<NumericDate> for Timestamp {
    fn from(NumericDate(seconds): NumericDate) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }
}

/// The claims that count here. Who the token is for and when it is valid, the library checks.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Claims {
    pub(super) sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exp: Option<NumericDate>,
    /// When a session that showed the token needs a new one, where that is not when the token ends; 0: never.
    #[serde(default, skip_serializing)]
    pub(super) expire_at: Option<NumericDate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iat: Option<NumericDate>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) scope: String,
    /// The conversation of a subscription token, which must not open a connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<String>,
    /// In a subscription token: the one session that may show it.
    #[serde(default, skip_serializing)]
    pub(super) client: Option<IgnoredAny>,
}

impl Claims {
    pub(super) fn new(user: &UserId, now: Timestamp, ttl_s: Option<i64>) -> Self {
        let iat = NumericDate::of(now);
        Self {
            sub: user.to_string(),
            exp: ttl_s.map(|ttl_s| iat.after(ttl_s)),
            expire_at: None,
            iat: Some(iat),
            scope: String::new(),
            channel: None,
            client: None,
        }
    }

    /// What a token says that `key` has signed; `None`: another one has. Whether key and algorithm go together was asked
    /// before.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub(super) fn signed_by(
        key: &DecodingKey,
        token: &str,
        algorithm: Algorithm,
        validation: &Validation,
    ) -> Option<Result<Self, TokenError>> {
        let validation = Validation { algorithms: vec![algorithm], ..validation.clone() };
        match jsonwebtoken::decode::<Self>(token, key, &validation) {
            Ok(decoded) => Some(decoded.claims.unless_over()),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => None,
            Err(error) => Some(Err(refusal(error.kind()))),
        }
    }

    fn unless_over(self) -> Result<Self, TokenError> {
        let NumericDate(now) = NumericDate::of(SystemClock.now());
        let is_over = |NumericDate(end)| end.saturating_add(LEEWAY_S) < now;
        if self.lasts_until().is_some_and(is_over) { Err(TokenError::Expired) } else { Ok(self) }
    }

    /// Whom it makes of the one who shows it.
    ///
    /// # Errors
    /// It is for a subscription, or names nobody.
    pub(super) fn identity(&self) -> Result<Identity, TokenError> {
        if self.channel.is_some() {
            return Err(TokenError::Misplaced("it is for a subscription, not for a connection"));
        }
        let user = self.sub.parse().map_err(|_| TokenError::Invalid("its sub is no user id"))?;
        let admin = self.scope.split(' ').any(|scope| scope == ADMIN_SCOPE);
        Ok(Identity { user, admin, expires_at: self.lasts_until().map(Into::into) })
    }

    /// What it allows `user` to read.
    ///
    /// # Errors
    /// It is for a connection, for somebody else, or for one session alone.
    pub(super) fn grant(&self, user: &UserId) -> Result<SubscriptionGrant, TokenError> {
        let Some(channel) = &self.channel else {
            return Err(TokenError::Misplaced("it is for a connection, not for a subscription"));
        };
        if self.sub != user.as_str() {
            return Err(TokenError::Misplaced("it is for another user"));
        }
        if self.client.is_some() {
            return Err(TokenError::Invalid("it is bound to one session (client), which is not supported"));
        }
        let conversation: ConversationId =
            channel.parse().map_err(|_| TokenError::Invalid("its channel is no conversation id"))?;
        Ok(SubscriptionGrant { conversation, expires_at: self.lasts_until().map(Into::into) })
    }

    fn lasts_until(&self) -> Option<NumericDate> {
        match self.expire_at {
            Some(NumericDate(0)) => None,
            said => said.or(self.exp),
        }
    }
}

pub(super) const MALFORMED: TokenError = TokenError::Invalid("it is malformed");

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::NotYet,
        ErrorKind::InvalidAudience => TokenError::Invalid("it is for another audience (aud)"),
        ErrorKind::InvalidIssuer => TokenError::Invalid("it is of another issuer (iss)"),
        ErrorKind::MissingRequiredClaim(_) => TokenError::Invalid(
            "it must name its user (sub) and, where they are expected, its audience and issuer",
        ),
        _ => MALFORMED,
    }
}
