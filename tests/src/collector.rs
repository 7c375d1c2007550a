//! A collector of traces: takes what OpenTelemetry exporters send over HTTP with protobuf, and keeps the spans.
//!
//! Only as much HTTP as an exporter speaks: requests with a length, one after another on a connection.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{KeyValue, any_value::Value},
    trace::v1::ResourceSpans,
};
use prost::Message;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use crate::wait::SOON;

/// Largest body that is read, in bytes.
const BODY_LEN_MAX: usize = 64 * 1_024 * 1_024;

/// See the module. Ends when it is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: watch::Receiver<Vec<Span>>,
    task: JoinHandle<()>,
}

/// A span as the tests look at it; ids in hex, as they stand in headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The service that it came from (`service.name`).
    pub service: String,
    /// Which process of it (`service.instance.id`).
    pub instance: String,
    /// The trace it is part of.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// The id of the span it belongs under; empty at the root.
    pub parent: String,
    /// What it is.
    pub name: String,
    /// As OpenTelemetry numbers them: 1 internal, 2 server, 4 producer, 5 consumer.
    pub kind: i32,
    /// Its fields, as text.
    pub fields: Vec<(String, String)>,
}

impl Collector {
    /// Listens on a free port.
    ///
    /// # Errors
    /// There is none.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (sender, spans) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                connections.spawn(async move { serve(socket, &sender).await });
            }
        });
        Ok(Self { address, spans, task })
    }

    /// What `--otlp-endpoint` is to say.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a trace so far.
    pub fn of(&self, trace: &str) -> Vec<Span> {
        self.spans.borrow().iter().filter(|span| span.trace == trace).cloned().collect()
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }

    /// Waits until the spans of a trace are `enough`.
    ///
    /// # Errors
    /// They are not in time; it says which there are.
    pub async fn until(&self, trace: &str, enough: impl Fn(&[Span]) -> bool) -> anyhow::Result<Vec<Span>> {
        let mut spans = self.spans.clone();
        let of =
            |all: &[Span]| -> Vec<Span> { all.iter().filter(|span| span.trace == trace).cloned().collect() };
        let found = timeout(SOON, spans.wait_for(|all| enough(&of(all)))).await.is_ok();
        ensure!(found, "waited in vain for a whole trace {trace}; there is {:#?}", self.of(trace));
        Ok(self.of(trace))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Span {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }
}

async fn serve(socket: TcpStream, spans: &watch::Sender<Vec<Span>>) -> anyhow::Result<()> {
    let mut socket = BufReader::new(socket);
    while let Some(body) = request(&mut socket).await? {
        let request = ExportTraceServiceRequest::decode(body.as_slice()).context("no spans")?;
        let came = request.resource_spans.iter().flat_map(read);
        spans.send_modify(|spans| spans.extend(came));
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        socket.write_all(head.as_bytes()).await?;
        socket.write_all(&answer).await?;
    }
    Ok(())
}

/// The body of the next request; `None`: the connection ended.
async fn request(socket: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if socket.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    ensure!(line.starts_with("POST /v1/traces "), "no export: {line}");
    let mut len = None;
    loop {
        line.clear();
        ensure!(socket.read_line(&mut line).await? > 0, "the head broke off");
        match line.trim_end().split_once(':') {
            None => break,
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                len = Some(value.trim().parse::<usize>()?);
            }
            Some((name, value)) if name.eq_ignore_ascii_case("content-type") => {
                ensure!(value.trim() == "application/x-protobuf", "no protobuf: {value}");
            }
            Some(_) => {}
        }
    }
    let len = len.context("a request without a length")?;
    if len > BODY_LEN_MAX {
        bail!("a body of {len} bytes");
    }
    let mut body = vec![0; len];
    socket.read_exact(&mut body).await?;
    Ok(Some(body))
}

fn read(group: &ResourceSpans) -> Vec<Span> {
    let about = group.resource.as_ref().map(|resource| fields(&resource.attributes)).unwrap_or_default();
    let of =
        |name: &str| about.iter().find(|(field, _)| field == name).map_or("", |(_, value)| value).to_owned();
    let (service, instance) = (of("service.name"), of("service.instance.id"));
    let spans = group.scope_spans.iter().flat_map(|scope| &scope.spans);
    let read = |span: &opentelemetry_proto::tonic::trace::v1::Span| Span {
        service: service.clone(),
        instance: instance.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name.clone(),
        kind: span.kind,
        fields: fields(&span.attributes),
    };
    spans.map(read).collect()
}

fn fields(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let value = |pair: &KeyValue| pair.value.as_ref()?.value.as_ref().map(text);
    attributes.iter().filter_map(|pair| Some((pair.key.clone(), value(pair)?))).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}
