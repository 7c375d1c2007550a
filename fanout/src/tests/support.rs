//! A node of fanout to talk to, and a client that speaks the protocol and nothing else.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL};
use hyper::server::conn::http1;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use kernel::{
    clock::{Clock, SystemClock},
    command::{Accepted, Command, CommandError, CommandSink, Request},
    event_log::{EventLog, NewRecord, memory::MemoryLog},
    history::{memory::MemoryHistory, reach},
    identity::{Identity, TokenKey, Tokens},
    mirror::Mirror,
    signals::local::Bus,
    testing::World,
};
use schemas::{ChatEvent, EventBody, Partition, Timestamp, codec::Codec, event::MessagePosted};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest, protocol::CloseFrame},
};

use warp::{Filter, filters::BoxedFilter};

use crate::{
    Fanout, Settings, Threads,
    protocol::{Form, Reply},
    routes,
};

/// Long enough for anything that will come; a test that waits for it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most streams of a node.
pub(super) const STREAMS_MAX: usize = 4;

pub(super) struct Node {
    pub(super) log: MemoryLog,
    pub(super) fanout: Arc<Fanout>,
    pub(super) address: SocketAddr,
    mirror: Arc<Mirror>,
    bus: Bus,
    pub(super) tokens: Arc<Tokens>,
    /// What its clients speak.
    form: Form,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Appends messages as they are asked for; the rules are ingest's affair.
#[derive(Debug)]
struct Appender(MemoryLog);

#[async_trait]
impl CommandSink for Appender {
    async fn execute(&self, request: Request) -> Result<Accepted, CommandError> {
        let Command::PostMessage { text, style, reply_to } = request.command else {
            return Err(CommandError::Invalid("only posts are taken here".to_owned()));
        };
        let Request { identity, conversation, event_id, .. } = request;
        let body = MessagePosted { text, style, reply_to }.into();
        let (actor, occurred_at) = (identity.user, SystemClock.now());
        let event = ChatEvent {
            event_id: event_id.clone(),
            conversation: conversation.clone(),
            actor,
            occurred_at,
            body,
        };
        let position = append(&self.0, &event).await;
        Ok(Accepted { position, epoch: self.0.epoch(), conversation, event_id, duplicate: false })
    }
}

async fn append(log: &MemoryLog, event: &ChatEvent) -> schemas::Position {
    let value = Codec::default().encode(event).unwrap();
    let record = NewRecord { key: event.conversation.clone(), value, headers: Vec::new() };
    log.append(vec![record]).await.unwrap()[0].offset.position()
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::speaking(Form::Json).await
    }

    pub(super) async fn speaking(form: Form) -> Self {
        let World { log, history, .. } = World::new(1);
        Self::on(log, history, Bus::default(), form).await
    }

    /// Another node on the same log, which hears this one's signals.
    pub(super) async fn another(&self) -> Self {
        Self::on(self.log.clone(), MemoryHistory::new(), self.bus.clone(), self.form).await
    }

    async fn on(log: MemoryLog, history: MemoryHistory, bus: Bus, form: Form) -> Self {
        let projecting = tokio::spawn(project(log.clone(), history.clone()));
        let mirror = Mirror::start(Arc::new(log.clone()), Arc::new(history)).await.unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let sink = Arc::new(Appender(log.clone()));
        let tokens = Arc::new(Tokens::from(TokenKey::new(&[7; 32])));
        let threads = Threads::start(2).unwrap();
        let allowed_origins = vec!["https://chat.example".to_owned()];
        let settings = Settings { threads, allowed_origins, streams_max: STREAMS_MAX };
        let signals = Arc::new(bus.join(Arc::clone(&clock)));
        let fanout = Fanout::start(&mirror, sink, Arc::clone(&tokens), clock, signals, settings);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener, Arc::clone(&fanout)));
        Self { log, fanout, address, mirror, bus, tokens, form, tasks: vec![projecting, serving] }
    }

    /// Appends an event; this node has folded it, and its history has it, when this returns.
    pub(super) async fn append(&self, event: &ChatEvent) -> u64 {
        let position = append(&self.log, event).await;
        let (partition, deadline) = (Partition(0), Instant::now() + PATIENCE);
        self.mirror.reach(partition, position, deadline).await.unwrap();
        let history = &**self.mirror.history();
        reach(history, partition, position, &self.log.epoch(), deadline).await.unwrap();
        position.get()
    }

    pub(super) fn token(&self, user: &str, ttl_s: i64) -> String {
        self.tokens.local().mint(&user.parse().unwrap(), false, SystemClock.now(), Some(ttl_s)).unwrap()
    }

    /// A token by which `user` may read `channel`.
    pub(super) fn leave(&self, user: &str, channel: &str, ttl_s: i64) -> String {
        let (user, conversation) = (user.parse().unwrap(), channel.parse().unwrap());
        let local = self.tokens.local();
        local.mint_subscription(&user, &conversation, SystemClock.now(), Some(ttl_s)).unwrap()
    }

    /// A connection that has said nothing yet.
    pub(super) async fn dial(&self) -> Client {
        let mut request =
            format!("ws://{}/connection/websocket", self.address).into_client_request().unwrap();
        if self.form == Form::Protobuf {
            let subprotocol = HeaderValue::from_static("centrifuge-protobuf");
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
        let socket = TcpStream::connect(self.address).await.unwrap();
        let (socket, _) = client_async(request, socket).await.unwrap();
        Client { socket, form: self.form, waiting: VecDeque::new(), commands: 0 }
    }

    /// A session of `user`.
    pub(super) async fn client(&self, user: &str) -> Client {
        let mut client = self.dial().await;
        let reply = client.ask("connect", json!({"token": self.token(user, 600)})).await;
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        client
    }
}

