//! What clients send.

use schemas::Position;
use serde::Deserialize;
use serde_json::value::RawValue;

/// One command. Unknown fields are ignored: every release of an SDK adds some.
#[derive(Debug, Deserialize)]
pub(crate) struct Command {
    /// Above 0: exactly one reply bears it. 0: a pong, or a `send`.
    #[serde(default)]
    pub(crate) id: u32,
    connect: Option<ConnectRequest>,
    subscribe: Option<Box<SubscribeRequest>>,
    unsubscribe: Option<ChannelRequest>,
    publish: Option<PublishRequest>,
    presence: Option<ChannelRequest>,
    presence_stats: Option<ChannelRequest>,
    history: Option<HistoryRequest>,
    ping: Option<Ignored>,
    send: Option<Ignored>,
    rpc: Option<RpcRequest>,
    refresh: Option<RefreshRequest>,
    sub_refresh: Option<Ignored>,
}

/// What a command asks for.
#[derive(Debug)]
pub(crate) enum Method {
    Connect(ConnectRequest),
    Subscribe(Box<SubscribeRequest>),
    Unsubscribe(ChannelRequest),
    Publish(PublishRequest),
    Presence(ChannelRequest),
    PresenceStats(ChannelRequest),
    History(HistoryRequest),
    /// A message without an answer; there is nothing that it could mean here.
    Send,
    Rpc(RpcRequest),
    Refresh(RefreshRequest),
    SubRefresh,
    /// A ping from the client, or nothing known: not in the protocol.
    Unknown,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Ignored {}

#[derive(Debug, Deserialize)]
pub(crate) struct ConnectRequest {
    #[serde(default)]
    pub(crate) token: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SubscribeRequest {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) recover: bool,
    #[serde(default)]
    pub(crate) epoch: String,
    #[serde(default)]
    pub(crate) offset: Position,
    #[serde(default)]
    pub(crate) join_leave: bool,
    #[serde(default)]
    pub(crate) flag: i64,
    #[serde(default)]
    pub(crate) r#type: i32,
    pub(crate) tf: Option<Box<RawValue>>,
}

impl SubscribeRequest {
    /// Bit 2 of `flag`: an unrecoverable position is to be an error, not `recovered: false`.
    pub(crate) const REJECT_UNRECOVERED: i64 = 2;
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChannelRequest {
    #[serde(default)]
    pub(crate) channel: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct PublishRequest {
    pub(crate) channel: String,
    pub(crate) data: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HistoryRequest {
    pub(crate) channel: String,
    #[serde(default)]
    pub(crate) limit: i32,
    pub(crate) since: Option<Since>,
    #[serde(default)]
    pub(crate) reverse: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Since {
    #[serde(default)]
    pub(crate) offset: Position,
    #[serde(default)]
    pub(crate) epoch: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RpcRequest {
    #[serde(default)]
    pub(crate) method: String,
    pub(crate) data: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RefreshRequest {
    #[serde(default)]
    pub(crate) token: String,
}

impl Command {
    /// Whether it is the answer to a ping: a command without anything in it.
    pub(crate) fn is_pong(&self) -> bool {
        let Self { connect, subscribe, unsubscribe, publish, presence, presence_stats, .. } = self;
        let Self { history, ping, send, rpc, refresh, sub_refresh, .. } = self;
        let some = connect.is_some() || subscribe.is_some() || unsubscribe.is_some() || publish.is_some();
        let some =
            some || presence.is_some() || presence_stats.is_some() || history.is_some() || rpc.is_some();
        let some = some || ping.is_some() || send.is_some() || refresh.is_some() || sub_refresh.is_some();
        self.id == 0 && !some
    }

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
        } else if self.sub_refresh.is_some() {
            Method::SubRefresh
        } else if self.send.is_some() {
            Method::Send
        } else {
            Method::Unknown
        }
    }
}

/// The commands of a frame, in order; an error for the first that is none.
pub(crate) fn commands(frame: &str) -> impl Iterator<Item = Result<Command, serde_json::Error>> {
    frame.strip_suffix('\n').unwrap_or(frame).split('\n').map(serde_json::from_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(frame: &str) -> Vec<String> {
        let name = |command: Command| {
            if command.is_pong() { "Pong".to_owned() } else { format!("{:?}", command.method()) }
        };
        commands(frame).map(|command| command.map_or("bad".to_owned(), name)).collect()
    }

    #[test]
    fn a_frame_may_carry_several_commands() {
        let frame = "{\"id\":1,\"connect\":{\"token\":\"t\",\"name\":\"js\"}}\n{\"id\":2,\"subscribe\":{\"channel\":\"tea\",\"flag\":1}}\n";
        let methods = methods(frame);
        assert_eq!(methods.len(), 2);
        assert!(methods[0].starts_with("Connect"));
        assert!(methods[1].starts_with("Subscribe"));
    }

    #[test]
    fn an_empty_command_is_a_pong() {
        assert_eq!(methods("{}"), ["Pong"]);
        assert_eq!(methods("{\"id\":3}"), ["Unknown"]);
        assert_eq!(methods("{\"id\":3,\"ping\":{}}"), ["Unknown"]);
        assert_eq!(methods("{\"send\":{\"data\":{}}}"), ["Send"]);
    }

    #[test]
    fn what_is_no_json_object_is_bad() {
        for bad in ["", "nonsense", "[]", "{\"id\":-1}", "{\"id\":1,\"subscribe\":{}}", "\n"] {
            assert!(methods(bad).contains(&"bad".to_owned()), "{bad:?}");
        }
        let deep = "{\"a\":".repeat(10_000);
        assert_eq!(methods(&deep), ["bad"]);
    }
}
