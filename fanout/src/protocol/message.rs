//! The messages of the protocol, as `proto/client.proto` has them, and what a command asks for.

use bytes::Bytes;
use kernel::mirror::LiveEvent;

use super::{ErrorCode, Unsubscribe as Why};

#[allow(clippy::pedantic, unreachable_pub, reason = "generated")]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/tidings.client.rs"));
}

pub(crate) use generated::*;

/// Bit of [`SubscribeRequest::flag`]: an unrecoverable position is to be an error, not `recovered: false`.
pub(crate) const REJECT_UNRECOVERED: i64 = 2;

/// What a command asks for.
#[derive(Debug)]
pub(crate) enum Method {
    Connect(ConnectRequest),
    Subscribe(SubscribeRequest),
    Unsubscribe(UnsubscribeRequest),
    Publish(PublishRequest),
    Presence(PresenceRequest),
    PresenceStats(PresenceStatsRequest),
    History(HistoryRequest),
    /// A message without an answer; there is nothing that it could mean here.
    Send,
    Rpc(RpcRequest),
    Refresh(RefreshRequest),
    SubRefresh(SubRefreshRequest),
    /// The answer to a ping: a command without anything in it.
    Pong,
    /// A ping from the client, or nothing known: not in the protocol.
    Unknown,
}

impl Command {
    /// What it asks for: the first request that is set, as in the reference server.
    pub(crate) fn method(self) -> Method {
        if let Some(request) = self.connect {
            Method::Connect(request)
        } else if let Some(request) = self.subscribe {
            Method::Subscribe(request)
        } else if let Some(request) = self.unsubscribe {
            Method::Unsubscribe(request)
        } else if let Some(request) = self.publish {
            Method::Publish(request)
        } else if let Some(request) = self.presence {
            Method::Presence(request)
        } else if let Some(request) = self.presence_stats {
            Method::PresenceStats(request)
        } else if let Some(request) = self.history {
            Method::History(request)
        } else if let Some(request) = self.rpc {
            Method::Rpc(request)
        } else if let Some(request) = self.refresh {
            Method::Refresh(request)
        } else if let Some(request) = self.sub_refresh {
            Method::SubRefresh(request)
        } else if self.send.is_some() {
            Method::Send
        } else if self.id == 0 && self.ping.is_none() {
            Method::Pong
        } else {
            Method::Unknown
        }
    }
}

/// The result of a command, or why there is none.
#[derive(Debug)]
pub(crate) enum Outcome {
    Connect(ConnectResult),
    Subscribe(SubscribeResult),
    Unsubscribe,
    Publish,
    Presence(PresenceResult),
    PresenceStats(PresenceStatsResult),
    History(HistoryResult),
    Rpc(Bytes),
    Refresh(RefreshResult),
    SubRefresh(SubRefreshResult),
    Error(Error),
}

impl Reply {
    /// The answer to the command `id`. An empty result is there too: clients fail where it is missing.
    pub(crate) fn to(id: u32, outcome: Outcome) -> Self {
        let reply = Self { id, ..Self::default() };
        match outcome {
            Outcome::Connect(result) => Self { connect: Some(result), ..reply },
            Outcome::Subscribe(result) => Self { subscribe: Some(result), ..reply },
            Outcome::Unsubscribe => Self { unsubscribe: Some(UnsubscribeResult {}), ..reply },
            Outcome::Publish => Self { publish: Some(PublishResult {}), ..reply },
            Outcome::Presence(result) => Self { presence: Some(result), ..reply },
            Outcome::PresenceStats(result) => Self { presence_stats: Some(result), ..reply },
            Outcome::History(result) => Self { history: Some(result), ..reply },
            Outcome::Rpc(data) => Self { rpc: Some(RpcResult { data }), ..reply },
            Outcome::Refresh(result) => Self { refresh: Some(result), ..reply },
            Outcome::SubRefresh(result) => Self { sub_refresh: Some(result), ..reply },
            Outcome::Error(error) => Self { error: Some(error), ..reply },
        }
    }

    /// What the server says of its own accord.
    pub(crate) fn of(push: Push) -> Self {
        Self { push: Some(push), ..Self::default() }
    }
}

impl Push {
    /// An event.
    pub(crate) fn publication(channel: &str, event: &LiveEvent) -> Self {
        Self { r#pub: Some(event.into()), ..Self::on(channel) }
    }

    /// Something that has no place in the conversation: clients keep their position.
    pub(crate) fn unplaced(channel: &str, data: Bytes) -> Self {
        Self { r#pub: Some(Publication { data, offset: 0 }), ..Self::on(channel) }
    }

    /// Somebody came (`join`) or went.
    pub(crate) fn presence(channel: &str, join: bool, info: ClientInfo) -> Self {
        let info = Some(info);
        let push = Self::on(channel);
        if join {
            Self { join: Some(Join { info }), ..push }
        } else {
            Self { leave: Some(Leave { info }), ..push }
        }
    }

    /// The subscription is over.
    pub(crate) fn unsubscribe(channel: &str, why: Why) -> Self {
        let unsubscribe = Some(Unsubscribe { code: why.code, reason: why.reason.to_owned() });
        Self { unsubscribe, ..Self::on(channel) }
    }

    fn on(channel: &str) -> Self {
        Self { channel: channel.to_owned(), ..Self::default() }
    }
}

impl From<&LiveEvent> for Publication {
    fn from(event: &LiveEvent) -> Self {
        Self { data: event.json().clone(), offset: event.position.get() }
    }
}

impl Error {
    pub(crate) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { code: error.code, message: message.into(), temporary: error.temporary }
    }
}

impl From<ErrorCode> for Error {
    fn from(error: ErrorCode) -> Self {
        Self::new(error, error.message)
    }
}
