//! Tokens that are to pass and tokens that are not, each for its own reason.

use jsonwebtoken::Header;
use serde_json::{Value, json};

use super::*;
use crate::{
    clock::{Clock, SystemClock},
    testing::issuer::{Issuer, RSA_PUBLIC_PEM, jwks},
};

mod algorithms;
mod claims;
mod key_set;
mod local;
mod rotation;
mod subscriptions;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn key() -> TokenKey {
    TokenKey::new(SECRET)
}

/// What checks tokens where these are the issuer's keys.
fn tokens_of(keys: &[Value]) -> Tokens {
    tokens_expecting(&Expected::default(), keys)
}

fn tokens_expecting(expected: &Expected, keys: &[Value]) -> Tokens {
    let tokens = Tokens::new(key(), expected);
    tokens.replace(KeySet::parse(jwks(keys).as_bytes()).unwrap());
    tokens
}

fn ann() -> Value {
    json!({"sub": "ann"})
}

/// So many seconds from now.
fn in_seconds(seconds: i64) -> i64 {
    SystemClock.now().as_millis() / 1_000 + seconds
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

/// The same document with these fields in place of its own.
fn with(value: Value, fields: Value) -> Value {
    let (Value::Object(mut value), Value::Object(fields)) = (value, fields) else { panic!("no objects") };
    value.extend(fields);
    value.into()
}

fn is_invalid<T>(result: &Result<T, TokenError>) -> bool {
    matches!(result, Err(TokenError::Invalid(_)))
}
