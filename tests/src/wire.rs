//! What a server says over a session, as a client reads it; and how a client begins.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How long a server may take from a connection, or from a command, to its answer. Then the client goes elsewhere.
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// What the system keeps for a client that does not read, in bytes: little, so that the server notices it soon.
const RECEIVE_BUFFER_LEN: u32 = 16 * 1_024;

pub(crate) type Socket = WebSocketStream<TcpStream>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    pub(crate) id: u32,
    pub(crate) error: Option<Trouble>,
    pub(crate) subscribe: Option<Subscribed>,
    pub(crate) rpc: Option<Done>,
    pub(crate) push: Option<Push>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) code: u16,
    pub(crate) message: String,
    /// Trying again may help.
    #[serde(default)]
    pub(crate) temporary: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Subscribed {
    pub(crate) epoch: String,
    pub(crate) offset: u64,
    pub(crate) recovered: bool,
    pub(crate) publications: Vec<Publication>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Done {
    pub(crate) data: Box<RawValue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Push {
    pub(crate) r#pub: Option<Publication>,
    pub(crate) unsubscribe: Option<Unsubscribed>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Publication {
    pub(crate) data: Box<RawValue>,
    pub(crate) offset: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Unsubscribed {
    pub(crate) code: u32,
    pub(crate) reason: String,
}

impl Unsubscribed {
    /// Whether the client is to subscribe again.
    pub(crate) fn is_passing(&self) -> bool {
        self.code >= 2_500
    }
}

/// The host and port of a URL.
pub(crate) fn host_of(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// Opens a session at `HOST:PORT`; `None`: nobody is there.
pub(crate) async fn dial(address: &str) -> Option<Socket> {
    let socket = TcpSocket::new_v4().ok()?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_LEN).ok()?;
    let socket = socket.connect(address.parse().ok()?).await.ok()?;
    let url = format!("ws://{address}/connection/websocket");
    Some(client_async(url, socket).await.ok()?.0)
}

/// The first command.
pub(crate) fn connect(token: &str) -> String {
    json!({"id": 1, "connect": {"token": token}}).to_string()
}