async fn serve(listener: TcpListener, fanout: Arc<Fanout>) {
    let routes = routes(fanout, named());
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(warp::service(routes.clone()));
        let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async move { connection.with_upgrades().await });
    }
}

/// Who asks is named in a header: whether that is true is not the affair of fanout.
fn named() -> BoxedFilter<(Identity,)> {
    warp::header::<String>("x-user")
        .map(|user: String| Identity { user: user.parse().unwrap(), admin: false, expires_at: None })
        .boxed()
}

/// Keeps the history at the tail of the log.
async fn project(log: MemoryLog, history: MemoryHistory) {
    let clock = kernel::clock::ManualClock::at(Timestamp::from_millis(0));
    let mut world = World { log, history, clock, states: std::collections::BTreeMap::new() };
    loop {
        world.project(Partition(0), 1_000).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

pub(super) struct Client {
    socket: WebSocketStream<TcpStream>,
    form: Form,
    /// Messages that came while another was waited for.
    waiting: VecDeque<Value>,
    commands: u32,
}

impl Client {
    /// Sends commands, given in JSON, in the form of the node's clients.
    pub(super) async fn send(&mut self, json: impl Into<String>) {
        self.send_all(&json.into().lines().collect::<Vec<_>>()).await;
    }

    /// The same, one by one given, in one frame.
    pub(super) async fn send_all(&mut self, commands: &[&str]) {
        let message = match self.form {
            Form::Protobuf => {
                let encode = |json: &&str| {
                    let [command] = Form::Json.commands(json.as_bytes()).unwrap().try_into().unwrap();
                    prost::Message::encode_length_delimited_to_vec(&command)
                };
                Message::binary(commands.iter().flat_map(encode).collect::<Vec<_>>())
            }
            _ => Message::text(commands.join("\n")),
        };
        self.socket.send(message).await.unwrap();
    }

    /// Whether nothing but pings came before what was asked for.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.iter().all(|message| *message == json!({}))
    }

    pub(super) async fn send_message(&mut self, message: Message) {
        // The server may close while a large message is still on its way.
        let _ = self.socket.send(message).await;
    }

    /// Sends a command without waiting; gives its id.
    pub(super) async fn command(&mut self, method: &str, request: Value) -> u32 {
        self.commands += 1;
        self.send(json!({"id": self.commands, method: request}).to_string()).await;
        self.commands
    }

    /// Sends a command and gives its reply; pushes that come before wait for [`Client::push`].
    pub(super) async fn ask(&mut self, method: &str, request: Value) -> Value {
        let id = self.command(method, request).await;
        let mut passed = VecDeque::new();
        loop {
            let message = self.next().await.expect("the connection is open");
            if message["id"] == id {
                passed.append(&mut self.waiting);
                self.waiting = passed;
                return message;
            }
            passed.push_back(message);
        }
    }

    /// The next push of a channel.
    pub(super) async fn push(&mut self) -> Value {
        loop {
            let message = self.next().await.expect("the connection is open");
            if !message["push"].is_null() {
                return message["push"].clone();
            }
        }
    }

    /// The next message; `None` once the connection is closed.
    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(message);
            }
            match timeout(PATIENCE, self.socket.next()).await.expect("something comes in time")? {
                Ok(Message::Text(text)) => {
                    self.waiting
                        .extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
                }
                Ok(Message::Binary(mut bytes)) => {
                    while !bytes.is_empty() {
                        let reply = <Reply as prost::Message>::decode_length_delimited(&mut bytes).unwrap();
                        self.waiting.push_back(serde_json::to_value(&reply).unwrap());
                    }
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// How the server closes the connection.
    pub(super) async fn closed(&mut self) -> (u16, String) {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("the connection is closed in time") {
                Some(Ok(Message::Close(Some(CloseFrame { code, reason })))) => {
                    return (code.into(), reason.to_string());
                }
                Some(Ok(_)) => {}
                other => panic!("closed without saying why: {other:?}"),
            }
        }
    }

    pub(super) async fn subscribe(&mut self, channel: &str, offset: Option<(u64, &str)>) -> Value {
        let mut request = json!({"channel": channel, "join_leave": true});
        if let Some((offset, epoch)) = offset {
            request["recover"] = true.into();
            request["offset"] = offset.into();
            request["epoch"] = epoch.into();
        }
        self.ask("subscribe", request).await
    }

    /// The same, or until the connection is closed.
    pub(super) async fn offsets_while_open(&mut self, last: u64) -> Vec<u64> {
        let mut offsets = Vec::new();
        while offsets.last() != Some(&last) {
            let Some(message) = self.next().await else { break };
            offsets.extend(message["push"]["pub"]["offset"].as_u64());
        }
        offsets
    }

    /// The positions of the next publications, until that of `last` is among them.
    pub(super) async fn offsets_until(&mut self, last: u64) -> Vec<u64> {
        let mut offsets = Vec::new();
        while offsets.last() != Some(&last) {
            let push = self.push().await;
            offsets.extend(push["pub"]["offset"].as_u64());
        }
        offsets
    }
}

/// The positions of the publications in a reply.
pub(super) fn offsets(publications: &Value) -> Vec<u64> {
    publications.as_array().into_iter().flatten().map(|p| p["offset"].as_u64().unwrap()).collect()
}

/// An event of this body.
pub(super) fn event_of(conversation: &str, id: &str, actor: &str, body: impl Into<EventBody>) -> ChatEvent {
    kernel::testing::event(conversation, id, actor, body)
}
