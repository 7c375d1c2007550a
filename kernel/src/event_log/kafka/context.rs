//! What librdkafka says, into our logs: each trouble once, not once per attempt.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::ConsumerContext,
    error::{KafkaError, RDKafkaErrorCode},
};

/// How long the same trouble is not told again.
const REPEAT_PAUSE: Duration = Duration::from_secs(30);

/// The ear of one client.
#[derive(Debug)]
pub(crate) struct Told {
    /// What the client is for.
    role: &'static str,
    last: Mutex<Option<(RDKafkaErrorCode, Instant)>>,
}

impl Told {
    pub(crate) fn of(role: &'static str) -> Self {
        Self { role, last: Mutex::new(None) }
    }

    /// Whether this was not said a moment ago.
    fn is_news(&self, code: RDKafkaErrorCode) -> bool {
        let mut last = self.last.lock();
        let old = last.is_some_and(|(said, at)| said == code && at.elapsed() < REPEAT_PAUSE);
        if !old {
            *last = Some((code, Instant::now()));
        }
        !old
    }
}

impl ClientContext for Told {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let role = self.role;
        match level {
            // What went wrong comes as an error too, with its code.
            _ if ["FAIL", "ERROR"].contains(&facility) => {
                tracing::debug!(role, facility, message, "kafka client");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::error!(role, facility, message, "kafka client");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(role, facility, message, "kafka client"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::debug!(role, facility, message, "kafka client");
            }
            RDKafkaLogLevel::Debug => tracing::trace!(role, facility, message, "kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let role = self.role;
        match error.rdkafka_error_code() {
            Some(code) if self.is_news(code) => tracing::warn!(role, %code, reason, "trouble with kafka"),
            _ => tracing::debug!(role, %error, reason, "trouble with kafka"),
        }
    }
}

impl ConsumerContext for Told {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_trouble_is_told_once() {
        let told = Told::of("test");
        let (down, timeout) = (RDKafkaErrorCode::BrokerTransportFailure, RDKafkaErrorCode::OperationTimedOut);
        let news = [down, down, timeout, timeout, down].map(|code| told.is_news(code));
        assert_eq!(news, [true, false, true, false, true]);
    }
}
