//! Why a request was not done, as HTTP says it.

use http::StatusCode;
use kernel::{
    command::{CommandError, wire::WireError},
    conversation::Refusal,
};
use schemas::Answer;

/// Seconds after which to try again what may be possible then.
const RETRY_AFTER_S: u32 = 1;

/// Why a request was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// What it says.
    Wire(WireError),
    /// Its body is longer than it may be.
    TooLarge {
        /// How many bytes it may have.
        max: u64,
    },
    /// Its body took too long.
    TooSlow,
    /// Its body came to no end.
    BrokenOff,
    /// Its body is compressed.
    Encoding,
    /// Only admins may ask for it.
    AdminOnly,
    /// The command.
    Command(CommandError),
}

impl From<WireError> for Fault {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<CommandError> for Fault {
    fn from(error: CommandError) -> Self {
        Self::Command(error)
    }
}

impl Fault {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Wire(WireError::UnknownMethod) => StatusCode::NOT_FOUND,
            Self::Wire(_) | Self::BrokenOff => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::AdminOnly => StatusCode::FORBIDDEN,
            Self::Command(error) => status_of(error),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Wire(error) => error.code(),
            Self::BrokenOff => "bad_json",
            Self::TooLarge { .. } => "body_too_large",
            Self::TooSlow => "body_too_slow",
            Self::Encoding => "unsupported_encoding",
            Self::AdminOnly => "admin_only",
            Self::Command(error) => error.code(),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Wire(error) => error.to_string(),
            Self::BrokenOff => "the body broke off".to_owned(),
            Self::TooLarge { max } => format!("the body has more than {max} bytes"),
            Self::TooSlow => "the body took too long; send it faster".to_owned(),
            Self::Encoding => "the body is compressed; send it as it is".to_owned(),
            Self::AdminOnly => "a token with the scope admin is needed".to_owned(),
            Self::Command(error) => error.for_client(),
        }
    }

    /// The answer that says so.
    pub(super) fn answer(&self) -> Answer<()> {
        let answer = Answer::refusal(self.status(), self.code(), self.message());
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            answer.retry_after(RETRY_AFTER_S)
        } else {
            answer
        }
    }
}

fn status_of(error: &CommandError) -> StatusCode {
    match error {
        CommandError::Refused(refusal) => status_of_refusal(*refusal),
        CommandError::Invalid(_) => StatusCode::BAD_REQUEST,
        CommandError::Unavailable { .. } | CommandError::Unknown { .. } => StatusCode::SERVICE_UNAVAILABLE,
    }
}

const fn status_of_refusal(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::NothingToChange => StatusCode::BAD_REQUEST,
        Refusal::NotAMember | Refusal::Removed | Refusal::RoleTooLow | Refusal::NotTheAuthor => {
            StatusCode::FORBIDDEN
        }
        Refusal::UnknownConversation | Refusal::UnknownMessage | Refusal::NoSuchMember => {
            StatusCode::NOT_FOUND
        }
        Refusal::ConversationExists
        | Refusal::IdTaken
        | Refusal::LastOwner
        | Refusal::Archived
        | Refusal::Redacted
        | Refusal::Full => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fault: impl Into<Fault>) -> (u16, String, bool) {
        let response = fault.into().answer().into_response();
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert!(!body["message"].as_str().unwrap().is_empty());
        let code = body["code"].as_str().unwrap().to_owned();
        (response.status().as_u16(), code, response.headers().contains_key("retry-after"))
    }

    #[test]
    fn each_refusal_has_the_status_that_is_documented() {
        let documented = include_str!("../../../docs/http.md");
        let refusals = [
            Refusal::UnknownConversation,
            Refusal::ConversationExists,
            Refusal::NotAMember,
            Refusal::Removed,
            Refusal::RoleTooLow,
            Refusal::NoSuchMember,
            Refusal::LastOwner,
            Refusal::Archived,
            Refusal::UnknownMessage,
            Refusal::NotTheAuthor,
            Refusal::Redacted,
            Refusal::IdTaken,
            Refusal::Full,
            Refusal::NothingToChange,
        ];
        let faults = refusals.into_iter().map(|refusal| Fault::Command(refusal.into())).chain([
            Fault::Command(CommandError::Invalid("x".to_owned())),
            Fault::Command(CommandError::Unavailable { reason: String::new() }),
            Fault::Command(CommandError::Unknown { reason: String::new() }),
            Fault::Wire(WireError::UnknownMethod),
            Fault::Wire(WireError::BadJson("x".to_owned())),
            Fault::Wire(WireError::Invalid("x".to_owned())),
            Fault::TooLarge { max: 1 },
            Fault::TooSlow,
            Fault::BrokenOff,
            Fault::Encoding,
            Fault::AdminOnly,
        ]);
        for fault in faults {
            let (status, code, retry) = told(fault);
            let row = documented.lines().find(|line| line.starts_with(&format!("| {status}"))).unwrap();
            assert!(row.contains(&format!("`{code}`")), "{code} under {status}");
            assert_eq!(retry, status == 503, "{code}");
        }
    }
}
