//! Which key a token is checked with, and what is expected of it.

use std::{collections::HashSet, fmt, sync::Arc, time::Duration};

use futures_util::FutureExt;
use jsonwebtoken::{Algorithm, Header, Validation};
use parking_lot::RwLock;
use schemas::{ConversationId, UserId};
use tokio::{sync::Notify, time::Instant};

use super::{
    Identity, KeySet, LEEWAY_S, SubscriptionGrant, TOKEN_LEN_MAX, TokenError, TokenKey,
    claims::{Claims, MALFORMED},
};

/// Shortest time between two readings of the key set. For as long, what was read is taken for the latest.
pub const KEY_SET_PAUSE: Duration = Duration::from_secs(10);
/// How many keys of a set are tried for a token that names none.
const TRIES_MAX: usize = 8;
/// The kinds of token that are looked at (`typ`); without one it is a JWT. Others are made for other purposes, such as telling
/// that somebody logged out, and would pass in every other respect (RFC 8725, 3.11).
const KINDS: [&str; 3] = ["JWT", "at+jwt", "application/at+jwt"];

const NOT_SIGNED: TokenError = TokenError::Invalid("no key that goes with its algorithm has signed it");

/// What a token must say beside who it is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expected {
    /// One of these must be among its `aud`; if there are none, it may be for anybody.
    pub audiences: Vec<String>,
    /// Who must have issued it (`iss`); `None`: anybody.
    pub issuer: Option<String>,
}

/// Checks tokens: those of the local key, and those of an issuer whose keys are brought with [`Tokens::replace`].
///
/// Tokens of the issuer must say what is expected. Those of the local key, which is for this service alone, may leave it out.
pub struct Tokens {
    local: TokenKey,
    of_local: Validation,
    of_issuer: Validation,
    /// `None`: there is no issuer.
    held: RwLock<Option<Arc<Held>>>,
    awaited: Notify,
}

/// A key set, and when it was read.
struct Held {
    keys: KeySet,
    read_at: Instant,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("keys", &self.keys_len()).finish_non_exhaustive()
    }
}

impl From<TokenKey> for Tokens {
    /// Only those of the local key, whatever else they say.
    fn from(local: TokenKey) -> Self {
        Self::new(local, &Expected::default())
    }
}

impl Tokens {
    /// Those of the local key, until there is a key set.
    pub fn new(local: TokenKey, expected: &Expected) -> Self {
        let of_local = validation(expected);
        let mut of_issuer = of_local.clone();
        if of_issuer.validate_aud {
            of_issuer.required_spec_claims.insert("aud".to_owned());
        }
        if of_issuer.iss.is_some() {
            of_issuer.required_spec_claims.insert("iss".to_owned());
        }
        Self { local, of_local, of_issuer, held: RwLock::default(), awaited: Notify::new() }
    }

    /// The key that makes tokens.
    pub fn local(&self) -> &TokenKey {
        &self.local
    }

    /// From here on these are the issuer's keys, just read, and no others.
    pub fn replace(&self, keys: KeySet) {
        *self.held.write() = Some(Arc::new(Held { keys, read_at: Instant::now() }));
        // What was asked for until now is answered.
        let _ = self.awaited.notified().now_or_never();
    }

    /// How many keys the issuer has; `None`: there is no issuer.
    pub fn keys_len(&self) -> Option<usize> {
        self.held.read().as_ref().map(|held| held.keys.len())
    }

    /// Resolves when a token was met, since [`Tokens::replace`], whose key may be a new one of the issuer.
    pub async fn key_awaited(&self) {
        self.awaited.notified().await;
    }

    /// Who a token speaks for.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        self.claims(token)?.identity()
    }

    /// What a token allows `user` to read. It must be `conversation`, where one is named.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub fn verify_subscription(
        &self,
        token: &str,
        user: &UserId,
        conversation: Option<&ConversationId>,
    ) -> Result<SubscriptionGrant, TokenError> {
        let grant = self.claims(token)?.grant(user)?;
        if conversation.is_some_and(|conversation| *conversation != grant.conversation) {
            return Err(TokenError::Misplaced("it is for another conversation"));
        }
        Ok(grant)
    }

    /// What a token says that a key has signed. If it names a key of the issuer, it must be that one; any other token may be
    /// signed by the local key, or by a key of the issuer that has no name.
    fn claims(&self, token: &str) -> Result<Claims, TokenError> {
        let Header { alg: algorithm, kid, .. } = header(token)?;
        let (held, id) = (self.held.read().clone(), kid.as_deref());
        if let (Some(held), Some(id)) = (&held, id)
            && held.keys.knows(id)
        {
            return self.signed_by_issuer(held, token, Some(id), algorithm).unwrap_or(Err(NOT_SIGNED));
        }
        if let Some(claims) = self.signed_by_local(token, algorithm) {
            return claims;
        }
        let Some(held) = held else { return Err(NOT_SIGNED) };
        if id.is_none() {
            if let Some(claims) = self.signed_by_issuer(&held, token, None, algorithm) {
                return claims;
            }
            // It claims to be ours.
            if algorithm == TokenKey::ALGORITHM {
                return Err(NOT_SIGNED);
            }
        }
        Err(self.unknown(&held))
    }

    fn signed_by_local(&self, token: &str, algorithm: Algorithm) -> Option<Result<Claims, TokenError>> {
        if algorithm != TokenKey::ALGORITHM {
            return None;
        }
        Claims::signed_by(self.local.decoding(), token, algorithm, &self.of_local)
    }

    fn signed_by_issuer(
        &self,
        held: &Held,
        token: &str,
        id: Option<&str>,
        algorithm: Algorithm,
    ) -> Option<Result<Claims, TokenError>> {
        let mut keys = held.keys.fitting(id, algorithm).take(TRIES_MAX);
        keys.find_map(|key| Claims::signed_by(key.decoding(), token, algorithm, &self.of_issuer))
    }

    fn unknown(&self, held: &Held) -> TokenError {
        if held.read_at.elapsed() < KEY_SET_PAUSE {
            return TokenError::UnknownKey;
        }
        self.awaited.notify_one();
        TokenError::Awaited
    }
}

fn header(token: &str) -> Result<Header, TokenError> {
    if token.len() > TOKEN_LEN_MAX {
        return Err(TokenError::Invalid("it is too long"));
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| MALFORMED)?;
    // What it calls critical must be understood (RFC 7515, 4.1.11), and the library does not look.
    if header.crit.is_some() {
        return Err(TokenError::Invalid("it demands what is not known here (crit)"));
    }
    let is_known = |kind: &String| KINDS.iter().any(|known| known.eq_ignore_ascii_case(kind));
    if !header.typ.as_ref().is_none_or(is_known) {
        return Err(TokenError::Invalid("it is of another kind (typ)"));
    }
    Ok(header)
}

/// What a token must be, whichever key signed it. The algorithm is set for each token.
fn validation(Expected { audiences, issuer }: &Expected) -> Validation {
    let mut validation = Validation::new(TokenKey::ALGORITHM);
    validation.leeway = LEEWAY_S.unsigned_abs();
    validation.validate_nbf = true;
    validation.validate_aud = !audiences.is_empty();
    validation.aud = Some(audiences.iter().cloned().collect());
    validation.iss = issuer.clone().map(|issuer| HashSet::from([issuer]));
    validation.set_required_spec_claims(&["sub"]);
    validation
}
