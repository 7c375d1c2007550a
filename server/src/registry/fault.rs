//! Why a question has no answer, with the codes that clients of a schema registry know.

use std::fmt;

use http::StatusCode;
use serde::Serialize;

/// A refusal. Asking again does not help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) body: FaultBody,
}

/// The same as its body says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct FaultBody {
    pub(super) error_code: u32,
    pub(super) message: String,
}

impl Fault {
    fn new(status: StatusCode, error_code: u32, message: String) -> Self {
        Self { status, body: FaultBody { error_code, message } }
    }

    pub(super) fn no_subject(subject: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, 40_401, format!("Subject '{subject}' not found."))
    }

    pub(super) fn no_version(version: u32) -> Self {
        Self::new(StatusCode::NOT_FOUND, 40_402, format!("Version {version} not found."))
    }

    pub(super) fn no_schema() -> Self {
        Self::new(StatusCode::NOT_FOUND, 40_403, "Schema not found".to_owned())
    }

    pub(super) fn no_schema_with(id: u32) -> Self {
        Self::new(StatusCode::NOT_FOUND, 40_403, format!("Schema {id} not found"))
    }

    pub(super) fn no_compatibility_of(subject: &str) -> Self {
        let message = format!("Subject '{subject}' does not have subject-level compatibility configured");
        Self::new(StatusCode::NOT_FOUND, 40_408, message)
    }

    pub(super) fn no_mode_of(subject: &str) -> Self {
        let message = format!("Subject '{subject}' does not have subject-level mode configured");
        Self::new(StatusCode::NOT_FOUND, 40_409, message)
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, 400, format!("the body is no schema request: {error}"))
    }

    pub(super) fn invalid_schema(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 42_201, format!("Invalid schema: {reason}"))
    }

    pub(super) fn invalid_version(version: &str) -> Self {
        let message = format!(
            "The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] \
             and the string \"latest\""
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 42_202, message)
    }

    pub(super) fn read_only() -> Self {
        let message =
            "this registry is in read-only mode: it serves the event schemas of Tidings and takes no others";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, 42_205, message.to_owned())
    }

    pub(super) fn no_address() -> Self {
        Self::new(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found".to_owned())
    }

    pub(super) fn body(status: StatusCode, message: &str) -> Self {
        Self::new(status, u32::from(status.as_u16()), message.to_owned())
    }
}
