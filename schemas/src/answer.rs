//! The envelope of every HTTP answer: `{"code","message","data"}`.
//!
//! `code` is `"ok"` or the stable name of a refusal, for programs; `message` says what happened and what to
//! do, for people; `data` is the result, `null` on a refusal. The HTTP status agrees with `code`.

use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;

/// What a program reads in `code` when all went well.
pub const OK: &str = "ok";

/// One answer, ready to be sent.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    status: StatusCode,
    code: &'static str,
    message: String,
    data: Option<T>,
    /// Seconds after which to try again, for answers where that helps.
    retry_after_s: Option<u32>,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    code: &'a str,
    message: &'a str,
    data: Option<&'a T>,
}

impl<T: Serialize> Answer<T> {
    /// 200 with `data`.
    pub fn ok(data: T) -> Self {
        Self::success(StatusCode::OK, data)
    }

    /// 201 with `data`: something new stands in the log.
    pub fn created(data: T) -> Self {
        Self::success(StatusCode::CREATED, data)
    }

    /// A refusal that comes with `data`.
    pub fn refusal_with(status: StatusCode, code: &'static str, message: impl Into<String>, data: T) -> Self {
        Self { status, code, message: message.into(), data: Some(data), retry_after_s: None }
    }

    fn success(status: StatusCode, data: T) -> Self {
        Self { status, code: OK, message: OK.to_owned(), data: Some(data), retry_after_s: None }
    }

    /// The HTTP response.
    pub fn into_response(self) -> Response<Vec<u8>> {
        let envelope = Envelope { code: self.code, message: &self.message, data: self.data.as_ref() };
        // Plain structs with string keys: nothing that JSON cannot write.
        let body = serde_json::to_vec(&envelope).unwrap_or_default();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl Answer<()> {
    /// A refusal: nothing happened.
    pub fn refusal(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None, retry_after_s: None }
    }

    /// The same, telling the caller to try again after so many seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_carry_the_three_fields() {
        let response = Answer::created(serde_json::json!({"offset": 1})).into_response();
        assert_eq!(response.status(), 201);
        assert_eq!(response.body(), br#"{"code":"ok","message":"ok","data":{"offset":1}}"#);
        let response = Answer::refusal(StatusCode::SERVICE_UNAVAILABLE, "log_unavailable", "try again")
            .retry_after(1)
            .into_response();
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.body(), br#"{"code":"log_unavailable","message":"try again","data":null}"#);
    }
}
