//! The codes by which clients decide what to do next. Ranges and meanings are the protocol's; a wrong one
//! ends a subscription or a connection for good.

/// An error in a reply. `temporary`: the client tries again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorCode {
    /// 100 to 399: the protocol's; 400 to 1999: ours.
    pub code: u32,
    /// What happened; never empty, clients rely on it.
    pub message: &'static str,
    /// Trying again may help.
    pub temporary: bool,
}

impl ErrorCode {
    const fn lasting(code: u32, message: &'static str) -> Self {
        Self { code, message, temporary: false }
    }

    const fn temporary(code: u32, message: &'static str) -> Self {
        Self { code, message, temporary: true }
    }

    /// Log or history are out of reach.
    pub const INTERNAL: Self = Self::temporary(100, "internal server error");
    /// The conversation does not exist.
    pub const UNKNOWN_CHANNEL: Self = Self::lasting(102, "unknown channel");
    /// The rules do not allow it to this user.
    pub const PERMISSION_DENIED: Self = Self::lasting(103, "permission denied");
    /// They do not allow it to this user any more.
    pub const REMOVED: Self = Self::lasting(103, "removed from the conversation");
    /// No such rpc method.
    pub const METHOD_NOT_FOUND: Self = Self::lasting(104, "method not found");
    /// More subscriptions than a session may have.
    pub const LIMIT_EXCEEDED: Self = Self::lasting(106, "limit exceeded");
    /// The request is malformed.
    pub const BAD_REQUEST: Self = Self::lasting(107, "bad request");
    /// Tidings does not offer this.
    pub const NOT_AVAILABLE: Self = Self::lasting(108, "not available");
    /// The client should get a new token and come back.
    pub const TOKEN_EXPIRED: Self = Self::lasting(109, "token expired");
    /// The position belongs to another log, and the client asked to be told.
    pub const UNRECOVERABLE_POSITION: Self = Self::lasting(112, "unrecoverable position");
    /// The message that the command is about does not exist.
    pub const UNKNOWN_MESSAGE: Self = Self::lasting(404, "unknown message or member");
    /// The command does not fit the state of the conversation.
    pub const CONFLICT: Self = Self::lasting(409, "conflict with the state of the conversation");
}

/// Why the server closes a connection. 3000 to 3499: the client comes back; 3500 to 3999: it stays away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Disconnect {
    /// The WebSocket close code.
    pub code: u16,
    /// The close reason: never empty and never JSON, at most 123 bytes; clients parse it.
    pub reason: &'static str,
}

impl Disconnect {
    const fn new(code: u16, reason: &'static str) -> Self {
        Self { code, reason }
    }

    /// The client closed the connection itself.
    pub const NORMAL: Self = Self::new(1000, "closed by the client");
    /// The bytes are no WebSocket frames.
    pub const PROTOCOL_ERROR: Self = Self::new(1002, "protocol error");
    /// A message was larger than allowed.
    pub const MESSAGE_TOO_LARGE: Self = Self::new(1009, "message too large");
    /// The node stops.
    pub const SHUTDOWN: Self = Self::new(3001, "shutdown");
    /// The token ended and was not refreshed in time.
    pub const EXPIRED: Self = Self::new(3005, "connection expired");
    /// A subscription token that was to replace another had ended already.
    pub const SUBSCRIPTION_EXPIRED: Self = Self::new(3006, "subscription expired");
    /// The socket failed.
    pub const WRITE_ERROR: Self = Self::new(3009, "write error");
    /// A ping was not answered.
    pub const NO_PONG: Self = Self::new(3012, "no pong");
    /// The token is not valid.
    pub const INVALID_TOKEN: Self = Self::new(3500, "invalid token");
    /// The client does not keep to the protocol.
    pub const BAD_REQUEST: Self = Self::new(3501, "bad request");
    /// No `connect` came in time.
    pub const STALE: Self = Self::new(3502, "stale");
    /// Binary frames on a JSON connection.
    pub const INAPPROPRIATE_PROTOCOL: Self = Self::new(3506, "inappropriate protocol");
}

/// Why the server ends a subscription. Below 2500: for good; from there on: the client subscribes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unsubscribe {
    /// The code.
    pub code: u32,
    /// What happened; never empty.
    pub reason: &'static str,
}

impl Unsubscribe {
    /// From this code on the client subscribes again.
    pub(super) const AGAIN_FROM: u32 = 2_500;

    /// The user may not read the conversation any more.
    pub const NOT_ALLOWED: Self = Self { code: 2000, reason: "you may not read this conversation any more" };
    /// The fill could not go on; the client's next subscribe continues from its position.
    pub const INSUFFICIENT_STATE: Self = Self { code: 2500, reason: "insufficient state" };
    /// The subscription token ended and was not refreshed in time; the client's next subscribe brings a new one.
    pub const EXPIRED: Self = Self { code: 2501, reason: "subscription expired" };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_reasons_are_neither_empty_nor_json() {
        for disconnect in [
            Disconnect::NORMAL,
            Disconnect::PROTOCOL_ERROR,
            Disconnect::MESSAGE_TOO_LARGE,
            Disconnect::SHUTDOWN,
            Disconnect::EXPIRED,
            Disconnect::SUBSCRIPTION_EXPIRED,
            Disconnect::WRITE_ERROR,
            Disconnect::NO_PONG,
            Disconnect::INVALID_TOKEN,
            Disconnect::BAD_REQUEST,
            Disconnect::STALE,
            Disconnect::INAPPROPRIATE_PROTOCOL,
        ] {
            assert!(!disconnect.reason.is_empty() && disconnect.reason.len() <= 123);
            assert!(serde_json::from_str::<serde_json::Value>(disconnect.reason).is_err());
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_temporary() {
        let lasting = [ErrorCode::UNKNOWN_CHANNEL, ErrorCode::PERMISSION_DENIED, ErrorCode::BAD_REQUEST];
        let temporary = [ErrorCode::INTERNAL, lasting[0], lasting[1], lasting[2]].map(|code| code.temporary);
        assert_eq!(temporary, [true, false, false, false]);
    }
}
