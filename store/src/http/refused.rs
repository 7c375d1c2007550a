//! Why a question is not answered, and how that is said.

use http::StatusCode;
use kernel::{
    conversation::Refusal,
    history::{HistoryError, ReachError},
};
use schemas::Answer;
use warp::reply::Response;

/// Seconds after which a question that cannot be answered now is worth asking again.
const RETRY_AFTER_S: u32 = 1;

/// Why a question is not answered.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// The question itself is not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// The law of the conversation speaks against it.
    #[error(transparent)]
    Law(#[from] Refusal),
    /// The history lags behind the log.
    #[error("the history lags behind; ask again in a moment")]
    Behind,
    /// The history does not answer.
    #[error("the history cannot be read now; ask again in a moment")]
    Unavailable,
}

impl Refused {
    pub(super) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid(reason.into())
    }

    pub(super) fn into_response(self) -> Response {
        let (status, code) = match &self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "invalid"),
            Self::Law(Refusal::UnknownConversation) => {
                (StatusCode::NOT_FOUND, Refusal::UnknownConversation.code())
            }
            Self::Law(refusal) => (StatusCode::FORBIDDEN, refusal.code()),
            Self::Behind => (StatusCode::SERVICE_UNAVAILABLE, "history_behind"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        };
        let answer = Answer::refusal(status, code, self.to_string());
        let answer = if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.retry_after(RETRY_AFTER_S)
        } else {
            answer
        };
        answer.into_response().map(Into::into)
    }
}

// What is wrong inside is for the operator and is logged here; the one who asks is told what to do.
impl From<HistoryError> for Refused {
    fn from(error: HistoryError) -> Self {
        tracing::error!(%error, "a question cannot be answered");
        Self::Unavailable
    }
}

impl From<ReachError> for Refused {
    fn from(error: ReachError) -> Self {
        match error {
            ReachError::Behind { .. } => {
                tracing::warn!(%error, "a question waited in vain");
                Self::Behind
            }
            ReachError::History(error) => error.into(),
        }
    }
}
